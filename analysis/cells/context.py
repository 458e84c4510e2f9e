"""What a run's study and manifest say that the analysis of its cells needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.energy.sensor import Sensors
from analysis.runs.provenance import read_manifest, read_study
from analysis.runs.unread import unread
from configs.board import AS_FOUND
from configs.loads import Closed, FindRate, Load, Open, is_probe
from configs.meters import Meters
from configs.restarts import Resident
from configs.schema import Slo, Study
from starwatt_errors import TraceError
from traces.cell import CellRecord
from traces.layout import CellKey, RunDir, board_of, load_asked, with_board


@dataclass(frozen=True)
class Context:
    """Hold what the study's configuration says that analysis needs; unknown where a run has none."""

    study: Study | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[CellKey, str] = field(default_factory=dict)
    """Where cells ran, once they have been read."""
    made_up: frozenset[str] = frozenset()
    """Loads whose prompts were made up to recorded lengths, once their cells have been read."""

    @property
    def cpus(self) -> int | None:
        """Say how many CPUs the metered machine has; None where the manifest does not."""
        cpus = self.host.get("cpus")
        return cpus if isinstance(cpus, int) else None

    @property
    def host(self) -> Mapping[str, Any]:
        """Return what the manifest says of the metered machine; empty where it says nothing."""
        host = self.manifest.get("meter_host") or self.manifest.get("host")
        return host if isinstance(host, dict) else {}

    @property
    def gpus(self) -> list[Mapping[str, Any]]:
        """List what the manifest says of each board that was there."""
        there = self.manifest.get("gpus")
        return [gpu for gpu in there if isinstance(gpu, dict)] if isinstance(there, list) else []

    @property
    def sensors(self) -> Sensors:
        """Collect what the manifest says of the boards, and the study of their gains."""
        calibration = self.manifest.get("sensor_calibration")
        limits = {
            gpu["uuid"]: float(gpu["power_limit_w"])
            for gpu in self.gpus
            if gpu.get("uuid") and gpu.get("power_limit_w")
        }
        devices = calibration.get("devices") if isinstance(calibration, dict) else None
        return Sensors(devices or {}, self.study.meter_settings if self.study else Meters(), limits)

    @property
    def sampled(self) -> bool:
        """Tell whether answers were drawn at random, so that repeats are samples; greedy ones repeat one answer."""
        if self.study is not None:
            return self.study.prompts.temperature > 0
        asked = (self.manifest.get("load") or {}).get("prompts") or {}  # a load test on its own has no study
        temperature = asked.get("temperature")
        return isinstance(temperature, int | float) and temperature > 0

    @property
    def slo(self) -> Slo | None:
        """Return what a good request keeps, by the study, or by a load test's own ``--slo``."""
        if self.study is not None:
            return self.study.slo
        bounds_ms = self.manifest.get("slo_ms")
        known = {name: ms for name, ms in bounds_ms.items() if ms} if isinstance(bounds_ms, dict) else {}
        return Slo(**{f"{name}_ms": ms for name, ms in known.items()}) if known else None

    @property
    def slo_ms(self) -> dict[str, float] | None:
        """Return the bounds of a good request in ms, by latency."""
        return self.slo.bounds_ms if self.slo else None

    @property
    def searched(self) -> dict[str, dict[str, float]]:
        """Map each load that looks for its rate to what a good request of it keeps, in ms."""
        bounds = {load.slug: self.slo_of(load.slug) for load in self._loads if isinstance(load, FindRate)}
        return {name: slo.bounds_ms for name, slo in bounds.items() if slo is not None}

    def slo_of(self, load: str) -> Slo | None:
        """Return what a good request of this load keeps: a load that looks for its rate may have bounds of its own."""
        named = self._load(load)
        return named.slo if isinstance(named, FindRate) and named.slo is not None else self.slo

    def asks_for_cache(self, record: CellRecord) -> bool:
        """Tell whether prompts were to be reused: engines of ours do it where they are told, others by themselves."""
        if record.served.url is None:
            return bool(record.served.prefix_cache)
        return self.study is not None and self.study.engine.prefix_cache

    def min_s(self, load: str) -> float | None:
        """Return the shortest window of a load that the study accepts."""
        if self.study is None:
            return None
        if is_probe(load):
            return self.study.probes.min_s if self.study.probes else None
        return self.study.measure.min_s

    @property
    def baseline(self) -> str | None:
        """Return the variant that the others are compared with."""
        return self.study.baseline if self.study else None

    @property
    def controls(self) -> Mapping[str, str]:
        """Map each variant to its control, from which it differs in its weights or in how it is served, not in both."""
        return self.study.controls if self.study else {}

    def start_of(self, block: int) -> int:
        """Number the start of its engine that serves a block of a variant, of one model."""
        restarts = self.study.engine_restarts if self.study else "each_block"
        if isinstance(restarts, Resident):
            return restarts.start_of(block)
        return 0 if restarts == "once" else block

    def started_once(self, *variants: str) -> bool:
        """Tell whether one of these variants had one engine start, or an engine that others started."""
        if self.study is None:
            return False
        only_one = self.study.blocks > 1 and self.start_of(1) == self.start_of(self.study.blocks)
        return only_one or self.study.engine_restarts == "once" or self._elsewhere(variants)

    def counted_by(self, variant: str) -> Callable[[int], int]:
        """Say which blocks count as one value: those of an engine start; each, where one start made all of them."""
        return (lambda block: block) if self.started_once(variant) else self.start_of

    def took_turns(self, *variants: str) -> bool:
        """Tell whether the engines of these variants were loaded beside each other: blocks of one start are pairs."""
        return (
            self.study is not None
            and isinstance(self.study.engine_restarts, Resident)
            and not self._elsewhere(variants)
        )

    def _elsewhere(self, variants: Iterable[str]) -> bool:
        return self.study is not None and not self.study.remote.keys().isdisjoint(variants)

    @property
    def _loads(self) -> tuple[Load, ...]:
        return self.study.loads if self.study else ()

    def _load(self, name: str) -> Load | None:
        """Find the study's load of this name, whatever the boards' setting."""
        return next((load for load in self._loads if load.slug == load_asked(name)), None)

    def most_in_flight(self, load: str) -> int | None:
        """Return the cap of an open load, if it has one."""
        named = self._load(load)
        if isinstance(named, Open | FindRate):
            return named.max_in_flight
        cap = self._load_tested.get("max_in_flight")
        return cap if isinstance(cap, int) else None

    def qps(self, load: str) -> float | None:
        """Return the rate that was asked of an open load; None where a file gave its times, or it was searched."""
        named = self._load(load)
        if named is not None:
            return named.qps if isinstance(named, Open) else None
        rate = self._load_tested.get("qps")
        return rate if isinstance(rate, int | float) and rate > 0 else None

    @property
    def _load_tested(self) -> Mapping[str, Any]:
        """What the manifest of a load test on its own, which has no study, says of its load."""
        asked = self.manifest.get("load")
        load = asked.get("load") if isinstance(asked, dict) else None
        return load if isinstance(load, dict) else {}

    def concurrency(self, load: str) -> int | None:
        """Say how many requests a single-stream or closed load keeps in flight; None for others."""
        named = self._load(load)
        if named is None or isinstance(named, Open | FindRate):
            return None
        return named.concurrency if isinstance(named, Closed) else 1

    def reference_board(self, load: str) -> str:
        """Name a load on boards as they were found, or where no cell is, as the study's first setting has them."""
        settings = [setting.slug for setting in self.study.board] if self.study else []
        reference = AS_FOUND if AS_FOUND in settings else next(iter(settings), None)
        return load if board_of(load) is None else with_board(load_asked(load), reference)

    def kind(self, load: str) -> str | None:
        """single_stream, closed, open, find_rate or probe; without a study, by the load's usual name."""
        if is_probe(load):
            return "probe"
        named = self._load(load)
        if named is not None:
            return named.kind
        usual = {"single": "single_stream", "closed": "closed", "open": "open", "find": "find_rate"}
        return usual.get(load.partition("-")[0])

    def is_open(self, load: str) -> bool:
        """Tell whether requests of this load are sent at times of their own, whatever the server does."""
        return self.kind(load) in ("open", "find_rate")


def read_context(run: RunDir) -> tuple[Context, tuple[str, ...]]:
    """Read the run's study and manifest, and a warning for each of its own files that is missing or cannot be read.

    A manifest that cannot be read costs calibration, a study the baseline. Presets that it names need not exist here
    any more: what was measured stays readable.
    """
    study, manifest, problems = None, {}, {}
    try:
        manifest = dict(read_manifest(run))
    except TraceError as error:
        problems[run.manifest] = error
    try:
        study = read_study(run)
    except TraceError as error:
        problems[run.study] = error
    return Context(study, manifest), unread(run, manifest, problems)


@dataclass(frozen=True)
class TaskSet:
    """Hold what a run was asked from; None is what it does not say."""

    name: str | None
    total: int | None

    @classmethod
    def of(cls, context: Context) -> TaskSet:
        """Read it from the manifest, whose name is that of the content; the study names what was asked for."""
        told = context.manifest.get("dataset") or {}
        name = told.get("name") or (Path(context.study.prompts.dataset).name if context.study else None)
        return cls(name, told.get("tasks"))

    def count(self, tasks: int) -> str:
        """Return ``24 of 164``; where it is not known of how many, ``24``."""
        return f"{tasks}" if self.total is None else f"{tasks} of {self.total}"

    def words(self, tasks: int) -> str:
        """Return ``24 of 164 tasks of humaneval+``."""
        count = self.count(tasks)
        return f"{count} task{'s' if count != '1' else ''}" + (f" of {self.name}" if self.name else "")
