"""A checkpoint becomes a running endpoint: launch, wait until it answers, stop with every child gone."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Protocol

import platformdirs
import psutil

from server.engines.asking import answer_of
from server.engines.boards import environment_of
from server.engines.death import why_it_died
from server.engines.engine_log import Announcer
from server.engines.engine_spec import HOST, EngineSpec
from server.engines.known_deaths import remedy_of_signal, signal_name
from server.engines.transformers import TransformersServe
from server.engines.vllm import Vllm
from server.process.guard import GUARD
from server.process.spawn import last_lines, spawn, stop_group
from starwatt_errors import EngineError, alike
from traces.cell import Served

STOP_GRACE_S = 20.0
_POLL_S = 0.2
_LAST_LINES = 15


class Adapter(Protocol):
    """Define what differs between the servers that can be started."""

    def check(self, spec: EngineSpec) -> None:
        """Raise EngineError where this server cannot do what ``spec`` wants."""

    def command(self, spec: EngineSpec) -> list[str]:
        """Return the command line, without secrets (they go by the environment)."""

    def environment(self, spec: EngineSpec) -> dict[str, str]:
        """Return this process's environment plus what the server takes only there."""

    def folder(self, log: Path, spec: EngineSpec) -> Path:
        """Return the folder it is started in, beside its log."""

    def served(self, spec: EngineSpec, log: Path) -> Served:
        """Return what it serves with, once it answers."""


ADAPTERS: dict[str, Adapter] = {"vllm": Vllm(), "transformers": TransformersServe()}


@dataclass
class Engine(AbstractContextManager["Engine"]):
    """A started server; use as a context manager. ``served`` is known once ``wait_ready`` returned."""

    spec: EngineSpec
    log: Path
    process: Popen[bytes]
    served: Served = field(default_factory=Served)
    _temporaries: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Return the endpoint, without ``/v1``."""
        host = f"[{self.spec.host}]" if ":" in self.spec.host else self.spec.host
        return f"http://{host}:{self.spec.port}"

    @classmethod
    def start(cls, spec: EngineSpec, log: Path) -> Engine:
        """Launch without waiting.

        Raises:
            EngineError: nothing can listen there, or the server is not installed or cannot do it.
        """
        check_place(spec.host, spec.port)
        adapter = ADAPTERS[spec.variant.engine]
        adapter.check(spec)
        log.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as temporaries, log.open("wb") as output:
            scratch = temporaries.enter_context(GUARD.scratch("engine", sockets=True))
            process = spawn(
                adapter.command(spec), stdout=output, stderr=output,
                environment=with_temporaries(adapter.environment(spec), scratch) | environment_of(spec.boards),
                cpus=spec.cpus, cwd=adapter.folder(log, spec),
            )  # fmt: skip
            return cls(spec, log, process, _temporaries=temporaries.pop_all())

    def wait_ready(self, announce: Callable[[str], None] = lambda _: None) -> None:
        """Wait until ``/health`` answers; ``announce`` gets the engine's own words on the way.

        Raises:
            EngineError: it died or was not ready in time; the message has its first error or its last lines.
        """
        announcer = Announcer(self.log, announce)
        deadline = time.monotonic() + self.spec.settings.start_timeout_s
        while not healthy(self.url):
            self.check_alive("while it was loading")
            if time.monotonic() > deadline:
                waited = self.spec.settings.start_timeout_s
                raise EngineError(
                    f"the engine was not ready after {waited:g} s (engine.start_timeout_s); its last lines:\n"
                    f"{last_lines(self.log, _LAST_LINES)}\n  The whole log: {self.log}"
                )
            announcer.poll()
            time.sleep(_POLL_S)
        served = ADAPTERS[self.spec.variant.engine].served(self.spec, self.log)
        self.served = served.model_copy(update={"started_s": _started_s(self.process.pid)})

    def check_alive(self, when: str) -> None:
        """Raise EngineError if the server has died: its first error and what helps, or else its last lines."""
        code = self.process.poll()
        if code is None:
            return
        death = why_it_died(self.log)
        if death is None:
            remedy = remedy_of_signal(-code)
            helps = f"\n  What helps: {remedy}" if remedy else ""
            printed = f"its last lines:\n{last_lines(self.log, _LAST_LINES)}{helps}"
        else:
            printed = f"the first error in its log:\n  {death}"
        # vLLM itself ends with 0 where its core has died, and where it was told to end.
        ended_by_somebody = code < 0 or (code == 0 and death is None)
        ended = f"exit code {code}" if code >= 0 else f"exit code {code}, {signal_name(-code)}"
        raise EngineError(
            f"the engine died {when} ({ended}); {printed}\n  The whole log: {self.log}",
            cause=None if ended_by_somebody else alike(f"{when}: {printed}"),
        )

    def stop(self) -> None:
        """Stop the server and everything it started, and remove its temporary files."""
        stop_group(self.process, grace_s=STOP_GRACE_S)
        self._temporaries.close()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _started_s(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def with_temporaries(environment: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Add to an environment that temporary files lie in ``scratch``: vLLM leaves sockets and stores behind.

    What PyTorch has compiled is no such file, and would take minutes to make again: it is kept where it was.
    """
    kept = {"TORCHINDUCTOR_CACHE_DIR": str(platformdirs.user_cache_path("starwatt") / "torchinductor")}
    return {**kept, **environment, "TMPDIR": str(scratch)}


def healthy(url: str) -> bool:
    """Say whether ``/health`` answers well."""
    try:
        answer_of(f"{url}/health", 2.0)
    except OSError:
        return False
    return True


def check_place(host: str, port: int) -> None:
    """See that an engine could listen there.

    Raises:
        EngineError: something else does, the address is not this machine's, or the port is not this user's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            words = f"{host}:{port} cannot be listened on: {error.strerror or error}"
            if error.errno == errno.EADDRINUSE:
                words = f"port {port} on {host} is in use; choose another with --port"
            raise EngineError(words) from error


def free_port(host: str = HOST) -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
