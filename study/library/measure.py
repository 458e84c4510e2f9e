"""Joules of a block of code: the sidecar records beside it, and the estimator of studies says what its window used."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from configs.files.problems import problems
from configs.meters import Meters
from server.power.meters import choose_sources
from server.power.sidecar import Sidecar
from server.process.guard import GUARD
from starwatt_errors import MeterError, StarwattError, UsageError
from study.library.joules import BlockJoules, Joules
from traces.clock import now_ns
from traces.streams import has_trace

if TYPE_CHECKING:
    import pandas as pd

_SLOW = frozenset({"nvml", "amdsmi", "external"})
_EDGE_S = 0.2
_SLOW_EDGE_S = 1.2
"""Before and after a block: what a sensor shows late of it, or still of what was before, must be in the trace (some
boards show the mean of the last second)."""


class Doubtful(UserWarning):
    """Warn that the joules of a block cannot be believed; the words say why."""


def measure(
    *,
    estimate: bool = False,
    meters: Mapping[str, Any] | None = None,
    folder: Path | str | None = None,
) -> Measurement:
    """Measure the joules of a ``with`` block; what it found is there once the block has ended.

    The meters of the whole machine are read, in a process of its own, whoever uses the power: every GPU that
    ``CUDA_VISIBLE_DEVICES`` leaves, and the CPU packages. Around the block it takes some seconds to start and to end.
    Blocks may be nested and may run in several threads: each has its own recording.

    Args:
        estimate: where no meter answers, take CPU time of this process and its children x watts.
        meters: the part ``meters`` of a study's file (docs/reference/configuration.md): ``gpus``, ``gain``, …
        folder: a new folder that keeps ``power.parquet``; None: it is thrown away.

    Raises:
        UsageError: ``meters`` is wrong, or ``folder`` holds a recording.
    """
    kept = None if folder is None else Path(folder)
    if kept is not None and has_trace(kept, "power"):
        raise UsageError(f"folder {kept}: holds a recording already; take a new one")
    return Measurement(_settings(meters or {}), kept, estimate=estimate)


def _settings(given: Mapping[str, Any]) -> Meters:
    data = dict(given)
    try:
        return Meters.model_validate(data)
    except ValidationError as error:
        first = problems(error, Meters, data)[0]
        raise UsageError(f"meters: {'.'.join(map(str, first.location))}: {first.message}") from error


class Measurement:
    """Measure one block; ``joules`` and all else are those of its boundary that comes first (GPU before CPU).

    Reading a figure before the block has ended raises ``StarwattError``.
    """

    def __init__(self, settings: Meters, folder: Path | None, *, estimate: bool) -> None:
        """Begin nothing yet."""
        self._settings, self._folder, self._estimate = settings, folder, estimate
        self._held = ExitStack()
        self._sidecar: Sidecar | None = None
        self._start_ns = 0
        self._end_ns: int | None = None
        self._edge_s = _EDGE_S
        self._found = BlockJoules((), ())
        self.problem: str | None = None
        """Why the recording is not whole, in words; None: it is."""

    def __enter__(self) -> Self:
        """Start recording.

        Raises:
            MeterError: no meter answers, and no estimate was asked for; or the recording did not start.
            StarwattError: this measurement has had its block.
        """
        if self._sidecar is not None:
            raise StarwattError("a measurement is of one block: call starwatt.measure() for each")
        settings = self._settings.model_copy(update={"sources": self._sources()})
        with ExitStack() as begun:
            folder = self._folder or begun.enter_context(GUARD.scratch("measure")) / "trace"
            pid = os.getpid() if "modelled" in settings.sources else None
            self._sidecar = Sidecar.start(folder, settings, engine_pid=pid)
            begun.callback(self._sidecar.abandon)
            self._folder = folder
            self._edge_s = _SLOW_EDGE_S if _SLOW.intersection(settings.sources) else _EDGE_S
            time.sleep(self._edge_s)
            self._held = begun.pop_all()
        self._start_ns = now_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what the block used; one that raised is not measured, and a meter that failed raises nothing."""
        end_ns = now_ns()
        with self._held:
            if kind is not None or self._sidecar is None or self._folder is None:
                return
            time.sleep(self._edge_s)
            try:
                self._sidecar.stop()
            except MeterError as failure:
                self.problem = str(failure)
            try:
                from study.library.estimate import joules_in  # scipy takes a second to import

                self._found = joules_in(self._folder, self._start_ns, end_ns, self._settings)
            except StarwattError as failure:
                self.problem = self.problem or str(failure)
            self._end_ns = end_ns
        if not self.valid:
            warnings.warn(f"the joules of this block cannot be believed: {self.why}", Doubtful, stacklevel=2)

    def _sources(self) -> tuple[str, ...]:
        """Return the meters that are read; ``modelled`` where it was asked for."""
        sources = choose_sources(self._settings)
        if self._settings.sources == "auto" and "modelled" in sources and not self._estimate:
            sources.remove("modelled")
        if not sources:
            raise MeterError(
                "no power meter answers here, neither a GPU's nor the CPU's (starwatt doctor says why); "
                "CPU time x watts, which is an estimate, is taken where it is asked for: measure(estimate=True), "
                "starwatt meter --estimate -- COMMAND"
            )
        return tuple(sources)

    @property
    def seconds(self) -> float:
        """Return the seconds that the block took."""
        return (self._ended_ns() - self._start_ns) * 1e-9

    @property
    def left_out(self) -> tuple[str, ...]:
        """Say in words what is there and was not read."""
        return () if self._sidecar is None else tuple(self._sidecar.left_out)

    @property
    def boundaries(self) -> tuple[Joules, ...]:
        """Return the joules of each boundary and source, the first one being ``joules``; they are never added."""
        self._ended_ns()
        return self._found.boundaries

    @property
    def devices(self) -> tuple[Joules, ...]:
        """Return the joules of each board, package or log."""
        self._ended_ns()
        return self._found.devices

    @property
    def joules(self) -> float | None:
        """Return the block's joules, gross; None where nothing was recorded. ``valid`` says whether to believe them."""
        return self._first.joules

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval for what the sensors may have missed; None where it is not known."""
        return self._first.interval

    @property
    def valid(self) -> bool:
        """Say whether there are joules and nothing stands against them."""
        return self._first.valid and self.problem is None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the joules are not to be believed, as codes of docs/reference/reasons.md; empty where they are."""
        return self._first.reasons

    @property
    def why(self) -> str:
        """Return the same in words; empty where nothing stands against them."""
        from analysis.validity.reasons import in_words

        return "; ".join([*filter(None, [self.problem]), *map(in_words, self.reasons)])

    def frame(self) -> pd.DataFrame:
        """Return a row a device: name, boundary, source, joules, lo, hi, gain, valid, reasons."""
        import pandas as pd

        return pd.DataFrame([{**vars(device), "valid": device.valid} for device in self.devices])

    def __str__(self) -> str:
        """Write one line for a person: the joules of every boundary, and the time."""
        lines = "; ".join(map(str, self.boundaries)) or "no joules"
        doubts = "" if self.valid else f"; not to be believed: {self.why}"
        return f"{lines} in {self.seconds:.4g} s{doubts}"

    def _ended_ns(self) -> int:
        if self._end_ns is None:
            state = "has not begun" if self._sidecar is None else "has not ended, or ended with an error"
            raise StarwattError(f"the block {state}: its joules are there after the with block")
        return self._end_ns

    @property
    def _first(self) -> Joules:
        nothing = Joules("nothing", "host", "external", None, None, None, None, ("no_power",))
        return next(iter(self.boundaries), nothing)
