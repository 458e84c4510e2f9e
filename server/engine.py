"""A checkpoint becomes a running vLLM endpoint: launch, wait until it answers, stop with every child gone."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Self

from configs.schema import EngineSettings
from configs.variant import Variant
from server.engine_log import Announcer, served_from_log
from server.processes import last_lines, spawn, stop_group
from server.store import Checkpoint
from starwatt_errors import EngineError
from traces.cell import Served

HOST = "127.0.0.1"
STOP_GRACE_S = 20.0
_POLL_S = 0.2
_LAST_LINES = 15
MAX_STOP_STRINGS = 32  # vLLM 0.32 refuses more than 4 in a request unless told otherwise


@dataclass(frozen=True)
class EngineSpec:
    """Everything that decides what is started."""

    model: str
    """The name that requests use."""
    variant: Variant
    checkpoint: Checkpoint
    settings: EngineSettings
    port: int
    host: str = HOST
    api_key: str | None = None
    cpus: Sequence[int] | None = None
    seed: int = 0


@dataclass
class Engine:
    """A started server; use as a context manager. ``served`` is known once ``wait_ready`` returned."""

    spec: EngineSpec
    log: Path
    process: Popen[bytes]
    served: Served = field(default_factory=Served)

    @property
    def url(self) -> str:
        """The endpoint, without ``/v1``."""
        return f"http://{self.spec.host}:{self.spec.port}"

    @classmethod
    def start(cls, spec: EngineSpec, log: Path) -> Engine:
        """Launch without waiting.

        Raises:
            EngineError: the port is in use, or no vLLM is installed.
        """
        if port_in_use(spec.host, spec.port):
            raise EngineError(f"port {spec.port} on {spec.host} is in use; choose another with --port")
        vllm_version()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = spawn(
                vllm_command(spec), stdout=output, stderr=output, environment=vllm_environment(spec), cpus=spec.cpus,
                cwd=log.parent,
            )  # fmt: skip
        return cls(spec=spec, log=log, process=process)

    def wait_ready(self, announce: Callable[[str], None] = lambda _: None) -> None:
        """Wait until ``/health`` answers; ``announce`` gets the engine's own words on the way.

        Raises:
            EngineError: it died or was not ready in time; the message has its last lines.
        """
        announcer = Announcer(self.log, announce)
        deadline = time.monotonic() + self.spec.settings.start_timeout_s
        while not healthy(self.url):
            self.check_alive("while it was loading")
            if time.monotonic() > deadline:
                waited = self.spec.settings.start_timeout_s
                raise EngineError(
                    f"the engine was not ready after {waited:g} s (engine.start_timeout_s); its last lines:\n"
                    + last_lines(self.log, _LAST_LINES)
                )
            announcer.poll()
            time.sleep(_POLL_S)
        self.served = served_from_log(
            self.log, version=vllm_version(), command=vllm_command(self.spec), checkpoint=self.spec.checkpoint
        )

    def check_alive(self, when: str) -> None:
        """Raise EngineError with the server's last lines if it has died."""
        code = self.process.poll()
        if code is not None:
            raise EngineError(
                f"the engine died {when} (exit code {code}); its last lines:\n"
                + last_lines(self.log, _LAST_LINES)
            )

    def stop(self) -> None:
        """Stop the server and everything it started."""
        stop_group(self.process, grace_s=STOP_GRACE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def vllm_command(spec: EngineSpec) -> list[str]:
    """The command line, without secrets (they go by the environment)."""
    settings = spec.settings
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(spec.checkpoint.path),
        "--served-model-name", spec.model,
        "--host", spec.host,
        "--port", str(spec.port),
        "--dtype", spec.variant.dtype,
        "--max-model-len", str(settings.max_model_len),
        "--max-num-seqs", str(settings.max_num_seqs),
        "--gpu-memory-utilization", str(settings.gpu_memory_utilization),
        "--seed", str(spec.seed),
        "--enable-prefix-caching" if settings.prefix_cache else "--no-enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if settings.enforce_eager or spec.variant.enforce_eager:
        command.append("--enforce-eager")
    return command


def vllm_environment(spec: EngineSpec) -> dict[str, str]:
    """This process's environment plus what vLLM takes only there."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",  # the checkpoint is on disk
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MAX_STOP_STRINGS": str(MAX_STOP_STRINGS),
        "VLLM_CPU_KVCACHE_SPACE": str(spec.settings.cpu_kvcache_gib),
        "TOKENIZERS_PARALLELISM": "false",
    }
    environment.pop("VLLM_API_KEY", None)
    if spec.api_key:
        environment["VLLM_API_KEY"] = spec.api_key
    return environment


def vllm_version() -> str:
    """Distribution and version, such as ``vllm-cpu 0.32.0``.

    Raises:
        EngineError: neither vllm nor vllm-cpu is installed.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    raise EngineError("no vLLM is installed here; run `make setup`")


def healthy(url: str) -> bool:
    """Whether ``/health`` answers 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:  # noqa: S310 -- our own http URL
            return bool(response.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def port_in_use(host: str, port: int) -> bool:
    """Whether something already listens there.

    Raises:
        EngineError: the address is not this machine's, or the port is not this user's.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise EngineError(
                    f"{host}:{port} cannot be listened on: {error.strerror or error}"
                ) from error
            return True
    return False


def free_port(host: str = HOST) -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
