"""Measure a cell whose rate is looked for: a search by windows without a meter, then whole passes at what it found.

The window that confirms the answer is the cell: metered, between idle phases, of whole passes over the prompts as every
other cell. Where it says that its rate does not hold, the search resumes, and another window confirms another rate.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from analysis.requests.columns import Requests, read_columns
from analysis.validity.objective import Judgement
from configs.loads import FindRate, Open, SingleStream
from loadgen.spec import LoadSpec, Passes
from loadgen.spec import Requests as So
from study.measure.cell import CellSetup, Watched, begun, finish, settle, spec_of, watched
from study.measure.dither import dither_s
from study.measure.meter import no_meter
from study.plan.cells import PlannedCell
from study.rate.find import RateSearch, SearchResult
from study.rate.search import Trial
from study.rate.words import in_words
from traces.board import BoardHeld
from traces.cell import CellRecord, sha256_of
from traces.rate import RateFound, RateWindow
from traces.streams import read_trace


def measure_searched(setup: CellSetup, cell: PlannedCell, board: BoardHeld | None = None) -> CellRecord:
    """Look for the highest rate of ``cell``, measure it there, and write its folder; raises as ``measure_cell``.

    Where no rate holds, or none was confirmed in time, that is the result: the cell has the requests of the last
    window, and analysis says why nothing else in it is to be believed.
    """
    load, began_s = cell.load, time.monotonic()
    assert isinstance(load, FindRate)  # noqa: S101 -- the caller has looked
    wanted = load.model_copy(update={"slo": load.slo or setup.study.slo})
    windows = _Windows(setup, cell, load, begun(setup, cell))
    base = spec_of(setup, cell, SingleStream(kind="single_stream"))
    base = base.model_copy(update={"warmup_s": 0.0, "warmup_requests": None})
    result = RateSearch(base, wanted, windows.measure, setup.status).run()
    if result.interrupted:
        raise KeyboardInterrupt
    setup.log_line(f"{cell.key}: {in_words(result, wanted)}")
    last = windows.lift(windows.chosen(result))
    rate = _record(result, wanted, windows, last, took_s=time.monotonic() - began_s)
    return finish(setup, cell, last.watched, board=board, rate=rate)


@dataclass(frozen=True)
class _Window:
    """One window that was measured."""

    trial: Trial | None
    folder: Path
    watched: Watched


@dataclass
class _Windows:
    """Measure windows of a search, each in a folder of its own within the cell's."""

    setup: CellSetup
    cell: PlannedCell
    load: FindRate
    home: Path
    measured: list[_Window] = field(default_factory=list)

    def measure(self, spec: LoadSpec, trial: Trial | None) -> Requests:
        """Measure a window of the search; one that confirms is measured as a cell is."""
        number = len(self.measured) + 1
        folder = self.home / "search" / f"w{number:02d}"
        confirms = trial is not None and trial.confirms
        # Gaps and prompts go by seed, block and this name: the same for all variants, but for the gaps' length. Those
        # that failed to confirm one rate are not those of the next: their burst would come again.
        tried = sum(window.trial is not None and window.trial.confirms for window in self.measured)
        name = f"w{number:02d}" if not confirms else self.load.slug if not tried else f"again{tried}"
        named = spec.load.model_copy(update={"name": name})
        changes = {"load": named, "block": self.cell.key.block, "dither_s": dither_s(self.setup.run, named)}
        spec = spec.model_copy(update=changes)
        if confirms:
            driven = self._as_a_cell(spec, folder)
        else:
            driven = watched(
                self.setup, self.cell, spec, folder, open_meter=no_meter(None), phases=None, answers=False
            )
        self.measured.append(_Window(trial, folder, driven))
        return read_columns(read_trace(folder, "requests"))

    def _as_a_cell(self, spec: LoadSpec, folder: Path) -> Watched:
        """Measure whole passes between idle phases, with the meter beside them."""
        setup, phases = self.setup, self.setup.study.phases
        assert isinstance(spec.load, Open)  # noqa: S101 -- a trial has a rate
        assert isinstance(spec.amount, So)  # noqa: S101
        asked_s = spec.amount.requests / (spec.load.qps or 1.0)
        measure = self.cell.measure.model_copy(update={"min_s": max(self.cell.measure.min_s, asked_s)})
        changes = {
            "amount": Passes(measure=measure), "warmup_s": max(phases.warmup_s, spec.warmup_s),
            "drain_s": phases.drain_s,
        }  # fmt: skip
        settle(setup.engine, phases.rest_s)
        spec = spec.model_copy(update=changes)
        return watched(setup, self.cell, spec, folder, open_meter=setup.open_meter, phases=phases)

    def chosen(self, result: SearchResult) -> _Window:
        """Return the window that is to be the cell: that which confirmed the answer, else the last."""
        of_answer = [
            window
            for window in self.measured
            if window.trial is not None and window.trial.confirms and window.trial.rate == result.answer.rate
        ]
        return (of_answer or self.measured)[-1]

    def lift(self, window: _Window) -> _Window:
        """Make a window's traces those of the cell."""
        for path in sorted(window.folder.iterdir()):
            path.rename(self.home / path.name)
        window.folder.rmdir()
        if len(self.measured) == 1:
            window.folder.parent.rmdir()
        lifted = _Window(window.trial, self.home, window.watched)
        self.measured[self.measured.index(window)] = lifted
        return lifted


def _record(
    result: SearchResult, wanted: FindRate, windows: _Windows, last: _Window, took_s: float
) -> RateFound:
    """Return what ``cell.json`` keeps of the search."""
    judged: list[Judgement] = [result.alone, *(window.judgement for window in result.windows)]
    kept = [
        RateWindow(
            **({} if window.trial is None else asdict(window.trial)),
            **asdict(judgement),
            folder=str(window.folder.relative_to(last.folder)),
            sha256=sha256_of(window.folder / "requests.parquet"),
        )
        for window, judgement in zip(windows.measured, judged, strict=True)
    ]
    return RateFound(
        **asdict(result.answer),
        slo_ms=dict(wanted.bounds_ms),
        wanted_share=wanted.share,
        max_in_flight=wanted.max_in_flight,
        lo=result.lo,
        hi=result.hi,
        windows=kept,
        took_s=took_s,
    )
