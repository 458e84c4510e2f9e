"""A run as a library hands it out: frames that pandas reads, and the report's figures."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import starwatt
from analysis.points import points_of
from analysis.tables import analyze, read_table
from analysis.verify.run import verify
from tests.golden.world import LOADS, MODEL_NAME, Sensor, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two variants, of which the first is the baseline, two loads, three blocks, analysed."""
    folder = tmp_path_factory.mktemp("library") / "run"
    world = World(folder, variants=("int8-bnb", "bf16"), loads=LOADS[:2][::-1]).build()
    analyze(world.run)
    return world


def rows(frame: pd.DataFrame) -> list[Any]:
    """The rows of a frame, each column an attribute."""
    return [
        SimpleNamespace(**{str(name): value for name, value in row.items()})
        for row in frame.to_dict("records")
    ]


def test_the_summary_has_a_row_a_variant_and_load_with_the_baseline_and_single_stream_first(
    world: World,
) -> None:
    summary = starwatt.open(world.root).summary()
    assert summary[["variant", "load"]].to_numpy().tolist() == [
        ["int8-bnb", "single-stream"], ["int8-bnb", "closed-8"], ["bf16", "single-stream"], ["bf16", "closed-8"],
    ]  # fmt: skip
    assert set(summary.model) == {MODEL_NAME}
    assert set(summary.blocks) == {3}
    assert set(summary.boundary + " " + summary.source) == {"gpu nvml"}


def test_its_joules_are_the_worlds_and_lie_in_their_intervals(world: World) -> None:
    summary = starwatt.open(str(world.root)).summary(["j_per_request", "j_per_request_net"])
    for row in rows(summary):
        true = [
            truth.j_per_request
            for key, truth in world.truth.items()
            if (key.variant, key.load) == (row.variant, row.load)
        ]
        assert row.j_per_request == pytest.approx(sum(true) / 3, rel=0.01)
        assert row.j_per_request_lo < row.j_per_request < row.j_per_request_hi
        assert row.j_per_request_interval == "blocks"
    assert summary.j_per_request_valid.all()
    assert (summary.j_per_request_reasons == "").all()
    assert "e2e_p50_ms" not in summary


def test_pass_at_1_has_the_interval_of_its_tasks(world: World) -> None:
    summary = starwatt.open(world.root).summary(["pass_at_1_plus"])
    [row] = [row for row in rows(summary) if (row.variant, row.load) == ("int8-bnb", "closed-8")]
    assert row.pass_at_1_plus == pytest.approx(0.75, abs=0.1)
    assert 0 < row.pass_at_1_plus_lo < row.pass_at_1_plus < row.pass_at_1_plus_hi < 1
    assert row.pass_at_1_plus_interval == "tasks"


def test_summary_csv_is_the_same_and_the_same_bytes_each_time(world: World) -> None:
    text = world.run.summary.read_bytes()
    read = pd.read_csv(world.run.summary)
    told = starwatt.open(world.root).summary()
    assert list(read) == list(told)
    pd.testing.assert_frame_equal(read, told.replace("", None), check_dtype=False, check_exact=True)
    analyze(world.run)
    assert world.run.summary.read_bytes() == text


def test_a_run_that_was_not_analysed_is_only_read(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=1).build()
    before = sorted(world.root.rglob("*"))
    run = starwatt.open(world.root)
    [row] = rows(run.summary())
    assert row.j_per_request_interval == "measurement"
    assert (row.request_rate_valid, row.request_rate_reasons) == (True, "too_few_blocks")
    assert run.requests().shape[0] == 24
    assert "<svg" in run.figure("joules").svg
    assert sorted(world.root.rglob("*")) == before


def test_what_cannot_be_believed_is_missing_and_says_why(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=2).build()
    [first, second] = world.cell_keys()
    (world.run.cell(first) / "power.parquet").unlink()
    shutil.rmtree(world.run.cell(second))
    run = starwatt.open(world.root)
    [row] = rows(run.summary(["j_per_request", "j_per_output_token", "request_rate"]))
    assert (row.j_per_request_valid, row.j_per_request_reasons) == (False, "no_power")
    assert pd.isna(row.j_per_request)
    assert (row.j_per_output_token_valid, row.j_per_output_token_reasons) == (False, "no_power not_measured")
    assert row.request_rate_valid
    cells = run.cells()
    assert not cells[cells.metric == "j_per_request"].valid.any()


def test_contrasts_requests_and_accuracy_are_the_tables(world: World) -> None:
    run = starwatt.open(world.root)
    for name, frame in (
        ("contrasts", run.contrasts()), ("requests", run.requests()),
        ("accuracy", run.accuracy()), ("cells", run.cells()),
    ):  # fmt: skip
        assert len(frame) == read_table(world.run, name).num_rows > 0
    factors = run.contrasts().query("metric == 'energy_factor'")
    assert (factors.lo < factors.value).all()


def test_joules_of_another_meter_are_those_of_its_rows(tmp_path: Path) -> None:
    sensor = Sensor(source="modelled", boundary="cpu", device="engine")
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=1, sensor=sensor).build()
    run = starwatt.open(world.root)
    assert run.meters == (("cpu", "modelled"),)
    assert run.summary(meter=("cpu", "modelled")).equals(run.summary())
    with pytest.raises(starwatt.UsageError, match=r"takes one of the run's meters: \('cpu', 'modelled'\)"):
        run.summary(meter=("gpu", "nvml"))


def test_what_is_not_there_is_named_with_what_is(world: World, tmp_path: Path) -> None:
    run = starwatt.open(world.root)
    with pytest.raises(starwatt.UsageError, match="no figure is called watts: take one of joules, "):
        run.figure("watts")
    with pytest.raises(starwatt.UsageError, match="metric 'joules': there is none"):
        run.summary(["joules"])
    with pytest.raises(starwatt.UsageError, match="there is no run directory"):
        starwatt.open(tmp_path / "none")


def test_a_figure_shows_itself_in_a_notebook_and_is_saved_as_svg(world: World, tmp_path: Path) -> None:
    figure = starwatt.open(world.root).figure("joules", model=MODEL_NAME)
    assert figure.title.startswith("J/request")
    assert figure._repr_svg_() == figure.save(tmp_path / "joules.svg").read_text(encoding="utf-8")


def test_verify_finds_a_summary_that_was_changed_and_misses_none_of_an_older_run(
    world: World, tmp_path: Path
) -> None:
    run = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=1).build().run
    analyze(run)

    def found() -> list[str]:
        return [finding.what for finding in verify(run).findings if finding.where == str(run.summary)]

    assert found() == []
    whole = run.summary.read_text(encoding="utf-8")
    run.summary.write_text(whole.replace(",true,", ",false,", 1), encoding="utf-8")
    assert found()[0].startswith("j_per_request_valid differs in 1 rows")
    for damaged in (
        "",
        whole.replace("j_per_request", "joules"),
        whole.replace(",1,", ",many,", 1),
        "\0\n1\n",
    ):
        run.summary.write_text(damaged, encoding="utf-8")
        assert "starwatt analyze makes it again" in found()[0]
    run.summary.unlink()
    assert found() == []


def test_points_are_averages_over_valid_blocks_alone() -> None:
    def row(block: int, value: float | None, *, valid: bool) -> dict[str, object]:
        return {
            "model": "m", "variant": "v", "load": "l", "block": block, "metric": "j_per_request", "value": value,
            "valid": valid, "reasons": [] if valid else ["drift"], "interval_kind": None, "lo": None, "hi": None,
        }  # fmt: skip

    [point] = points_of(
        [row(1, 1.0, valid=True), row(2, 9.0, valid=False), row(3, 3.0, valid=True)], lambda _: False
    )
    assert (point.mean("j_per_request"), point.blocks, point.why(["j_per_request"])) == (2.0, 3, ("drift",))
