"""One cell, from its raw files to everything that is known of it. A damaged cell is a result with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from analysis.accuracy.grader import GRADER_VERSION, grader_of, is_older
from analysis.accuracy.grades import read_grades
from analysis.accuracy.outside import Outside
from analysis.accuracy.verdicts import Accuracy, cell_accuracy
from analysis.attribution.phase import PhaseInput
from analysis.attribution.rules import Attribution, by_tokens, flights, in_flight, joules_at
from analysis.attribution.steps import Work
from analysis.cells.context import Context
from analysis.cells.second_look import look_again
from analysis.cells.speculation import Drafts, drafts_in
from analysis.energy.boundary import BoundaryEnergy, boundary_energies, primary
from analysis.energy.integral import PowerSeries, read_series
from analysis.energy.mirrors import each_once, without_mirrors
from analysis.energy.moments import At, Moments
from analysis.energy.sensor import Said, Sensors
from analysis.requests.columns import Requests, read_columns
from analysis.requests.gaps import Spread
from analysis.requests.latency import Latencies, latencies
from analysis.requests.window import Window, WindowShare, measured_window, rated, shares_in
from analysis.validity.clocks import clock_check, imported_checks, on_our_clock
from analysis.validity.gpu_conditions import (
    board_checks,
    client_check,
    occupancy_checks,
    residents_checks,
    throttle_checks,
)
from analysis.validity.objective import rate_checks
from analysis.validity.reasons import (
    OLDER_GRADER,
    RECOMPUTED,
    Check,
    energy_checks,
    engine_check,
    length_checks,
    noted_checks,
    request_checks,
    window_check,
)
from analysis.validity.steadiness import Trends, trends_in
from analysis.validity.whose_boards import (
    Boards,
    boards_of,
    boards_seen,
    idle_boards_w,
    metered_check,
    of_the_engine,
    readings_of_the_engine,
)
from configs.schema import Slo
from starwatt_errors import TraceError
from traces.attempts import Attempt, read_attempts
from traces.cell import CellRecord, Phase
from traces.cell_files import CellFiles
from traces.layout import CellKey, RunDir


@dataclass(frozen=True)
class Measured:
    """Hold what the requests of a cell tell: only there where its window exists."""

    requests: Requests
    window: Window
    share: WindowShare
    rated: WindowShare  # what its rates are of: the same, but for open loads of short answers
    latency: Latencies
    accuracy: Accuracy
    outside: Outside | None = None  # tokens outside of the code that was graded; None: nothing is graded
    itl_ms: Spread | None = None  # of the times between tokens


@dataclass(frozen=True)
class CellResult:
    """Everything computed from one cell."""

    key: CellKey
    record: CellRecord | None = None
    measured: Measured | None = None
    energies: tuple[BoundaryEnergy, ...] = ()
    energy_reasons: tuple[str, ...] = ()  # of all boundaries: no power at all, clocks that do not compare
    # Whether the engine was on boards that were not metered; None: nothing tells.
    elsewhere: Check | None = None
    idle_boards: tuple[float | None, tuple[str, ...]] = (None, ())  # watts of the node's others, and reasons
    checks: tuple[Check, ...] = ()  # of the whole cell; those of a boundary stand in boundary_checks
    codes: tuple[str, ...] = ()  # reason codes of the whole cell, of any scope
    client: Check | None = None  # what load generator and sidecar took of the CPUs
    problem: str | None = None  # the message behind trace_damaged, or the last failure behind not_measured
    attributions: dict[str, Attribution] = field(default_factory=dict)  # of the primary boundary, by rule
    trends: Trends = field(default_factory=lambda: Trends({}))  # within the window
    slo: Slo | None = None  # what the study calls a good request
    sampled: bool = False  # its answers were drawn at random
    drafts: Drafts | None = None  # what speculation drafted in the window; None: it did not
    phase: PhaseInput | None = None  # what the rule phase needs of this cell; it is fitted over many

    @property
    def primary(self) -> BoundaryEnergy | None:
        """Return the boundary that per-request joules are given for."""
        return primary(list(self.energies))

    @property
    def unknown(self) -> frozenset[str]:
        """Return reason codes of what a cell that others measured does not say."""
        imported = self.record.imported if self.record else None
        return frozenset(imported.unknown) if imported else frozenset()

    def energy_codes(self, energy: BoundaryEnergy) -> list[str]:
        """Say why the joules of ``energy`` are not to be trusted."""
        failed = [check.code for check in energy_checks(energy) if check.failed]
        if energy.source == "nvml" and self.elsewhere is not None and self.elsewhere.failed:
            failed.append(self.elsewhere.code)
        return sorted({*failed, *self.energy_reasons})


def damaged_cell(key: CellKey, problem: str) -> CellResult:
    """Return a cell of which nothing is to be believed."""
    return CellResult(key, codes=("trace_damaged",), problem=problem)


def unmeasured_cell(key: CellKey, failures: Mapping[CellKey, Sequence[Attempt]]) -> CellResult:
    """Return a cell that is planned and not there; ``failures`` are the tries at all cells, oldest first."""
    tries = failures.get(key)
    return CellResult(key, codes=("not_measured",), problem=tries[-1].error if tries else None)


def analyse_cell(run: RunDir, key: CellKey, context: Context, files: CellFiles | None = None) -> CellResult:
    """Read one cell and compute all of it; never raises for what is wrong with the cell.

    ``files``: the cell's, where some of them were read already.
    """
    files = files or CellFiles(run.cell(key))
    if not run.is_measured(key):
        return unmeasured_cell(key, failures_of(run))
    try:
        record, requests = files.record, read_columns(files.open("requests"))
        grades = read_grades(files) if files.has("grades") else None
        engine, power = files.find("engine"), on_our_clock(_power(files), record.power_clock)
        occupancy = on_our_clock(files.find("occupancy"), record.power_clock)
    except TraceError as error:
        return damaged_cell(key, str(error))
    accuracy = cell_accuracy(grades, requests, record.validity)
    taken_over = [code for code in record.validity if code not in RECOMPUTED]
    latency = latencies(requests, context.most_in_flight(key.load))
    checks = [*_of_requests(requests, latency, record, context), *_of_the_grader(grades)]
    window = measured_window(requests)
    if window is None:
        codes = _codes(checks, [*taken_over, "no_completed_request"])
        return CellResult(key, record, checks=tuple(checks), codes=codes)
    checks += [window_check(window, context.min_s(key.load)), *noted_checks(record.served.notes)]
    checks += [] if engine is None else [engine_check(engine, window)]
    series, boards = _series(power), boards_seen(occupancy, window)
    of_engine, engines = of_the_engine(series, boards), readings_of_the_engine(power, series, boards)
    checks += [*occupancy_checks(occupancy, window, boards_of(of_engine)), *throttle_checks(engines, window)]
    checks += [] if record.power_clock is None else [clock_check(record.power_clock, window)]
    seen = look_again(requests, window, grades)
    share = shares_in(requests, window)
    rates = _rates(requests, share, key.load, context)
    measured = Measured(requests, window, share, rates, latency, accuracy, seen.outside, seen.itl_ms)
    if share.output_tokens is None:
        taken_over.append("tokens_unknown")
    beside = residents_checks(record.audit.residents_cpu_share, _cpus(record, context))
    checks += [*length_checks(requests), *imported_checks(record.imported, requests, window), *beside]
    checks += board_checks(record.board, power)
    energies = _energies(of_engine, measured, record, _sensors(record, context), seen.chunks)
    trends = trends_in(requests, engines, primary(list(energies)), window)
    checks += trends.checks
    attributions, phase = _attributions(measured, primary(list(energies)), seen.work)
    return CellResult(
        key=key,
        record=record,
        measured=measured,
        energies=energies,
        energy_reasons=_energy_reasons(requests, power, record),
        elsewhere=_elsewhere(record, of_engine, boards),
        idle_boards=idle_boards_w(series, boards, window),
        checks=tuple(checks),
        codes=_codes(checks, taken_over),
        client=client_check(_shares_of_the_metered_host(record), _cpus(record, context)),
        attributions=attributions,
        slo=context.slo_of(key.load),
        sampled=context.sampled,
        drafts=drafts_in(engine, window),
        phase=phase,
        trends=trends,
    )


def _rates(requests: Requests, share: WindowShare, load: str, context: Context) -> WindowShare:
    """Return what requests and tokens a second are of: an open load's window may be too short for its last gap."""
    return rated(requests, share, context.qps(load)) if context.is_open(load) else share


def _of_requests(requests: Requests, latency: Latencies, record: CellRecord, context: Context) -> list[Check]:
    checks = request_checks(
        requests,
        latency,
        is_open=context.is_open(record.load),
        is_capped=context.most_in_flight(record.load) is not None,
        prefix_cache=context.asks_for_cache(record),
        may_fail=record.rate is not None,
    )
    return [*checks, *rate_checks(record.rate, requests)]


def _of_the_grader(grades: pa.Table | None) -> list[Check]:
    version = None if grades is None else grader_of(grades.schema.metadata)
    if version is None or not is_older(version):
        return []
    return [
        Check(OLDER_GRADER, False, float(version), "grader version", lo=float(GRADER_VERSION), noted=True)
    ]


def failures_of(run: RunDir) -> Mapping[CellKey, Sequence[Attempt]]:
    """Collect the tries that failed, by cell; none where their file cannot be read, of which the run has a warning."""
    try:
        return read_attempts(run)
    except TraceError:
        return {}


def _power(files: CellFiles) -> pa.Table | None:
    power = files.find("power")
    return None if power is None else each_once(power)


def _series(power: pa.Table | None) -> list[PowerSeries]:
    return [] if power is None else without_mirrors(read_series(power))


def _elsewhere(record: CellRecord, series: list[PowerSeries], boards: Boards) -> Check | None:
    """Report what was seen; and where nothing was, what the runner knew of its engine."""
    seen = metered_check(series, boards)
    if seen is None and "engine_not_metered" in record.validity:
        return Check("engine_not_metered", True, None, "boards", hi=0.0)
    return seen


def _energies(
    series: list[PowerSeries], measured: Measured, record: CellRecord, sensors: Sensors, chunks: Moments
) -> tuple[BoundaryEnergy, ...]:
    before, after = _stretch(record.phases.idle_before), _stretch(record.phases.idle_after)
    events = (At(measured.requests.sent_ns[measured.requests.timed]), chunks)
    return tuple(boundary_energies(series, measured.window, before, after, sensors, events))


def _sensors(record: CellRecord, context: Context) -> Sensors:
    """Return the sensors of the run, at the limits of the cell; of an imported cell what was stated of its logs."""
    if record.board is not None:
        shown = {device: board.power_limit_w for device, board in record.board.boards.items()}
        limits = {**context.sensors.limits_w, **{device: watts for device, watts in shown.items() if watts}}
        return replace(context.sensors, limits_w=limits)
    if record.imported is None:
        return context.sensors
    said = {log.device: Said(log.averages_s, log.clock_uncertainty_s) for log in record.imported.logs}
    return replace(context.sensors, imported=said)


def _energy_reasons(requests: Requests, power: pa.Table | None, record: CellRecord) -> tuple[str, ...]:
    if power is None or power.num_rows == 0:
        return ("no_power",)
    known, boot = ((of.metadata or {}).get(b"boot_id") for of in (requests.trace.schema, power.schema))
    if record.power_clock is not None:
        known = record.power_clock.boot_id.encode()
    return () if known == boot else ("clock_uncertain",)


def _cpus(record: CellRecord, context: Context) -> int | None:
    """Say how many CPUs the machine has whose power the cell holds."""
    return context.cpus if record.node is None else record.node.cpus


def _shares_of_the_metered_host(record: CellRecord) -> list[float | None]:
    """CPU shares of what of ours ran beside the engine: on another host the load generator did not."""
    generator = record.audit.cpu_share if record.power_clock is None else None
    return [generator, record.audit.sidecar_cpu_share]


def _attributions(
    measured: Measured, energy: BoundaryEnergy | None, work: Work
) -> tuple[dict[str, Attribution], PhaseInput | None]:
    """Attribute joules to each request from this cell alone, and collect what the rule ``phase`` needs of it."""
    if energy is None or energy.energy_j is None or not energy.curves:
        return {}, None
    requests, window = measured.requests, measured.window
    timed = requests.timed
    start, end = requests.sent_ns, requests.end_ns
    if not timed.all():  # no life that is known: nothing to charge
        start, end = (np.where(timed, at_ns, window.start_ns) for at_ns in (start, end))
    lives = flights(start, end, window)
    joules = {"in_flight": in_flight(lives, energy.curves)}
    if measured.share.output_tokens is None:
        return joules, None
    joules["tokens"] = by_tokens(measured.share.tokens, energy.energy_j)
    idle_j = lives.idle_j(energy.curves, work.edges_s)
    all_j = np.diff(joules_at(work.edges_s, energy.curves))
    return joules, PhaseInput(work, all_j - idle_j, energy.energy_j, float(idle_j.sum()))


def _codes(checks: list[Check], others: list[str]) -> tuple[str, ...]:
    return tuple(sorted({check.code for check in checks if check.failed} | set(others)))


def _stretch(phase: Phase | None) -> Window | None:
    return None if phase is None else Window(phase.start_ns, phase.end_ns)
