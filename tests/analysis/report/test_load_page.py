"""The page of a load test: what it says first, and what of it is not to be believed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.report import write_report
from analysis.results.sentences import significant, with_bounds
from analysis.tables import analyze, read_table
from tests.analysis.report.test_report import Page
from tests.golden.world import LOADS, World
from tests.support.tamper import rewrite
from traces.atomic import read_json, write_json
from traces.parquet import with_column


def load_test_in(folder: Path, **told: Any) -> World:
    """Make a run of one cell whose manifest says that it is a load test, and ``told``."""
    world = World(folder / "run", variants=("bf16",), loads=LOADS[1:2], blocks=1).build()
    world.run.study.unlink()
    endpoint = {"url": "http://127.0.0.1:8000/v1", "model": "org/m"}
    load = {"load": {"kind": "closed", "concurrency": 8}}
    manifest = {**read_json(world.run.manifest), "endpoint": endpoint, "load": load, **told}
    write_json(world.run.manifest, manifest)
    return world


def test_a_load_tests_page_is_about_a_load_test_and_shows_what_is_not_valid_marked(tmp_path: Path) -> None:
    world = load_test_in(tmp_path)
    text = write_report(world.run).read_text(encoding="utf-8")
    page = Page(text)
    for words in ("http://127.0.0.1:8000/v1", "8 requests in flight", "J/request", "Wh/1000 requests"):
        assert words in text
    assert [title for title in page.titles if "variant" in title] == []
    assert "variant" not in " ".join(page.captions)
    assert "Not valid" not in text
    assert "<s>" not in text
    joules = next(
        row["value"] for row in read_table(world.run, "cells").to_pylist() if row["metric"] == "j_per_request"
    )
    assert significant(joules) in text

    cell = world.run.cell(world.cell_keys()[0])
    requests = pq.read_table(cell / "requests.parquet")
    place = requests.column_names.index("cached_tokens")
    cached = pa.array([5] * requests.num_rows, requests.schema.field(place).type)
    pq.write_table(
        requests.set_column(place, requests.schema.field(place), cached), cell / "requests.parquet"
    )
    analyze(world.run)
    text = write_report(world.run).read_text(encoding="utf-8")
    assert "Not valid as it stands." in text
    assert "<code>prefix_cache_hit</code>" in text
    assert re.search(rf"<s>{significant(joules)} \S* ?.*J/request, .*</s>: not to be believed", text)
    assert f"<s><span>{significant(joules)} " in text


def test_a_load_tests_page_says_how_many_requests_kept_the_bounds_and_what_rate_that_is(
    tmp_path: Path,
) -> None:
    world = load_test_in(tmp_path, slo_ms={"ttft": 3_600_000.0, "e2e": 7_200_000.0})
    text = write_report(world.run).read_text(encoding="utf-8")
    rows = {row["metric"]: row["value"] for row in read_table(world.run, "cells").to_pylist()}
    count, rate = rows["requests_completed"], significant(rows["request_rate"])
    assert (
        f"{count:.0f} of {count:.0f} kept TTFT up to 3 600 s".replace("3 600", "3\N{NO-BREAK SPACE}600")
        in text
    )
    assert f"{rate} good requests/s, at " in text

    write_json(world.run.manifest, {**read_json(world.run.manifest), "slo_ms": {"ttft": 0.001}})
    text = write_report(world.run).read_text(encoding="utf-8")
    assert f"0 of {count:.0f} kept TTFT up to 0.00100 ms: 0.00 good requests/s." in text


def test_of_answers_that_came_at_once_nobody_can_say_whether_they_kept_a_bound_on_tpot(
    tmp_path: Path,
) -> None:
    world = load_test_in(tmp_path, slo_ms={"tpot": 1000.0})

    def at_once(table: pa.Table) -> pa.Table:
        ends_ns = table["end_ns"].to_pylist()
        chunks = zip(table["chunk_ns"].to_pylist(), ends_ns, strict=True)
        table = with_column(table, "chunk_ns", [[end_ns] * len(chunk) for chunk, end_ns in chunks])
        return with_column(table, "first_token_ns", ends_ns)

    rewrite(world.run.cell(world.cell_keys()[0]) / "requests.parquet", at_once)
    text = write_report(world.run).read_text(encoding="utf-8")
    assert "kept TPOT up to 1.00 s is not known: some answers have no TPOT, as they came at once" in text


def test_a_figure_whose_interval_has_no_width_is_shown_without_it() -> None:
    assert with_bounds(0.0171, 0.0171, 0.0171) == "0.0171"
    assert with_bounds(0.0171, 0.0170, 0.0172) == "0.0171 (0.0170 to 0.0172)"
