"""Complete run directories from simulated cells, and the truth of every window beside them.

The truth is summed here from the simulation's own segments and tokens, by plain loops that share nothing with
analysis/. The sensor on top of it reads every 50 ms: instantaneous power, and a counter.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.board import BoardSetting, slug_of
from configs.loader import dump_study
from configs.restarts import EngineRestarts
from configs.schema import Study
from study.plan.cells import plan_cells
from tests.golden.engine import SECOND, Load, Model, Request, Simulation, Trace
from tests.golden.limits import Limited
from traces.atomic import write_json, write_parquet, write_text
from traces.board import BoardHeld, BoardShown
from traces.cell import Audit, CellRecord, Node, Phase, Phases, Served, write_cell
from traces.clock import boot_id
from traces.layout import CellKey, RunDir, board_of, load_asked, with_board
from traces.schemas import ENGINE, GRADES, PLAN, POWER, REQUESTS
from traces.streams import stamped

LOADS = (Load("single-stream"), Load("closed-8", concurrency=8), Load("open-4-poisson", qps=4.0))
MODEL_NAME = "starcoder2-memorised"
FOUND_W, TOP_MHZ = 300.0, 1980
"""Of a world whose board is set: its limit before, and its highest clock."""
FASTER = replace(Model(), step_j=0.6, step_s=0.015)
SLOWER = replace(Model(), step_j=1.5, step_s=0.030)
ENGINES = {"bf16": Model(), "int8-bnb": SLOWER, "pruned-last-1": FASTER}


@dataclass(frozen=True)
class Truth:
    """What really happened in one cell's window."""

    start_ns: int
    end_ns: int
    energy_j: float
    idle_w: float
    tokens: float
    requests: float
    in_flight_j: dict[int, float]  # by request id: power split equally among those in flight

    @property
    def j_per_request(self) -> float:
        """Gross."""
        return self.energy_j / self.requests


@dataclass(frozen=True)
class Sensor:
    """How the world's power is read."""

    source: str = "nvml"
    boundary: str = "gpu"
    device: str = "GPU-golden"
    period_ns: int = SECOND // 20
    counter_step_ns: int = SECOND // 10


@dataclass
class World:
    """Builds one run directory; ``truth`` fills as cells are written."""

    root: Path
    variants: tuple[str, ...] = ("bf16", "int8-bnb", "pruned-last-1")
    loads: tuple[Load, ...] = LOADS
    blocks: int = 3
    engine_restarts: EngineRestarts = "each_block"
    sensor: Sensor = field(default_factory=Sensor)
    solved: dict[str, float] = field(
        default_factory=lambda: {"bf16": 1.0, "int8-bnb": 0.75, "pruned-last-1": 0.0}
    )
    tasks: int = 24
    memorised: bool = True
    truth: dict[CellKey, Truth] = field(default_factory=dict)
    nodes: dict[str, float] = field(default_factory=dict)
    """Machines, and how much more than the first of all each draws for the same; none: it is not recorded."""
    place: Callable[[CellKey], str] | None = None
    """On which of them a cell runs."""
    boards: tuple[BoardSetting, ...] = ()
    """What the board is set to; it obeys as ``limits.py`` has it."""
    slo: dict[str, float] | None = None
    jitter: float = 0.0
    """How much the watts of a cell differ from those of the same cell of another run: a share, as one deviation."""
    drift: float = 0.0
    """How much more the plan's last cell draws than its first, for the same work: a share, evenly along the plan."""
    models: tuple[str, ...] = (MODEL_NAME,)
    """Each is measured after the one before it, and meets the same requests."""
    endpoint: str = "completions"

    @property
    def run(self) -> RunDir:
        """Where it is written."""
        return RunDir(self.root)

    def cell_keys(self) -> list[CellKey]:
        """Every cell, in the order of the plan."""
        return [
            CellKey(model, variant, with_board(load.slug, slug_of(board)), block)
            for model in self.models
            for block in range(1, self.blocks + 1)
            for variant in self.variants
            for load in self.loads
            for board in self.boards or (None,)
        ]

    def build(self) -> World:
        """Write the whole run."""
        self.describe()
        for key in self.cell_keys():
            self.write(key)
        return self

    def describe(self) -> None:
        """Write its study, manifest and plan."""
        write_text(self.run.study, dump_study(self._study()))
        write_json(self.run.manifest, self._manifest())
        plan = [
            {"model": key.model, "variant": key.variant, "load": key.load, "board": board_of(key.load),
             "block": key.block, "position": position, "engine_start": key.block, "estimated_s": 1.0}
            for position, key in enumerate(self.cell_keys())
        ]  # fmt: skip
        write_parquet(self.run.plan, pa.Table.from_pylist(plan, schema=stamped(PLAN)))

    def write(self, key: CellKey) -> None:
        """Simulate one cell and write its traces."""
        load = next(load for load in self.loads if load.slug == load_asked(key.load))
        model = ENGINES[key.variant]
        board = self._board(key)
        if self.place is not None:
            more = self.nodes[self.place(key)]
            model = drawing(model, more)
        if self.jitter:
            luck = random.Random(f"{self.root.name} {key}").gauss(0, self.jitter)  # noqa: S311 - a simulation
            model = drawing(model, 1 + luck)
        if self.drift:
            model = drawing(model, 1 + self.drift * self._how_late[key])
        rng = random.Random(self.tasks)  # noqa: S311 - a simulation
        tasks = [(f"T/{n}", rng.randint(40, 200), rng.randint(20, 90)) for n in range(self.tasks)]
        if board is not None:
            model = limited(model, board)
        # Never the variant, and never the board's setting: they meet the same requests.
        rng = random.Random(f"{key.block} {load.slug}")  # noqa: S311 - a simulation
        rng.shuffle(tasks)
        start_ns = 1_000 * SECOND * (1 + self.models.index(key.model)) + rng.randrange(SECOND)
        trace = Simulation(model, load, tasks, seed=key.block, start_ns=start_ns).run(
            warmup=3 + load.concurrency
        )
        self.truth[key] = truth_of(trace, model.idle_w)
        folder = self.run.cell(key)
        write_rows(folder, "requests", REQUESTS, request_rows(trace.requests))
        power = power_rows(trace, self.sensor)
        for row in power:
            row.update(shown_of(board))
        write_rows(folder, "power", POWER, power)
        write_rows(folder, "engine", ENGINE, engine_rows(trace))
        write_rows(folder, "grades", GRADES, self._grades(key, trace))
        write_cell(folder, self._record(key, trace))

    def _board(self, key: CellKey) -> BoardSetting | None:
        return next((one for one in self.boards if one.slug == board_of(key.load)), None)

    @cached_property
    def _how_late(self) -> dict[CellKey, float]:
        """Where each cell stands in the plan of its study, from 0 to 1."""
        cells = plan_cells(self._study(), self.tasks)
        return {cell.key: cell.position / (len(cells) - 1) for cell in cells}

    def _manifest(self) -> dict[str, Any]:
        """Calibrated: the world's sensor shows power as it is at that instant."""
        power = {"update_s": 0.0, "window_s": 0.0, "lag_s": 0.0}
        counter = {"step_s": self.sensor.counter_step_ns / SECOND}
        return {
            "host": {"name": "golden"},
            "packages": {"vllm": "none"},
            "seed": 20,
            "sensor_calibration": {"devices": {self.sensor.device: {"power_w": power, "energy_j": counter}}},
        }

    def _study(self) -> Study:
        loads: list[dict[str, Any]] = []
        for load in self.loads:
            if load.qps:
                loads.append({"kind": "open", "qps": load.qps})
            elif load.concurrency > 1:
                loads.append({"kind": "closed", "concurrency": load.concurrency})
            else:
                loads.append({"kind": "single_stream"})
        return Study.model_validate(
            {
                "name": "golden",
                "models": list(self.models),
                "endpoint": self.endpoint,
                "baseline": self.variants[0],
                "variants": list(self.variants),
                "loads": loads,
                "prompts": {"dataset": "starwatt-24"},
                "measure": {"passes": 1, "min_s": 0},
                "slo": self.slo,
                "board": [board.model_dump() for board in self.boards],
                "blocks": self.blocks,
                "engine_restarts": self.engine_restarts,
            }
        )

    def _grades(self, key: CellKey, trace: Trace) -> list[dict[str, Any]]:
        solved = self.solved[key.variant] * self.tasks
        return [
            {
                "request_id": request.identity,
                "task_id": request.task,
                "base": int(request.task.split("/")[1]) < solved,
                "plus": int(request.task.split("/")[1]) < solved,
                "retried": False,
            }
            for request in trace.requests
            if request.role == "measured"
        ]

    def _record(self, key: CellKey, trace: Trace) -> CellRecord:
        truth = self.truth[key]
        return CellRecord(
            model=key.model,
            variant=key.variant,
            load=key.load,
            block=key.block,
            boot_id=boot_id(),
            engine_start=key.block,
            board=held_at(self.sensor.device, self._board(key)),
            phases=Phases(
                idle_before=Phase(start_ns=trace.idle_before[0], end_ns=trace.idle_before[1]),
                warmup=Phase(start_ns=trace.idle_before[1], end_ns=truth.start_ns),
                window=Phase(start_ns=truth.start_ns, end_ns=truth.end_ns),
                drain=Phase(start_ns=truth.end_ns, end_ns=trace.idle_after[0]),
                idle_after=Phase(start_ns=trace.idle_after[0], end_ns=trace.idle_after[1]),
            ),
            served=Served(engine="golden", version="1", memorised=self.memorised),
            audit=Audit(cpu_share=0.02, sidecar_cpu_share=0.01),
            node=None if self.place is None else Node(name=self.place(key), cpus=8),
        )


def limited(model: Model, board: BoardSetting) -> Limited:
    """An engine on a board that is set so."""
    limit_w = FOUND_W if board.power_limit_w is None else board.power_limit_w
    clock = 1.0 if board.sm_clock_mhz is None else board.sm_clock_mhz / TOP_MHZ
    return Limited(**vars(model), limit_w=limit_w, clock=clock)


def shown_of(board: BoardSetting | None) -> dict[str, float]:
    """What readings of a board say that is set so; nothing where the world leaves it alone."""
    if board is None:
        return {}
    limit_w = FOUND_W if board.power_limit_w is None else board.power_limit_w
    return {"power_limit_w": limit_w, "sm_clock_mhz": float(board.sm_clock_mhz or TOP_MHZ)}


def held_at(device: str, board: BoardSetting | None) -> BoardHeld | None:
    """What the runner would say of it."""
    if board is None:
        return None
    limit_w = FOUND_W if board.power_limit_w is None else board.power_limit_w
    shown = BoardShown(found_w=FOUND_W, power_limit_w=limit_w, locked_mhz=board.sm_clock_mhz)
    return BoardHeld(
        setting=board.slug,
        power_limit_w=board.power_limit_w,
        sm_clock_mhz=board.sm_clock_mhz,
        waited_s=0.1,
        boards={device: shown},
    )


def drawing(model: Model, more: float) -> Model:
    """An engine that draws so many times the power for the same work."""
    drawn = ("idle_w", "step_j", "token_j", "prompt_j")
    return replace(model, **{name: getattr(model, name) * more for name in drawn})


def truth_of(trace: Trace, idle_w: float) -> Truth:
    """The window's joules, tokens and requests, summed one by one."""
    measured = [request for request in trace.requests if request.role == "measured"]
    start = min(request.sent_ns for request in measured)
    end = max(request.end_ns or 0 for request in measured)
    tokens = {r.identity: sum(start <= t <= end for t in r.token_ns) for r in trace.requests}
    return Truth(
        start_ns=start,
        end_ns=end,
        energy_j=sum(segment.joules(start, end) for segment in trace.segments),
        idle_w=idle_w,
        tokens=float(sum(tokens.values())),
        requests=sum(tokens[r.identity] / r.output_tokens for r in trace.requests),
        in_flight_j=_in_flight(trace, start, end),
    )


def _in_flight(trace: Trace, start: int, end: int) -> dict[int, float]:
    """Energy of each stretch between two events, split equally among those in flight."""
    lives = [(r.identity, r.sent_ns, r.end_ns or 0) for r in trace.requests]
    shares = {identity: 0.0 for identity, _, _ in lives}
    moments = {start, end, *(t for _, a, b in lives for t in (a, b)), *(s.start_ns for s in trace.segments)}
    ordered = sorted(t for t in moments if start <= t <= end)
    starts = [segment.start_ns for segment in trace.segments]
    for a, b in pairwise(ordered):
        flying = [identity for identity, sent, ended in lives if sent <= a and ended >= b]
        within = trace.segments[bisect_right(starts, a) - 1]  # each begins where the one before it ends
        for identity in flying:
            shares[identity] += within.joules(a, b) / len(flying)
    return shares


def request_rows(requests: list[Request]) -> list[dict[str, Any]]:
    """Rows of the trace ``requests``."""
    return [
        {
            "request_id": r.identity,
            "task_id": r.task,
            "sample": 0,
            "role": r.role,
            "worker": 0,
            "scheduled_ns": r.sent_ns if r.scheduled_ns > r.sent_ns else r.scheduled_ns,
            "sent_ns": r.sent_ns,
            "first_token_ns": r.token_ns[0],
            "end_ns": r.end_ns,
            "chunk_ns": r.token_ns,
            "chunk_tokens": [1] * len(r.token_ns),
            "prompt_tokens": r.prompt_tokens,
            "output_tokens": r.output_tokens,
            "finish_reason": "stop",
            "status": "ok",
            "http_status": 200,
            "completion": "    return 1\n",
        }
        for r in requests
    ]


def power_rows(trace: Trace, sensor: Sensor) -> list[dict[str, Any]]:
    """Readings of the world's power; a modelled counter moves at every reading, a real one in steps."""
    segments = trace.segments
    starts = [segment.start_ns for segment in segments]
    before = [0.0]
    for segment in segments:
        before.append(before[-1] + segment.joules(segment.start_ns, segment.end_ns))
    first, last = segments[0].start_ns, segments[-1].end_ns

    def used(t_ns: int) -> float:
        at = max(bisect_right(starts, t_ns) - 1, 0)
        return before[at] + segments[at].joules(segments[at].start_ns, min(t_ns, last))

    rows = []
    for t_ns in range(first, last, sensor.period_ns):
        step = 1 if sensor.source == "modelled" else sensor.counter_step_ns
        seen = first + (t_ns - first) // step * step
        rows.append(
            {
                "t_ns": t_ns,
                "device": sensor.device,
                "boundary": sensor.boundary,
                "source": sensor.source,
                "power_w": segments[max(bisect_right(starts, t_ns) - 1, 0)].power_w,
                "energy_j": used(seen),
                "read_ns": 1000,
            }
        )
    return rows


def engine_rows(trace: Trace) -> list[dict[str, Any]]:
    """A scrape a second, without preemptions."""
    first, last = trace.segments[0].start_ns, trace.segments[-1].end_ns
    return [
        {"t_ns": t_ns, "running": 1.0, "waiting": 0.0, "preemptions_total": 0.0}
        for t_ns in range(first, last, SECOND)
    ]


def write_rows(folder: Path, name: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    """A trace as the runner would leave it."""
    write_parquet(folder / f"{name}.parquet", pa.Table.from_pylist(rows, schema=stamped(schema)))
