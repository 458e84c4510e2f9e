"""A run of one variant with probes, on an engine whose Shapley values are known, read by a board-like sensor.

Half of the tasks are a long prompt with a short answer, half a short prompt with a long one: the two classes that rules
of attribution treat most differently.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from configs.loader import dump_study
from configs.schema import Study
from tests.golden.engine import SECOND, Load, Model, Simulation, Trace
from tests.golden.shapley import of_schedule
from tests.golden.world import Sensor, power_rows, request_rows, write_rows
from traces.atomic import write_json, write_text
from traces.cell import Audit, CellRecord, Phase, Phases, Served, write_cell
from traces.clock import boot_id
from traces.layout import CellKey, RunDir
from traces.schemas import POWER, REQUESTS

MODEL_NAME, VARIANT = "starcoder2-memorised", "bf16"
CLASSES = {"long in, short out": (1200, 24), "short in, long out": (60, 320)}
Task = tuple[str, int, int]


@dataclass
class PhaseWorld:
    """Writes the run; ``shapley_j`` has the joules of every measured request by load and request."""

    root: Path
    model: Model
    batches: tuple[int, ...] = (1, 8, 64)
    probes: tuple[int, ...] = (1, 8, 64)
    shapley_j: dict[str, dict[int, float]] = field(default_factory=dict)
    class_of: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def run(self) -> RunDir:
        """Where it is written."""
        return RunDir(self.root)

    def build(self) -> PhaseWorld:
        """All cells, one block."""
        closed = [{"kind": "closed", "concurrency": n} for n in self.batches]
        study = Study.model_validate(
            {
                "name": "phase",
                "models": [MODEL_NAME],
                "baseline": VARIANT,
                "variants": [VARIANT],
                "loads": closed,
                "prompts": {"dataset": "starwatt-24"},
                "measure": {"passes": 1, "min_s": 0},
                "probes": {"concurrency": list(self.probes), "min_s": 0} if self.probes else None,
                "blocks": 1,
            }
        )
        sensor = Sensor()
        write_text(self.run.study, dump_study(study))
        seen = {"power_w": {"update_s": 0.0, "window_s": 0.0, "lag_s": 0.0}, "energy_j": {"step_s": 0.1}}
        write_json(self.run.manifest, {"sensor_calibration": {"devices": {sensor.device: seen}}})
        for batch in self.batches:
            trace = self._write(f"closed-{batch}", batch, _mixed(12 + 2 * batch), sensor)
            values = of_schedule(self.model, trace.steps)
            measured = [one for one in trace.requests if one.role == "measured"]
            self.shapley_j[f"closed-{batch}"] = {one.identity: values[one.identity] for one in measured}
            self.class_of[f"closed-{batch}"] = {one.identity: one.task.partition("/")[0] for one in measured}
        for batch in self.probes:
            prefill = [(name, prompt, 1) for name, prompt, _ in _mixed(60 + 8 * batch)]
            decode = [(f"probe/{n}", 24 + n % 5, 256) for n in range(6 + 2 * batch)]
            self._write(f"probe-prefill-{batch}", batch, prefill, sensor)
            self._write(f"probe-decode-{batch}", batch, decode, sensor)
        return self

    def _write(self, load: str, concurrency: int, tasks: list[Task], sensor: Sensor) -> Trace:
        start_ns = 1_000 * SECOND + 12_345_678
        simulation = Simulation(self.model, Load(load, concurrency), tasks, seed=1, start_ns=start_ns)
        trace = simulation.run(idle_s=2.0, warmup=concurrency)
        folder = self.run.cell(CellKey(MODEL_NAME, VARIANT, load, 1))
        write_rows(folder, "requests", REQUESTS, request_rows(trace.requests))
        write_rows(folder, "power", POWER, power_rows(trace, sensor))
        before, after = trace.idle_before, trace.idle_after
        record = CellRecord(
            model=MODEL_NAME,
            variant=VARIANT,
            load=load,
            block=1,
            boot_id=boot_id(),
            phases=Phases(
                idle_before=Phase(start_ns=before[0], end_ns=before[1]),
                idle_after=Phase(start_ns=after[0], end_ns=after[1]),
            ),
            served=Served(engine="golden"),
            audit=Audit(),
        )
        write_cell(folder, record)
        return trace


def _mixed(count: int) -> list[Task]:
    """Half of each class, lengths spread by a fifth, in random order: the same for every load."""
    rng = random.Random(count)  # noqa: S311 - a simulation
    tasks = []
    for n in range(count):
        name = list(CLASSES)[n % 2]
        prompt, output = CLASSES[name]
        spread = rng.uniform(0.8, 1.2)
        tasks.append((f"{name}/{n}", round(prompt * spread), round(output * rng.uniform(0.8, 1.2))))
    rng.shuffle(tasks)
    return tasks
