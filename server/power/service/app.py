"""The power sidecar as an HTTP service: a load generator on another host starts it, marks phases, fetches samples.

Every request carries ``Authorization: Bearer TOKEN``; every error is ``{"error": words}``.

    GET  /v1/host                            who this is, its boards, how its sensors behave
    GET  /v1/clock                           CLOCK_MONOTONIC when the question came and when the answer went
    POST /v1/sessions {"sample_hz": 20}      start recording: 201 with id and devices; 409 while another records
    GET  /v1/sessions/ID                     whether it still records: {"problem": null, or words}
    POST /v1/sessions/ID/phases {"phase": …} mark that a phase begins now
    GET  /v1/sessions/ID/{power,occupancy}.arrows?offset=N   the Arrow IPC stream from byte N on, 4 MiB at most
    POST /v1/sessions/ID/stop                end it; the samples stay until the next one starts
    GET  /metrics                            Prometheus' text format
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.files.problems import words_of
from configs.meters import Meters
from server.power.calibration.calibrate import calibrate
from server.power.live import CONTENT_TYPE, LiveMeters
from server.power.meters import choose_sources
from server.power.nvidia.inventory import gpu_inventory
from server.power.service.gate import admit
from server.power.service.session import TRACES, Session
from starwatt_errors import MeterError
from traces.clock import ClockPair, boot_id, now_ns

LEASE_S = 60.0
"""A recording that nobody asked after for this long ends: its client is gone."""
_LOOK_S = 2.0
_BODY_S = 10.0
_Body = TypeVar("_Body", bound=BaseModel)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sample_hz: float | None = Field(default=None, gt=0, le=100)


class _Mark(BaseModel):
    model_config = ConfigDict(extra="forbid")
    phase: str = Field(min_length=1, max_length=64)


class MeterService:
    """The state behind the addresses: at most one recording at a time."""

    def __init__(
        self, settings: Meters, token: str, *, engine_pid: int | None = None, lease_s: float = LEASE_S
    ) -> None:
        """Opens the meters and watches the sensors for some seconds. Raises MeterError where no meter answers."""
        self._settings, self._token, self._engine_pid, self._lease_s = settings, token, engine_pid, lease_s
        self._live = LiveMeters(settings, engine_pid)
        self._host = _host(settings)
        self._session: Session | None = None
        # One thread: starting and stopping never overlap, and the kernel ends a sidecar when the thread that
        # started it dies (server/process/spawn.py), so that thread lives as long as the service.
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="sidecar")

    def app(self) -> web.Application:
        """Return the application; it ends its recording when it is shut down."""
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 16)
        app.add_routes(
            [
                web.get("/v1/host", self._tell_host),
                web.get("/v1/clock", self._tell_clock),
                web.post("/v1/sessions", self._start),
                web.get("/v1/sessions/{id}", self._tell_session),
                web.post("/v1/sessions/{id}/phases", self._mark),
                web.post("/v1/sessions/{id}/stop", self._stop),
                web.get("/v1/sessions/{id}/{trace}.arrows", self._samples),
                web.get("/metrics", self._metrics),
            ]
        )
        app.cleanup_ctx.append(self._life)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            refusal = _refusal(401, "no token, or a wrong one: send Authorization: Bearer TOKEN")
            refusal.force_close()
            return refusal
        admit(request.transport)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refusal(error.status, error.text or error.reason)
        except MeterError as error:
            return _refusal(503, str(error))

    async def _life(self, _: web.Application) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._end_what_nobody_wants())
        yield
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await self._by_hand(self._close)
        self._hands.shutdown()

    async def _end_what_nobody_wants(self) -> None:
        while True:
            await asyncio.sleep(min(_LOOK_S, self._lease_s / 4))
            session = self._session
            if session and not session.ended and now_ns() - session.used_ns > self._lease_s * 1e9:
                why = f"nobody asked after this recording for {self._lease_s:g} s, and it was ended"
                await self._by_hand(partial(session.end, why))

    async def _tell_host(self, _: web.Request) -> web.Response:
        return web.json_response({**self._host, "devices": [asdict(device) for device in self._live.devices]})

    async def _tell_clock(self, _: web.Request) -> web.Response:
        received_ns = now_ns()
        realtime_ns = ClockPair.now().realtime_ns
        return web.json_response(
            {
                "received_ns": received_ns,
                "boot_id": boot_id(),
                "realtime_ns": realtime_ns,
                "sent_ns": now_ns(),
            }
        )

    async def _start(self, request: web.Request) -> web.Response:
        order = await _body(request, _Order)
        changed = {} if order.sample_hz is None else {"sample_hz": order.sample_hz}
        await self._by_hand(lambda: self._begin(self._settings.model_copy(update=changed)))
        session = self._session
        assert session is not None  # noqa: S101 -- _begin set it or raised
        return web.json_response(
            {"id": session.number, "devices": session.sidecar.devices, "boot_id": boot_id()}, status=201
        )

    def _begin(self, settings: Meters) -> None:
        if self._session is not None:
            if not self._session.ended and self._session.trouble is None:
                raise web.HTTPConflict(text="another client records here: wait for its end")
            self._session.forget()
            self._session = None
        self._session = Session.start(settings, self._engine_pid)

    async def _tell_session(self, request: web.Request) -> web.Response:
        session = self._asked(request)
        trouble = await asyncio.get_running_loop().run_in_executor(None, lambda: session.trouble)
        return web.json_response({"problem": trouble})

    async def _mark(self, request: web.Request) -> web.Response:
        session, mark = self._asked(request), await _body(request, _Mark)
        if session.ended:
            raise web.HTTPConflict(text="this recording has ended")
        return web.json_response({"t_ns": session.mark(mark.phase)})

    async def _samples(self, request: web.Request) -> web.Response:
        session, trace = self._asked(request), request.match_info["trace"]
        offset = request.query.get("offset", "0")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 18:
            raise web.HTTPBadRequest(text=f"offset: takes a number of bytes (given: {offset!r})")
        piece = session.piece(trace, int(offset)) if trace in TRACES else None
        if piece is None:
            raise web.HTTPNotFound(text=f"this recording has no trace {trace!r}")
        return web.Response(body=piece, content_type="application/vnd.apache.arrow.stream")

    async def _stop(self, request: web.Request) -> web.Response:
        session = self._asked(request)
        await self._by_hand(session.end)
        return web.json_response(
            {"summary": session.sidecar.summary, "marks": session.marks, "problem": session.problem}
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        text = await asyncio.get_running_loop().run_in_executor(None, self._live.exposition)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    def _asked(self, request: web.Request) -> Session:
        session = self._session
        if session is None or session.number != request.match_info["id"]:
            raise web.HTTPNotFound(text="there is no such recording (any more)")
        session.used_ns = now_ns()
        return session

    def _close(self) -> None:
        if self._session is not None:
            self._session.forget()
        self._live.close()

    async def _by_hand(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._hands, work)


def _host(settings: Meters) -> dict[str, Any]:
    return {
        "name": platform.node(),
        "boot_id": boot_id(),
        "cpus": len(os.sched_getaffinity(0)),
        "sources": choose_sources(settings),
        "gpus": [asdict(gpu) for gpu in gpu_inventory()],
        "sensor_calibration": calibrate(settings.gpus),
    }


async def _body(request: web.Request, model: type[_Body]) -> _Body:
    try:
        async with asyncio.timeout(_BODY_S):
            body = await request.read()
        return model.model_validate_json(body or b"{}")
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text="the body is not what its headers say") from error
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text=f"the body did not come within {_BODY_S:g} s") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "body"
        raise web.HTTPBadRequest(text=f"{where}: {words_of(error)}") from error


def _refusal(status: int, words: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"error": words}, status=status, headers=headers)
