"""A study whose load looks for its rate, on engines in real time, as a person runs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from analysis.verify.run import verify
from study.exit_codes import INVALID
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.engine import Model
from tests.golden.nvml.world import COUNTER, INSTANT, BoardModel, GoldenBoards
from tests.server.power.conftest import A
from tests.support.command import starwatt
from traces.cell import read_cell
from traces.layout import CellKey, RunDir
from traces.streams import has_trace

STUDY: dict[str, Any] = {
    "name": "searched",
    "models": ["golden"],
    "baseline": "steady",
    "loads": [
        {
            "kind": "find_rate", "slo": {"ttft": "20s"}, "arrivals": "constant", "first_qps": 40, "most_qps": 40,
            "window_s": 1, "search_for_s": 60,
        }
    ],
    "prompts": {"dataset": "starwatt-24", "tasks": 8, "max_tokens": 2, "output": {"fixed": 2}},
    "measure": {"passes": 1, "min_s": 1},
    "meters": {"sources": ["modelled"], "modelled": {"watts_per_cpu": 10}},
    "phases": {"idle_s": 0.5, "warmup_s": 0.3, "rest_s": 0.2},
    "blocks": 1,
}  # fmt: skip


@dataclass
class RefusesHalf(EngineElsewhere):
    """Refuses every second completion."""

    refused: int = 0

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.refused += 1
        if self.refused % 2:
            return web.json_response({"error": {"message": "come again"}}, status=503)
        return await super()._complete(request)


def test_a_search_on_real_engines_ends_in_a_cell_that_verify_believes_or_says_why_not(tmp_path: Path) -> None:
    board = BoardModel(A, offers=INSTANT | COUNTER, update_s=0.05, window_s=0.05)
    boards = GoldenBoards(tmp_path / "world", [board], idle_w=50.0)
    model = Model(step_s=0.002)
    with EngineElsewhere(boards, model=model) as steady, RefusesHalf(boards, model=model) as half:
        remote = {
            name: {"url": engine.url, "meter": "local"}
            for name, engine in (("steady", steady), ("half", half))
        }
        file = tmp_path / "study.yaml"
        file.write_text(json.dumps({**STUDY, "variants": list(remote), "remote": remote}))
        done = starwatt("run", file, "--out", tmp_path / "run")
    assert done.returncode == INVALID, done.stderr  # no rate holds on one of them
    run = RunDir(tmp_path / "run")
    cells = {name: run.cell(CellKey("golden", name, "find-rate", 1)) for name in remote}
    rates = {name: read_cell(folder).rate for name, folder in cells.items()}
    assert rates["half"] is not None
    assert (rates["half"].kind, rates["half"].rate, len(rates["half"].windows)) == ("none", None, 1)
    assert not has_trace(cells["half"], "power")
    rate = rates["steady"]
    assert rate is not None
    assert rate.kind in ("at_least", "unknown")  # by how busy the machine is, its generator is late
    tried = {window.rate for window in rate.windows if window.rate is not None}
    assert max(tried) == 40.0
    if rate.confirmed:
        assert has_trace(cells["steady"], "power")
        assert rate.rate is not None
        assert rate.rate <= 40.0
        assert rate.rate == 40.0 or len(tried) > 1, "lower only where windows at the most said nothing"
    assert "find-rate: no rate keeps TTFT up to 20.0 s" in done.stderr
    assert {finding.kind for finding in verify(run).findings} == {"invalid_cell"}
