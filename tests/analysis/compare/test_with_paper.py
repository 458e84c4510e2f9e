"""A simulated run beside the paper's: the truth of one side and the published runs of the other are both known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats

from analysis.compare.paper import Configuration, read_runs
from analysis.compare.with_paper import PaperComparison, PaperRow, beside_paper
from analysis.contrasts.statistics import effect_ratio, paired_ratio, unpaired_ratio
from analysis.report.paper_page import paper_lines, write_paper_page
from starwatt_errors import UsageError
from tests.analysis.report.test_report import Page
from tests.golden import world as golden
from tests.golden.engine import Load
from tests.golden.world import FASTER, SLOWER, World
from tests.support.command import starwatt
from traces.layout import RunDir

MODEL = "bigcode--starcoder2-3b"
LOADS = (Load("single-stream"), Load("closed-4", concurrency=4))
ENGINES = {"fp32": golden.ENGINES["bf16"], "int8-bnb": SLOWER, "nf4-bnb": FASTER, "int4-awq": FASTER}
CPU_W = 80.0


def with_packages(run: RunDir) -> None:
    """Every power trace once more, as of CPU packages that draw the same all the time."""
    for key in run.finished_cells():
        path = run.cell(key) / "power.parquet"
        power = pq.read_table(path)
        t_ns = power["t_ns"].to_numpy()
        count = power.num_rows
        more: dict[str, Any] = {
            "device": pa.array(["package-0"] * count),
            "boundary": pa.array(["cpu"] * count),
            "source": pa.array(["rapl"] * count),
            "power_w": pa.array([CPU_W] * count),
            "energy_j": pa.array((t_ns - t_ns[0]) * 1e-9 * CPU_W),
        }
        packages = power
        for name, values in more.items():
            packages = packages.set_column(packages.column_names.index(name), name, values)
        pq.write_table(pa.concat_tables([power, packages.cast(power.schema)]), path)


def in_the_papers_formats(root: Path) -> RunDir:
    """Four variants of the 3b, one request at a time and batched, with CPU packages beside the GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "ENGINES", ENGINES)
        world = World(
            root, models=(MODEL,), variants=tuple(ENGINES), loads=LOADS, memorised=False,
            solved=dict.fromkeys(ENGINES, 0.5),
        ).build()  # fmt: skip
    with_packages(world.run)
    return world.run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run to set beside the paper's."""
    return in_the_papers_formats(tmp_path_factory.mktemp("paper") / "ours")


@pytest.fixture(scope="module")
def comparison(run: RunDir) -> PaperComparison:
    return beside_paper(run)


def row_of(comparison: PaperComparison, variant: str, view: str) -> PaperRow:
    (found,) = (row for row in comparison.rows if (row.variant, row.view) == (variant, view))
    return found


def test_variants_stand_beside_the_format_they_are_nearest_to(comparison: PaperComparison) -> None:
    beside = {row.variant: (row.configuration, row.differs) for row in comparison.rows}
    assert beside.keys() == {"fp32", "int8-bnb", "nf4-bnb"}
    assert beside["fp32"][0] == Configuration("starcoder2-3b", 256, "none", 0)
    assert beside["int8-bnb"][0].quantisation == "bnb-int8"
    assert beside["nf4-bnb"][0].quantisation == "bnb-fp4"
    assert "NF4 here, FP4 there" in beside["nf4-bnb"][1]
    assert "what is not quantised is bfloat16 here, float32 there" in beside["int8-bnb"][1]
    assert all("served by vLLM here" in " ".join(differs) for _, differs in beside.values())
    unmatched = dict(comparison.unmatched)
    assert unmatched[f"{MODEL} · int4-awq · single-stream"].startswith(
        "the paper did not measure this format"
    )
    assert unmatched[f"{MODEL} · fp32 · closed-4"] == "the paper measured one request at a time"
    assert "answers of at most 512 tokens here, 256 there" in comparison.differs


def test_both_sides_are_what_they_are_known_to_be(comparison: PaperComparison) -> None:
    runs = read_runs()[Configuration("starcoder2-3b", 256, "bnb-int8", 0)]
    gpu, total = (row_of(comparison, "int8-bnb", view) for view in ("GPU", "total"))
    assert gpu.paper_j == pytest.approx(float(np.exp(np.log(runs[:, 0] * 3600 / 164).mean())))
    assert total.paper_j == pytest.approx(float(np.exp(np.log(runs[:, 3] * 3600 / 164).mean())))
    assert (gpu.blocks, gpu.runs) == (3, 5)
    assert gpu.ours_j is not None
    assert total.ours_j is not None
    assert gpu.absolute.ratio == pytest.approx(gpu.ours_j / gpu.paper_j)
    original = row_of(comparison, "fp32", "GPU")
    assert original.ours_j is not None
    assert gpu.our_effect.ratio == pytest.approx(gpu.ours_j / original.ours_j)
    assert gpu.our_effect.ratio == pytest.approx(1.46, rel=0.03)  # the world's: 1.5 J a step, and slower
    assert gpu.paper_effect.ratio == pytest.approx(gpu.paper_j / original.paper_j)
    assert gpu.effects.ratio == pytest.approx((gpu.our_effect.ratio or 0) / (gpu.paper_effect.ratio or 1))
    assert total.ours_j > gpu.ours_j
    assert original.our_effect.reasons == original.effects.reasons == ("is_original",)


def test_the_ratio_of_effects_has_the_error_of_three_means() -> None:
    numerators, denominators = [2.0, 2.2, 2.1], [1.0, 1.05, 1.01]
    values, references = [3.0, 3.3, 3.2, 3.1], [2.0, 2.2, 2.1, 2.05, 1.9]
    effect = effect_ratio(numerators, denominators, values, references)
    parts = [np.log(numerators) - np.log(denominators), np.log(values), np.log(references)]
    errors = [part.var(ddof=1) / part.size for part in parts]
    freedom = sum(errors) ** 2 / sum(e**2 / (p.size - 1) for e, p in zip(errors, parts, strict=True))
    centre = parts[0].mean() - parts[1].mean() + parts[2].mean()
    lo, hi = np.exp(scipy.stats.t.interval(0.95, freedom, centre, np.sqrt(sum(errors))))
    assert [effect.ratio, effect.lo, effect.hi] == pytest.approx([np.exp(centre), lo, hi])
    apart = paired_ratio(numerators, denominators), unpaired_ratio(values, references)
    assert effect.ratio == pytest.approx((apart[0].ratio or 0) / (apart[1].ratio or 1))
    assert effect_ratio([], [], values, references).reasons == ("no_valid_block",)
    assert effect_ratio(numerators[:2], denominators[:2], values, references).reasons == ("too_few_blocks",)


def test_the_interval_of_the_ratio_of_effects_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    tries, held = 2000, 0
    for _ in range(tries):
        base = np.exp(rng.normal(0, 0.2, 3))
        ours = base * np.exp(rng.normal(0.3, 0.02, 3))
        theirs, original = np.exp(rng.normal(0.3, 0.03, 5)), np.exp(rng.normal(0, 0.03, 5))
        effect = effect_ratio(ours.tolist(), base.tolist(), theirs.tolist(), original.tolist())
        held += (effect.lo or 9.0) <= 1 <= (effect.hi or 0.0)
    assert 0.93 < held / tries < 0.985


def test_a_run_without_a_gpu_has_no_joules_beside_the_papers(run: RunDir, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "ENGINES", ENGINES)
        sensor = replace(golden.Sensor(), source="modelled", boundary="cpu", device="engine")
        world = World(
            tmp_path / "cpu", models=(MODEL,), variants=("fp32", "int8-bnb"), loads=LOADS[:1], blocks=1, sensor=sensor,
            solved=dict.fromkeys(ENGINES, 0.5),
        ).build()  # fmt: skip
    rows = beside_paper(world.run).rows
    assert {row.absolute.reasons for row in rows} == {("no_common_boundary",)}
    assert all(row.ours_j is None and row.effects.ratio is None for row in rows)


def test_what_the_paper_has_nothing_of_is_said_with_what_it_has(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1).build()
    with pytest.raises(
        UsageError, match=r"which measured starcoder2-3b, starcoder2-7b one request at a time"
    ):
        beside_paper(world.run)


def test_the_page_and_the_terminal_say_the_boundary_in_words(
    run: RunDir, comparison: PaperComparison, tmp_path: Path
) -> None:
    lines = paper_lines(comparison)
    assert len(lines) == 6
    (int8,) = (line for line in lines if line.startswith("int8-bnb under single-stream, GPU"))
    assert "more J/request than fp32 (95 %" in int8
    assert "in the paper costs" in int8
    assert "5 runs" in int8
    assert "Against its original it costs less here than there (ratio 0.4" in int8
    text = write_paper_page(comparison, tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")
    assert page.titles == ["What compression costs, one request at a time"]
    for words in ("a constant 45 W for memory", "a quarter of it was the paper", "a whole shared node"):
        assert words in text
    assert any("arXiv 2411.12758: means over runs" in caption for caption in page.captions)
    assert "+23 to +272 %" in text
    assert "the boundary decides the sign for bnb-fp4 on starcoder2-7b, elsewhere the size." in text
    done = starwatt("compare", run.root, "--paper", "--out", tmp_path / "cli.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "cli.html")
    assert "CodeCarbon" in done.stderr
    told = json.loads(starwatt("compare", run.root, "--paper", "--out", tmp_path / "j.html", "--json").stdout)
    assert len(told["rows"]) == 6
    assert told["rows"][0]["configuration"]["model"] == "starcoder2-3b"
    wrong = starwatt("compare", run.root, run.root, "--paper")
    assert wrong.returncode == 2
    assert "takes one RUN" in wrong.stderr
