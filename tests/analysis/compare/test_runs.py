"""Runs beside each other: simulated machines whose joules are known, so the ratio between them is known too."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import yaml

from analysis.cells.context import Context
from analysis.compare.gains import gains_beside
from analysis.compare.runs import PASSED, Comparison, Difference, compare, names_of
from analysis.energy.sensor import BOARD_FACTOR
from analysis.keys import MeterKey
from analysis.report.comparison import answer_lines, write_comparison
from analysis.report.words.gains import beside_words
from analysis.results.headline import ESTIMATED
from analysis.results.points import Results
from analysis.results.sentences import percent
from configs.executor import SideBySide
from configs.loader import dump_study
from configs.meters import GainSettings, Meters
from configs.schema import Study
from starwatt_errors import UsageError
from study.cli.compare import compare_runs
from tests.analysis.compare.conftest import VARIANTS
from tests.analysis.report.test_report import Page
from tests.golden.world import LOADS, Sensor, World
from tests.support.command import starwatt
from traces.atomic import read_json, write_json


@pytest.fixture(scope="module")
def comparison(worlds: tuple[World, World]) -> Comparison:
    return compare([world.run for world in worlds])


def one_of(comparison: Comparison, variant: str, load: str, metric: str = "j_per_request") -> Difference:
    (found,) = (
        difference
        for difference in comparison.of(metric)
        if (difference.variant, difference.load) == (variant, load)
    )
    return found


@pytest.mark.parametrize("load", ["single-stream", "closed-8", "open-4-poisson"])
def test_the_ratio_is_that_of_the_true_joules(
    worlds: tuple[World, World], comparison: Comparison, load: str
) -> None:
    for variant in VARIANTS:
        truths = []
        for world in worlds:
            truths_of = [
                truth for key, truth in world.truth.items() if (key.variant, key.load) == (variant, load)
            ]
            truths.append(
                math.exp(sum(math.log(truth.j_per_request) for truth in truths_of) / len(truths_of))
            )
        estimate = one_of(comparison, variant, load).estimate
        assert estimate.ratio == pytest.approx(truths[1] / truths[0], rel=0.02)
        assert estimate.ratio is not None
        assert estimate.lo is not None
        assert estimate.hi is not None
        assert estimate.lo <= estimate.ratio <= estimate.hi
        assert (estimate.lo <= 1 <= estimate.hi) == (variant == "int8-bnb")
        assert estimate.hi / estimate.lo < 1.1  # each block met the same arrivals in both runs


def test_what_nothing_changed_is_said_to_be_no_difference_that_can_be_seen(comparison: Comparison) -> None:
    lines = answer_lines(comparison)
    assert len(lines) == 6
    assert [line for line in lines if "int8-bnb" in line and "no difference" in line]
    assert all("more J/request than first (95 %" in line for line in lines if "bf16" in line)


def test_pass_at_1_is_compared_task_by_task(comparison: Comparison) -> None:
    same = one_of(comparison, "bf16", "closed-8", PASSED).estimate
    assert (same.ratio, same.blocks) == (0, 24)
    assert (same.lo, same.hi) == pytest.approx((-0.138, 0.138), abs=0.001)  # Tango's, of 24 tasks that agree
    fewer = one_of(comparison, "int8-bnb", "closed-8", PASSED).estimate
    assert fewer.ratio == pytest.approx(-0.5, abs=0.05)
    assert fewer.hi is not None
    assert fewer.hi < 0


def test_what_only_one_run_has_and_what_differs_is_listed(comparison: Comparison) -> None:
    (other,) = comparison.others
    assert other.missing == ()
    assert {side[1] for side in other.added} == {"pruned-last-1"}
    assert [change.field for change in other.study] == ["variants"]
    assert other.machine == ()


def test_who_measured_when_is_no_difference_but_another_driver_is(tmp_path: Path) -> None:
    runs = [
        World(tmp_path / name, variants=("bf16",), loads=(LOADS[0],)).build().run for name in ("one", "two")
    ]
    for number, run in enumerate(runs):
        manifest = read_json(run.manifest)
        for device in manifest["sensor_calibration"]["devices"].values():
            device["read_ms"] = 0.1 + number
        sessions = [{"begun": f"2026-01-0{number + 1}", "boot_id": str(number), "changed": []}]
        write_json(run.manifest, {**manifest, "sessions": sessions, "git": {"commit": str(number)}})
    write_json(runs[1].manifest, {**read_json(runs[1].manifest), "repeats": {"seed": 20}})
    assert [difference.field for difference in compare(runs).others[0].machine] == ["git.commit"]
    manifest = read_json(runs[1].manifest)
    manifest["sessions"].append({"begun": "2026-01-03", "boot_id": "3", "changed": ["gpus: driver"]})
    write_json(runs[1].manifest, manifest)
    assert "sessions" in [difference.field for difference in compare(runs).others[0].machine]


def test_the_gains_of_two_boards_stand_beside_the_ratio_and_that_of_one_cancels(
    worlds: tuple[World, World], comparison: Comparison, tmp_path: Path
) -> None:
    one, two = (
        World(tmp_path / name, variants=("bf16",), loads=LOADS[:1], sensor=Sensor(device=f"GPU-{name}"))
        for name in ("one", "two")
    )
    one.build()
    text = dump_study(
        one._study().model_copy(
            update={"meters": Meters(gain={"GPU-two": GainSettings(factor=1, uncertainty=0.12)})}
        )
    )
    two.build().run.study.write_text(text, encoding="utf-8")
    runs = [one.run, two.run]
    found = compare(runs)
    gains = found.others[0].gains
    assert gains is not None
    assert (gains.boards, gains.same_boards) == ((("GPU-one",), ("GPU-two",)), False)
    first, second = gains.half_widths
    assert first is not None
    assert first > BOARD_FACTOR, "an offset is in it"
    assert second == pytest.approx(0.12)
    assert gains.together == pytest.approx(math.hypot(first, 0.12)), "independent"
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    words = (
        f"is in these ratios, and in none of the intervals: up to 12 % and {percent(first)} %, together about"
    )
    assert words in page
    assert "1.15 to 1.62 times" in page, "two boards of one kind"

    same = comparison.others[0].gains
    assert same is not None
    assert same.same_boards
    path = write_comparison(comparison, tmp_path / "same.html")
    words = (
        "second was measured on GPU-golden as first was: the gain cancels in these ratios but for an offset"
    )
    assert f"{words} (up to 23 W)" in path.read_text(encoding="utf-8")


def test_of_a_meter_of_unknown_gain_no_figure_is_made_up_and_of_an_estimate_nothing_is_said() -> None:
    rapl = Results(
        MeterKey("cpu", "rapl"), (), (), (), tuple(_gain_row(half_width) for half_width in (None, 0.05))
    )
    pair, contexts = MeterKey("cpu", "rapl"), (Context(), Context())
    gains = gains_beside(contexts, (rapl, rapl), pair)
    assert gains is not None
    assert (gains.same_boards, gains.half_widths, gains.together) == (None, (None, None), None)
    words = beside_words(gains, ("one", "two"), pair)
    assert words.startswith("Whether two was measured by the same cpu as one is not known.")
    assert words.endswith("how much that is, is not known.")
    assert gains_beside(contexts, (rapl, rapl), MeterKey("cpu", "modelled")) is None
    assert gains_beside(contexts, (rapl, rapl), None) is None


def test_gains_cancel_where_every_cell_had_all_boards_and_not_where_cells_were_spread_over_them(
    worlds: tuple[World, World],
) -> None:
    study = worlds[0]._study()
    spread = study.model_copy(update={"executor": SideBySide()})
    gpus = {"gpus": [{"uuid": "GPU-a"}, {"uuid": "GPU-b"}]}
    results = Results(MeterKey("gpu", "nvml"), (), (), (), ())

    def same(first: Study, second: Study, *, boards: int = 2) -> bool | None:
        manifest = {"gpus": gpus["gpus"][:boards]}
        contexts = Context(first, manifest), Context(second, manifest)
        gains = gains_beside(contexts, (results, results), MeterKey("gpu", "nvml"))
        assert gains is not None
        return gains.same_boards

    assert same(study, study) is True
    assert same(study, spread) is None
    assert same(spread, spread, boards=1) is True


def _gain_row(half: float | None) -> dict[str, object]:
    hi = None if half is None else 1 + half
    return {"metric": "energy_gain", "boundary": "cpu", "source": "rapl", "hi": hi}


def test_one_setting_of_a_board_is_named_with_both_its_values(tmp_path: Path) -> None:
    runs = [
        World(tmp_path / name, variants=("bf16",), loads=(LOADS[0],)).build().run for name in ("one", "two")
    ]
    names = ("uuid", "name", "driver", "serial", "vbios", "pci")
    board = {**{name: f"{name} of a board " * 3 for name in names}, "power_limit_w": 700.0, "ecc": True}
    changed = {**board, "power_limit_w": 690.0, "ecc": False}
    write_json(runs[0].manifest, {**read_json(runs[0].manifest), "gpus": [board, board]})
    write_json(runs[1].manifest, {**read_json(runs[1].manifest), "gpus": [board, changed]})
    differences = compare(runs).others[0].machine
    assert {difference.field: difference.words for difference in differences} == {
        "gpus.1.power_limit_w": ("700.0", "690.0"),
        "gpus.1.ecc": ("True", "False"),
    }


@pytest.mark.parametrize("modelled", [False, True])
def test_the_terminal_says_which_joules_and_whether_they_are_estimates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, modelled: bool
) -> None:
    sensor = Sensor(source="modelled", boundary="cpu", device="engine") if modelled else Sensor()
    roots = [
        World(tmp_path / name, variants=("bf16",), loads=(LOADS[0],), sensor=sensor, jitter=0.002)
        .build()
        .root
        for name in ("one", "other")
    ]
    compare_runs(roots, tmp_path / "page.html", as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert f"joules of the boundary {'cpu, by modelled' if modelled else 'gpu, by nvml'}" in said
    assert ("no difference in estimated J/request" in said) == modelled
    assert (ESTIMATED in said) == modelled


def test_joules_of_different_boundaries_are_never_set_against_each_other(tmp_path: Path) -> None:
    measured = World(tmp_path / "measured", variants=("bf16",)).build()
    sensor = Sensor(source="modelled", boundary="cpu", device="engine")
    modelled = World(tmp_path / "modelled", variants=("bf16",), sensor=sensor).build()
    found = compare([measured.run, modelled.run])
    assert found.pair is None
    joules = [
        difference
        for difference in found.differences
        if difference.metric in ("j_per_request", "power_mean_w")
    ]
    assert joules
    assert all(difference.estimate.reasons == ("no_common_boundary",) for difference in joules)
    assert one_of(found, "bf16", "closed-8", "request_rate").estimate.ratio == pytest.approx(1)
    page = write_comparison(found, tmp_path / "page.html")
    assert "No joules are compared." in page.read_text(encoding="utf-8")


def test_runs_with_other_seeds_are_no_pairs(worlds: tuple[World, World], tmp_path: Path) -> None:
    other = World(tmp_path / "other", variants=("bf16",)).build()
    study = other.run.study.read_text(encoding="utf-8")
    other.run.study.write_text(study.replace("seed: 20", "seed: 21"), encoding="utf-8")
    found = compare([worlds[0].run, other.run])
    assert not found.others[0].paired
    wide = one_of(found, "bf16", "open-4-poisson").estimate
    assert wide.lo is not None
    assert wide.hi is not None
    assert wide.hi / wide.lo > 1.2  # whose arrivals differ from block to block


@pytest.mark.parametrize(
    ("prompts", "field"),
    [
        ({"max_tokens": 64}, "prompts.max_tokens"),
        ({"output": {"fixed": 32}}, "prompts.output"),
        ({"tasks": 12}, "prompts.tasks"),
        ({"dataset": "humaneval+"}, "prompts.dataset"),
        ({"temperature": 0.5}, "prompts.temperature"),
    ],
)
def test_where_something_else_was_asked_no_percentage_leads_and_what_differs_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prompts: dict[str, object], field: str
) -> None:
    one, other = (
        World(tmp_path / name, variants=("bf16",), loads=(LOADS[0],), blocks=1).build().run
        for name in ("one", "other")
    )
    study = yaml.safe_load(other.study.read_text(encoding="utf-8"))
    study["prompts"] |= prompts
    other.study.write_text(yaml.safe_dump(study), encoding="utf-8")
    compare_runs([one.root, other.root], tmp_path / "page.html", as_json=False)
    said = capsys.readouterr().err
    assert field in said.split("│")[0], "before the table"
    found = compare([one, other])
    assert [change.field.partition(".fixed")[0] for change in found.others[0].asked] == [field]
    assert answer_lines(found) == []
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index(field) < page.index('id="answer"')
    assert "less J/request" not in page
    assert "more J/request" not in page
    assert found.of("j_per_request")[0].estimate.ratio is not None, "the tables have it still"


def test_another_board_makes_no_headline_and_the_same_one_does(
    tmp_path: Path, comparison: Comparison
) -> None:
    runs = [
        World(
            tmp_path / name,
            variants=("bf16",),
            loads=LOADS[:1],
            blocks=1,
            sensor=Sensor(device=f"GPU-{name}"),
        )
        .build()
        .run
        for name in ("one", "two")
    ]
    found = compare(runs)
    assert [(difference.field, *difference.words) for difference in found.others[0].asked] == [
        ("boards", "GPU-one", "GPU-two")
    ]
    assert answer_lines(found) == []
    assert comparison.others[0].asked == ()
    assert answer_lines(comparison)


def test_one_engine_start_has_no_interval(tmp_path: Path) -> None:
    runs = [
        World(tmp_path / name, variants=("bf16",), engine_restarts="once", jitter=0.002).build().run
        for name in ("one", "two")
    ]
    estimate = one_of(compare(runs), "bf16", "closed-8").estimate
    assert (estimate.lo, estimate.reasons) == (None, ("one_engine_start",))


def test_an_engine_that_others_started_has_no_interval_but_the_variant_beside_it_has(tmp_path: Path) -> None:
    runs = [
        World(tmp_path / name, variants=VARIANTS, loads=(LOADS[0],), jitter=0.002).build().run
        for name in ("one", "two")
    ]
    study = yaml.safe_load(runs[1].study.read_text(encoding="utf-8"))
    study["remote"] = {"int8-bnb": {"url": "http://127.0.0.1:1"}}  # in one of the two
    runs[1].study.write_text(yaml.safe_dump(study), encoding="utf-8")
    found = compare(runs)
    far, near = (one_of(found, variant, "single-stream").estimate for variant in ("int8-bnb", "bf16"))
    assert (far.lo, far.hi, far.reasons) == (None, None, ("one_engine_start",))
    assert near.lo is not None
    rates = [one_of(found, variant, "single-stream", "request_rate").estimate for variant in VARIANTS]
    assert [rate.reasons for rate in rates] == [("blocks_agree",), ("blocks_agree", "one_engine_start")]
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "nor where all blocks of a variant had one engine start or an engine that others started" in page


def test_two_blocks_have_a_ratio_and_no_interval(tmp_path: Path) -> None:
    runs = [World(tmp_path / name, variants=("bf16",), blocks=2).build().run for name in ("one", "two")]
    estimate = one_of(compare(runs), "bf16", "closed-8").estimate
    assert estimate.ratio == pytest.approx(1)
    assert (estimate.lo, estimate.reasons) == (None, ("too_few_blocks",))


def test_the_page_is_well_formed_and_needs_nothing_from_outside(
    worlds: tuple[World, World], comparison: Comparison, tmp_path: Path
) -> None:
    path = write_comparison(comparison, tmp_path / "page.html")
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")
    (image,) = (attributes for _, attributes in page.tags if attributes.get("role") == "img")
    assert "bf16 under closed-8" in (image["aria-label"] or "")
    assert "no difference in J/request" in html


def test_the_command_prints_json_and_writes_the_page(worlds: tuple[World, World], tmp_path: Path) -> None:
    done = starwatt(
        "compare", *(str(world.root) for world in worlds), "--out", str(tmp_path / "c.html"), "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (tmp_path / "c.html").is_file()
    assert (told["reference"], told["boundary"], told["source"]) == ("first", "gpu", "nvml")
    assert {"j_per_request", PASSED} <= {difference["metric"] for difference in told["differences"]}


def test_in_a_pipe_no_figure_of_the_table_is_cut_off_or_folded(
    worlds: tuple[World, World], tmp_path: Path
) -> None:
    roots = [world.run.root for world in worlds]
    done = starwatt("compare", *roots, "--out", tmp_path / "c.html")
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stderr
    rows = [line.split("│")[1:-1] for line in done.stderr.splitlines() if line.startswith("│")]
    assert {row[0].strip() for row in rows} == set(worlds[0].variants), "a row a line"
    for row in rows:
        assert all(re.match(r"[+-]?[\d.]+( \(.* to .*\))?$", cell.strip()) for cell in row[2:-1]), row
    assert "the gain cancels in these ratios" in done.stderr


def test_the_same_run_twice_is_refused(worlds: tuple[World, World]) -> None:
    with pytest.raises(UsageError, match="different run directories"):
        compare([worlds[0].run, worlds[0].run])


def test_runs_are_named_by_what_tells_them_apart() -> None:
    assert names_of([Path("/a/b/run"), Path("/a/c/run")]) == ("b/run", "c/run")
    assert names_of([Path("/a/b"), Path("/a/c")]) == ("b", "c")
