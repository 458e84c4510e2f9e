"""The load generator's process: ``python -m loadgen SPEC.json OUT [WORKER]``.

Prints JSON lines: progress a few times a second, and last the result. The API key comes by ``STARWATT_API_KEY``.
WORKER is its number where the spec has several; then it is told on its standard input what ``loadgen/crew.py`` says.
SIGINT and SIGTERM end the load; what was received is kept.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

from traces.cycles import cycles_left_alone
from traces.lean import keep_pandas_out

with cycles_left_alone():
    import uvloop

    from loadgen.clients.addresses import raise_descriptor_limit
    from loadgen.crew import Alone, Crew, OneOfSeveral
    from loadgen.replay import Replay
    from loadgen.result import RESULTS, LoadResult
    from loadgen.spec import LoadSpec
    from starwatt_errors import StarwattError


def main() -> int:
    """Run the load of a spec file."""
    spec = LoadSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    raise_descriptor_limit()
    try:
        result = uvloop.run(_drive(spec, Path(sys.argv[2])))
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- read by loadgen/process.py
        return error.exit_code
    _say({"result": RESULTS.dump_python(result, mode="json")})
    return 0


async def _drive(spec: LoadSpec, out: Path) -> LoadResult:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    crew: Crew = Alone()
    if spec.workers > 1:
        told = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
        crew = OneOfSeveral(int(sys.argv[3]), _say, told, stop)
    replay = Replay(spec, out, os.environ.get("STARWATT_API_KEY"), crew)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    gc.collect()
    gc.set_threshold(100_000)  # the hot path leaves no cycles behind: passes would only hold it up
    gc.freeze()  # what stands now need not be looked through again while requests are timed
    return await replay.run(
        lambda progress: _say({"progress": vars(progress), "quiet_s": replay.quiet_s}), stop
    )


def _say(message: dict[str, object]) -> None:
    try:
        print(json.dumps(message), flush=True)  # noqa: T201 -- the protocol with loadgen/process.py
    except BrokenPipeError:  # the runner is gone: a load without one must not go on
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    keep_pandas_out()
    raise SystemExit(main())
