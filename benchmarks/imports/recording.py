"""The golden endpoint with a notebook: when each request came and each token went, and what the board drew."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.golden.endpoint import GoldenEndpoint, event
from traces.clock import ClockPair, now_ns

EVERY_NS = 100_000_000
LOOK_NS = 25_000_000  # a board's reading is the mean over so long, as on A100 and H100


@dataclass
class RecordingEndpoint(GoldenEndpoint):
    """Its ``noted`` are the requests as this end saw them, in CLOCK_MONOTONIC."""

    noted: list[dict[str, Any]] = field(default_factory=list)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        came_ns = now_ns()
        body: dict[str, Any] = await request.json()
        place = self._place(body["prompt"], int(body["max_tokens"]))
        row: dict[str, Any] = {"came_ns": came_ns, "token_ns": [], "prompt_tokens": place.prompt_tokens}
        self.noted.append(row)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._waiting.append(place)
        self._news.set()
        for number in range(1, place.wanted + 1):
            await place.tokens.get()
            await response.write(event(place, number, last=number == place.wanted))
            row["token_ns"].append(now_ns())
        usage = {"prompt_tokens": place.prompt_tokens, "completion_tokens": place.wanted}
        last = {
            "object": "text_completion",
            "choices": [],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }
        await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        await response.write_eof()
        return response

    def requests_csv(self, shift_ns: int, count: int) -> str:
        """The last ``count`` requests as plain CSV, seconds since 1970: a tool may have asked before its load."""
        lines = ["start,first_token,end,prompt_tokens,output_tokens"]
        for row in self.noted[-count:]:
            times = (row["came_ns"], row["token_ns"][0], row["token_ns"][-1])
            told = ",".join(f"{(at + shift_ns) / 1e9:.6f}" for at in times)
            lines.append(f"{told},{row['prompt_tokens']},{len(row['token_ns'])}")
        return "\n".join(lines) + "\n"

    def smi_csv(self, start_ns: int, end_ns: int, shift_ns: int) -> str:
        """What ``nvidia-smi --query-gpu=timestamp,uuid,power.draw.instant --format=csv -lms 100`` would have said."""
        lines = ["timestamp, uuid, power.draw.instant [W]"]
        for t_ns in range(start_ns, end_ns, EVERY_NS):
            watts = self.boards.true_j(t_ns - LOOK_NS, t_ns) / (LOOK_NS * 1e-9)
            at = datetime.fromtimestamp((t_ns + shift_ns) / 1e9, UTC).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
            lines.append(f"{at}, GPU-golden, {watts:.2f} W")
        return "\n".join(lines) + "\n"


def shift_ns() -> int:
    """From this machine's CLOCK_MONOTONIC to its calendar."""
    pair = ClockPair.now()
    return pair.realtime_ns - pair.monotonic_ns
