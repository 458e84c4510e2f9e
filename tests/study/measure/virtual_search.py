"""Studies whose loads look for their rate, on virtual time: servers of known capacity, a board of known watts.

What the load generator plans (gaps, prompts, roles) is its own; what becomes of a request is the virtual server's. So
cells are measured by the runner's own code within milliseconds, whatever the machine is busy with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from configs.loader import dump_study
from configs.phases import PhaseSettings as Settings
from configs.schema import Study
from loadgen.planning.agenda import Item
from loadgen.planning.schedule import planned
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec
from study.measure import searched
from study.measure.cell import CellSetup, Watched
from study.measure.meter import Recorded, no_meter
from study.measure.searched import measure_searched
from study.plan.cells import PlannedCell, plan_cells, plan_table
from study.records.this_node import this_node
from tests.study.rate.virtual import Server
from traces.atomic import write_json, write_parquet, write_text
from traces.cell import Audit, Phase, Phases
from traces.cell import Served as ServedBy
from traces.layout import RunDir
from traces.schemas import POWER, REQUESTS
from traces.streams import stamped

SECOND = 1_000_000_000
BOARD = "GPU-00000000-0000-0000-0000-000000000001"
IDLE_W, BUSY_W = 50.0, 150.0
TOKENS = 5
_APART_S = 10.0
LOAD: dict[str, Any] = {"kind": "find_rate", "slo": {"ttft": "200ms"}}
STUDY: dict[str, Any] = {
    "name": "virtual",
    "models": ["starcoder2-memorised"],
    "prompts": {"dataset": "starwatt-24", "tasks": 24, "max_tokens": 8, "output": {"fixed": TOKENS}},
    "measure": {"passes": 1, "min_s": 20},
    "phases": {"idle_s": 5, "warmup_s": 2, "rest_s": 0},
    "meters": {"sources": ["nvml"]},
}


@dataclass(frozen=True)
class _Engine:
    """An endpoint that answers nobody: the virtual server does."""

    url: str = "http://127.0.0.1:1"
    served: ServedBy = field(default_factory=lambda: ServedBy(engine="vllm", version="0.32.0"))

    def check_alive(self, when: str) -> None:
        """It is."""


@dataclass
class VirtualStudy:
    """Measures every cell of a study into ``root``; ``servers`` by variant."""

    root: Path
    servers: Mapping[str, Server]
    changes: dict[str, Any] = field(default_factory=dict)
    now_s: float = 1000.0
    specs: list[tuple[PlannedCell, LoadSpec]] = field(default_factory=list)
    meets: Callable[[PlannedCell, LoadSpec], None] = lambda _, __: None
    """Told of each window before it is measured."""

    def __post_init__(self) -> None:
        names = list(self.servers)
        fields = {"baseline": names[0], "variants": names, "loads": [LOAD], "blocks": 3}
        self.study = Study.model_validate({**STUDY, **fields, **self.changes})
        self.run = RunDir(self.root)
        self.cells = plan_cells(self.study, tasks=24)

    def measure(self, monkeypatch: pytest.MonkeyPatch) -> RunDir:
        """All cells that are not there, one after the other."""
        write_text(self.run.study, dump_study(self.study))
        write_parquet(self.run.plan, plan_table(self.cells))
        known = {"power_w": {"update_s": 0.05, "window_s": 0.05, "lag_s": 0.0}}
        gpus = [{"uuid": BOARD, "name": "Virtual", "power_limit_w": 300.0}]
        calibration = {"devices": {BOARD: known}}
        manifest = {"seed": self.study.seed, "gpus": gpus, "sensor_calibration": calibration}
        write_json(self.run.manifest, manifest)
        for cell in self.cells:
            if not self.run.is_measured(cell.key):
                monkeypatch.setattr(searched, "watched", self._watched)
                measure_searched(self._setup(), cell)
        return self.run

    def _setup(self) -> CellSetup:
        return CellSetup(
            run=self.run, study=self.study, engine=_Engine(), model="golden", open_meter=no_meter(this_node()),
            log=None, api_key=None, load_cpus=None, status=lambda _: None,
        )  # fmt: skip

    def _watched(
        self,
        _: CellSetup,
        cell: PlannedCell,
        spec: LoadSpec,
        folder: Path,
        *,
        phases: Settings | None,
        **__: Any,
    ) -> Watched:
        self.meets(cell, spec)
        self.specs.append((cell, spec))
        asked = list(planned(spec))
        due_s = np.array(
            [
                number * _APART_S if due_ns is None else due_ns * 1e-9
                for number, (due_ns, _) in enumerate(asked)
            ]
        )
        rng = np.random.default_rng([cell.key.block, len(self.specs)])
        served = self.servers[cell.variant](due_s, rng)
        idle_s = 0.0 if phases is None else phases.idle_s
        begins_s = self.now_s + idle_s
        rows = [
            _row(
                number,
                asked[number][1],
                *(begins_s + times[number] for times in (due_s, served.first_s, served.end_s)),
            )
            for number in range(len(asked))
        ]
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / "requests.parquet", pa.Table.from_pylist(rows, schema=stamped(REQUESTS)))
        measured = [row for row in rows if row["role"] == "measured"]
        start_ns, end_ns = measured[0]["sent_ns"], max(row["end_ns"] for row in measured)
        last_ns = max(row["end_ns"] for row in rows)
        if phases is not None:
            self._power(folder, begins_s, last_ns, idle_s)
        before = Phase(start_ns=_ns(self.now_s), end_ns=_ns(begins_s))
        after = Phase(start_ns=last_ns, end_ns=last_ns + _ns(idle_s))
        self.now_s = last_ns / SECOND + idle_s + 1
        failed = Counter(row["status"] for row in rows if row["status"] != "ok")
        told = Phases(
            idle_before=None if phases is None else before,
            window=Phase(start_ns=start_ns, end_ns=end_ns),
            idle_after=None if phases is None else after,
        )
        return Watched(LoadResult(told, Audit(), dict(failed), interrupted=False), Recorded(node=this_node()))

    def _power(self, folder: Path, begins_s: float, end_ns: int, idle_s: float) -> None:
        """Idle before and behind, busy from the first request to the last's end."""
        from_ns, to_ns = _ns(begins_s), end_ns
        times = np.arange(
            from_ns - _ns(idle_s) - SECOND // 2, to_ns + _ns(idle_s) + SECOND // 2, SECOND // 20
        )
        rows = [
            {
                "t_ns": int(t), "device": BOARD, "boundary": "gpu", "source": "nvml",
                "power_w": BUSY_W if from_ns <= t <= to_ns else IDLE_W,
            }
            for t in times
        ]  # fmt: skip
        write_parquet(folder / "power.parquet", pa.Table.from_pylist(rows, schema=stamped(POWER)))


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


def _row(number: int, item: Item, due_s: float, first_s: float, end_s: float) -> dict[str, Any]:
    """A request and what became of it, seconds of the clock; refused where it has no end."""
    refused = bool(np.isnan(end_s))
    times = [] if refused else [_ns(min(first_s, end_s - 0.001)), _ns(end_s)]  # streamed, in two chunks
    return {
        "request_id": number, "task_id": item.task.task_id, "sample": item.sample, "role": item.role, "worker": 0,
        "scheduled_ns": _ns(due_s), "sent_ns": _ns(due_s), "first_token_ns": times[0] if times else None,
        "end_ns": times[1] if times else _ns(due_s + 0.001), "chunk_ns": times,
        "chunk_tokens": [1, TOKENS - 1] if times else [], "prompt_tokens": 10 if times else None,
        "output_tokens": TOKENS if times else None, "finish_reason": "length" if times else None,
        "status": "ok" if times else "http_error", "http_status": 200 if times else 503,
        "completion": "x" if times else None,
    }  # fmt: skip
