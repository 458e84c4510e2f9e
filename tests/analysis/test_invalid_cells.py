"""What is wrong with a cell is a row with its reason, and leaves the contrasts; every missing figure says why."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from analysis.energy.sensor import BOARD_FACTOR, BOARD_OFFSET_W
from analysis.tables import analyze, read_table
from tests.golden.engine import SECOND
from tests.golden.world import Sensor, World, write_rows
from tests.support.tables import row
from traces.attempts import Attempt, note_attempt
from traces.cell import read_cell, read_record, write_cell
from traces.layout import CellKey
from traces.schemas import OCCUPANCY, POWER
from traces.streams import read_trace

MODELLED = Sensor(source="modelled", boundary="cpu", device="engine")


@pytest.mark.parametrize("name", ["requests", "power", "engine", "grades"])
def test_a_truncated_trace_is_a_row_with_a_reason_and_leaves_the_contrasts(small: World, name: str) -> None:
    path = small.run.cell(small.cell_keys()[1]) / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    summary = analyze(small.run)
    assert [cell.reasons for cell in summary.invalid] == [("trace_damaged",)]
    assert str(path) in (summary.invalid[0].problem or "")
    broken = row(small.run, "closed-8", "window_s")
    assert not broken.valid
    assert list(broken.reasons) == ["trace_damaged"]
    factor = read_table(small.run, "contrasts").to_pandas().set_index("metric").loc["energy_factor"]
    assert not factor.valid
    assert set(factor.reasons) == {"no_valid_block", "trace_damaged"}


def test_a_cell_without_power_keeps_latency_and_has_null_joules(small: World) -> None:
    (small.run.cell(small.cell_keys()[1]) / "power.parquet").unlink()
    summary = analyze(small.run)
    assert [cell.reasons for cell in summary.invalid] == [("no_power",)]
    assert row(small.run, "closed-8", "e2e_p50_ms").valid
    joules = row(small.run, "closed-8", "j_per_request")
    assert math.isnan(joules.value)
    assert list(joules.reasons) == ["no_power"]


def test_a_cell_without_a_completed_request_has_no_window(small: World) -> None:
    folder = small.run.cell(small.cell_keys()[1])
    table = read_trace(folder, "requests")
    status = pa.array(["timeout"] * table.num_rows)
    pq.write_table(
        table.set_column(table.schema.get_field_index("status"), "status", status),
        folder / "requests.parquet",
    )
    analyze(small.run)
    assert list(row(small.run, "closed-8", "window_s").reasons) == ["errors", "no_completed_request"]


def test_a_hole_in_the_power_trace_is_a_gap(small: World) -> None:
    key = small.cell_keys()[0]
    truth, folder = small.truth[key], small.run.cell(key)
    middle = (truth.start_ns + truth.end_ns) // 2
    rows = [
        reading
        for reading in read_trace(folder, "power").to_pylist()
        if abs(reading["t_ns"] - middle) > 1_000_000_000
    ]
    write_rows(folder, "power", POWER, rows)
    summary = analyze(small.run)
    assert [cell.reasons for cell in summary.invalid] == [("power_gap",)]
    check = row(small.run, "single-stream", "check:power_gap")
    assert check.value > 2
    assert check.hi == 1


def test_a_wrong_gain_of_power_against_its_counter_is_found(small: World) -> None:
    key = small.cell_keys()[0]
    folder = small.run.cell(key)
    rows = [
        {**reading, "power_w": reading["power_w"] * 1.1}
        for reading in read_trace(folder, "power").to_pylist()
    ]
    write_rows(folder, "power", POWER, rows)
    summary = analyze(small.run)
    assert [cell.reasons for cell in summary.invalid] == [("counter_disagrees",)]
    assert row(small.run, "single-stream", "counter_integral_disagreement").value == pytest.approx(
        0.1, abs=0.01
    )


def test_traces_of_two_boots_are_not_joined_silently(small: World) -> None:
    folder = small.run.cell(small.cell_keys()[0])
    table = read_trace(folder, "power")
    other = {**table.schema.metadata, b"boot_id": b"another"}
    pq.write_table(table.replace_schema_metadata(other), folder / "power.parquet")
    assert [cell.reasons for cell in analyze(small.run).invalid] == [("clock_uncertain",)]


def test_a_planned_cell_that_was_not_finished_is_named(small: World) -> None:
    key = small.cell_keys()[1]
    (small.run.cell(key) / "cell.json").unlink()
    note_attempt(small.run, Attempt.now(key, "the engine fell"))
    summary = analyze(small.run)
    assert (summary.cells, summary.measured) == (2, 1)
    assert [cell.problem for cell in summary.invalid] == ["the engine fell"]
    assert list(row(small.run, "closed-8", "window_s").reasons) == ["not_measured"]


def test_a_run_of_one_endpoint_without_a_study_is_read(small: World) -> None:
    small.run.study.unlink()
    small.run.plan.unlink()
    folder = small.run.cell(CellKey("m", "endpoint", "mine", 1))
    shutil.move(small.run.cell(small.cell_keys()[0]), folder)
    said = {"model": "m", "variant": "endpoint", "load": "mine", "block": 1}
    write_cell(folder, read_record(folder).model_copy(update=said))
    shutil.rmtree(small.run.cells / small.cell_keys()[0].model)
    summary = analyze(small.run)
    assert (summary.cells, summary.measured, summary.contrasts) == (1, 1, 0)


def test_ungraded_completions_leave_joules_valid(small: World) -> None:
    for key in small.cell_keys():
        (small.run.cell(key) / "grades.parquet").unlink()
    assert analyze(small.run).invalid == ()
    assert row(small.run, "closed-8", "j_per_request").valid
    for metric in ("pass_at_1_plus", "j_per_solved_task"):
        line = row(small.run, "closed-8", metric)
        assert math.isnan(line.value)
        assert list(line.reasons) == ["not_graded"]


def test_modelled_and_measured_joules_stay_apart(small: World) -> None:
    key = small.cell_keys()[0]
    folder = small.run.cell(key)
    measured = read_trace(folder, "power").to_pylist()
    doubled = [
        {**reading, "device": "engine", "boundary": "gpu", "source": "modelled"} for reading in measured
    ]
    write_rows(folder, "power", POWER, measured + doubled)
    analyze(small.run)
    table = read_table(small.run, "cells").to_pandas()
    rows = table[(table.load == key.load) & (table.metric == "energy_gross_j")].set_index("source").value
    assert set(rows.index) == {"nvml", "modelled"}
    assert rows.nvml == pytest.approx(small.truth[key].energy_j, rel=0.005)


def test_two_devices_of_one_boundary_are_summed(small: World) -> None:
    key = small.cell_keys()[0]
    folder = small.run.cell(key)
    readings = read_trace(folder, "power").to_pylist()
    write_rows(folder, "power", POWER, readings + [{**row, "device": "GPU-second"} for row in readings])
    analyze(small.run)
    line = row(small.run, key.load, "energy_gross_j")
    assert line.value == pytest.approx(2 * small.truth[key].energy_j, rel=0.005)


@pytest.mark.parametrize(
    ("state", "during", "reasons"),
    [
        ("exclusive", True, ()),
        ("unknown", True, ()),
        ("shared", True, ("gpu_shared",)),
        ("shared", False, ()),
    ],
)
def test_anothers_process_on_the_gpu_makes_the_cell_invalid_and_hidden_ones_are_noted(
    small: World, state: str, during: bool, reasons: tuple[str, ...]
) -> None:
    key = small.cell_keys()[0]
    truth = small.truth[key]
    t_ns = truth.start_ns + 1 if during else truth.end_ns + SECOND
    looks = [
        {"t_ns": truth.start_ns, "device": "GPU-golden", "state": "exclusive", "pids": [1], "foreign": []},
        {"t_ns": t_ns, "device": "GPU-golden", "state": state, "pids": [1, 2], "foreign": [2]},
    ]
    write_rows(small.run.cell(key), "occupancy", OCCUPANCY, looks)
    assert tuple(code for cell in analyze(small.run).invalid for code in cell.reasons) == reasons
    note = row(small.run, key.load, "check:exclusivity_unknown")
    assert list(note.reasons) == (["exclusivity_unknown"] if state == "unknown" else [])
    assert note.valid


@pytest.mark.parametrize(("mask", "invalid"), [(0x0, False), (0x4, False), (0x40, True), (0x24, True)])
def test_clocks_held_down_by_heat_make_the_cell_invalid_and_a_power_cap_does_not(
    small: World, mask: int, invalid: bool
) -> None:
    key = small.cell_keys()[0]
    folder = small.run.cell(key)
    rows = [{**reading, "throttle": mask} for reading in read_trace(folder, "power").to_pylist()]
    write_rows(folder, "power", POWER, rows)
    assert [cell.reasons for cell in analyze(small.run).invalid] == [("throttled",)] * invalid
    assert row(small.run, key.load, "check:throttled").value == float(invalid)


@pytest.mark.parametrize(("seen", "reasons"), [(False, ()), (None, ("throttled",))])
def test_a_board_that_is_not_the_engines_may_throttle(
    small: World, seen: bool | None, reasons: tuple[str, ...]
) -> None:
    key = small.cell_keys()[-1]
    folder, truth = small.run.cell(key), small.truth[key]
    readings = read_trace(folder, "power").to_pylist()
    beside = [{**reading, "device": "GPU-second", "throttle": 0x40} for reading in readings]
    write_rows(folder, "power", POWER, readings + beside)
    look = {"t_ns": truth.start_ns + 1, "state": "unknown", "pids": [], "foreign": []}
    looks = [
        {**look, "device": "GPU-golden", "engine": True},
        {**look, "device": "GPU-second", "engine": seen},
    ]
    write_rows(folder, "occupancy", OCCUPANCY, looks)
    assert tuple(code for cell in analyze(small.run).invalid for code in cell.reasons) == reasons


def test_a_busy_client_marks_the_rows_of_the_cpus_meter(tmp_path: Path) -> None:
    sensor = Sensor(source="rapl", boundary="cpu", device="package-0")
    world = World(tmp_path / "run", variants=("bf16",), blocks=1, sensor=sensor).build()
    key = world.cell_keys()[0]
    for share, marked in ((0.02, False), (0.2, True)):
        record = read_cell(world.run.cell(key))
        audit = record.audit.model_copy(update={"cpu_share": share})
        write_cell(world.run.cell(key), record.model_copy(update={"audit": audit}))
        analyze(world.run)
        line = row(world.run, key.load, "check:client_cpu")
        assert line.value == pytest.approx(share + 0.01)
        assert list(line.reasons) == ["client_cpu"] * marked


def test_a_measured_boundary_has_its_gain_beside_it_and_a_factor_scales_all_joules(small: World) -> None:
    key = small.cell_keys()[0]
    analyze(small.run)
    gain = row(small.run, key.load, "energy_gain")
    power_w = row(small.run, key.load, "power_mean_w").value
    half = math.hypot(BOARD_FACTOR, BOARD_OFFSET_W / power_w)
    assert (gain.value, gain.interval_kind) == (1.0, "gain")
    assert (gain.lo, gain.hi) == pytest.approx((1 - half, 1 + half))
    before = row(small.run, key.load, "energy_gross_j").value
    study = yaml.safe_load(small.run.study.read_text())
    given = {"factor": 1.02, "uncertainty": 0.004, "offset_w": 3.0, "offset_uncertainty_w": 0.0}
    study["meters"] = {"gain": {"GPU-golden": given}}
    small.run.study.write_text(yaml.safe_dump(study))
    analyze(small.run)
    gain = row(small.run, key.load, "energy_gain")
    assert (gain.lo, gain.hi) == pytest.approx((0.996, 1.004))
    for metric in ("energy_gross_j", "energy_counter_j", "energy_integral_j", "power_idle_w"):
        assert row(small.run, key.load, metric).value > 0
    seconds = row(small.run, key.load, "window_s").value
    assert row(small.run, key.load, "energy_gross_j").value == pytest.approx(1.02 * before + 3.0 * seconds)


def test_an_offset_that_is_not_known_leaves_ratios_open_and_a_factor_does_not(small: World) -> None:
    study = yaml.safe_load(small.run.study.read_text())
    rows = {}
    for off_w in (0.0, 20.0):
        gain = {"factor": 1.0, "uncertainty": 0.1, "offset_uncertainty_w": off_w}
        small.run.study.write_text(yaml.safe_dump({**study, "meters": {"gain": {"GPU-golden": gain}}}))
        analyze(small.run)
        table = read_table(small.run, "contrasts").to_pandas()
        rows[off_w] = table[table.metric == "energy_factor_gain"].iloc[0]
    assert (rows[0.0].lo, rows[0.0].hi) == pytest.approx((rows[0.0].value, rows[0.0].value))
    single, batched = (row(small.run, key.load, "power_mean_w").value for key in _by_power(small))
    ends = sorted((1 + s * 20 / single) / (1 + s * 20 / batched) for s in (-1, 1))
    assert (rows[20.0].lo, rows[20.0].hi) == pytest.approx(tuple(end * rows[20.0].value for end in ends))
    assert rows[20.0].interval_kind == "gain"


def _by_power(world: World) -> list[CellKey]:
    """Single-stream, then the batched load."""
    return sorted(world.cell_keys(), key=lambda key: key.load != "single-stream")


def test_every_missing_figure_has_a_reason_and_every_valid_one_is_there(small: World) -> None:
    for key, name in zip(small.cell_keys(), ("power", "grades"), strict=True):
        (small.run.cell(key) / f"{name}.parquet").unlink()
    analyze(small.run)
    table = read_table(small.run, "cells").to_pandas()
    table = table[~table.metric.str.startswith("check:")]
    assert table.value.isna().any()
    assert ((table.reasons.map(len) == 0) == table.valid).all()
    assert (table.valid <= table.value.notna()).all()


def test_the_worlds_counter_moves_in_steps(small: World) -> None:
    energy = read_trace(small.run.cell(small.cell_keys()[0]), "power").to_pandas().energy_j
    assert 0.3 < (energy.diff() > 0).mean() < 0.6
