"""The sidecar's service on a port of its own: within this process, or as the command that it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from configs.meters import Meters, Modelled
from server.power.service.app import LEASE_S, MeterService
from server.power.service.complaints import Complaints
from server.power.service.gate import Limits
from server.power.service.listen import Listening, address, answering
from server.power.service.token import TOKEN_VARIABLE
from tests.support.busy import PATIENCE_S
from tests.support.command import COMMAND

TOKEN = "a-token-of-a-test-0123456789"
MODELLED = Meters(sources=("modelled",), sample_hz=50, modelled=Modelled(watts_per_cpu=10))


@contextmanager
def serving(
    pid: int | None,
    settings: Meters = MODELLED,
    *,
    lease_s: float = LEASE_S,
    limits: Limits | None = None,
    complaints: Complaints | None = None,
    pem: Path | None = None,
) -> Iterator[str]:
    """The URL of a service that ends with the block; with a certificate and its key in ``pem`` it speaks TLS."""
    service = MeterService(settings, TOKEN, engine_pid=pid, lease_s=lease_s)
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = Listening(port=0, certificate=pem, key=pem)
    bound = listening.bind()

    async def open_it() -> None:
        await stack.enter_async_context(
            answering(service, bound, listening.tls(), limits=limits, complaints=complaints)
        )

    asyncio.run_coroutine_threadsafe(open_it(), loop).result(PATIENCE_S)
    try:
        yield address(listening, bound)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
        bound.close()


@contextmanager
def served(
    *flags: object, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of ``starwatt meter --serve`` and its process, which ends with the block."""
    process = subprocess.Popen(
        [*COMMAND, "meter", "--serve", "--port", "0", *map(str, flags)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, TOKEN_VARIABLE: TOKEN, **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
