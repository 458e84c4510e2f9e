"""``starwatt report``: the page is put together from tables and traces, and written whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from analysis.opened import OpenedRun, open_run
from analysis.report.figures.catalogue import drawings_by_model
from analysis.report.load_page import render_load_test
from analysis.report.pages.templates import rendered
from analysis.report.tables import conclusions, machines, sections
from analysis.report.tables.costs import costs_table
from analysis.report.tables.heat import heat_table
from analysis.report.tables.outside import outside_table
from analysis.report.tables.rates import highest_rates_table
from analysis.report.tables.settings import settings_table
from analysis.report.words import excluded
from analysis.report.words.gains import sensor_words
from analysis.report.words.head import engines, head_of, intro_words, is_metered, length_words
from analysis.report.words.load import is_one_load, latency_from
from analysis.results.answers import answer_between, answers_in
from analysis.results.costs import Factors
from analysis.results.headline import ESTIMATED, MEMORISED, headline_of, note_of
from analysis.results.points import Results, read_results
from analysis.validity.reasons import EXPLANATIONS
from starwatt_errors import TraceError
from traces.atomic import read_json, write_text
from traces.cell import CellRecord
from traces.layout import CellKey, RunDir

_SECTIONS = (
    ("answer", "The answer"),
    ("glance", "At one glance"),
    ("figures", "Figures"),
    ("latency", "Latency"),
    ("validity", "Left out"),
    ("tables", "Every figure"),
    ("words", "In words"),
    ("sure", "How sure"),
    ("attribution", "Single requests"),
    ("method", "Method"),
    ("manifest", "Where"),
)


def write_page(run: RunDir, out: Path | None = None, factors: Factors | None = None) -> Path:
    """Write ``report.html``, or ``out``: one file that asks no network. The run is analysed first where it was not.

    Raises:
        TraceError: the run has no cells.
    """
    page = out or run.report
    write_text(page, render(open_run(run), factors))
    return page


def render(run: OpenedRun, factors: Factors | None = None) -> str:
    """Render the page of an analysed run: the same text for the same tables, traces and factors."""
    results = read_results(run)
    if is_one_load(run):
        return render_load_test(run, results, _of_any_run(run, results, factors))
    nodes, neighbours = run.rows("nodes"), run.rows("neighbours")
    return rendered(
        "page.html.j2",
        **_of_any_run(run, results, factors),
        links=_SECTIONS,
        intro=intro_words(run, results),
        memorised=sorted(results.memorised),
        tasks=results.tasks_words,
        memorised_words=MEMORISED,
        models=[_model_section(run, results, model) for model in results.models],
        between=answer_between(run, results),
        drawings=drawings_by_model(run, results),
        reference_board=results.reference_board,
        pair_table=sections.pair_table(results),
        nodes=machines.nodes_table(nodes, results),
        neighbours=machines.neighbours_table(neighbours, results),
        neighbours_words=machines.neighbours_words(neighbours, results),
        length=length_words(run),
    )


def _of_any_run(run: OpenedRun, results: Results, factors: Factors | None) -> dict[str, Any]:
    """Return what the page of a study and that of a load test both say."""
    remarks = {"excluded": excluded.excluded, "not_known": excluded.not_known, "noted": excluded.noted}
    cells = {(row["model"], row["variant"], row["load"], row["block"]) for row in results.cell_rows}
    return {
        "title": run.dir.root.resolve().name,
        "lines": head_of(run, results),
        "note": note_of(results),
        "estimated": results.estimated,
        "estimated_words": ESTIMATED,
        "pair": results.pair,
        "metered": is_metered(run),
        "cells": len(cells),
        "costs": None if factors is None else costs_table(results, factors),
        **{name: [astuple(row) for row in remark(results)] for name, remark in remarks.items()},
        "latency_from": latency_from(run),
        "sensors": sensor_words(results),
        "engines": engines(_records(run, results)),
        "manifest": sections.manifest_rows(_manifest(run)),
    }


def _model_section(run: OpenedRun, results: Results, model: str) -> dict[str, Any]:
    lines = [line for line in headline_of(results) if line.model == model]
    answers = answers_in(run, results, model)
    told = " ".join(sentence for answer in answers for sentence in answer.sentences)
    return {
        "name": model,
        "memorised": model in results.memorised,
        "answers": answers,
        "unanswered": excluded.unanswered_words(results, model),
        "heat": heat_table(results, model),
        "latency": sections.latency_table(results, model),
        "glossary": [
            (code, words) for code, words in EXPLANATIONS.items() if re.search(rf"\b{code}\b", told)
        ],
        "batched": [line for line in lines if line.kind == "batched_vs_single"],
        "variants": [line for line in lines if line.kind == "variant_vs_baseline"],
        "table": sections.main_table(results, model),
        "outside": outside_table(run, results, model),
        "settings": settings_table(results, model, _records(run, results)),
        "contrasts": sections.contrast_tables(results, model),
        "tests": conclusions.tests_table(results, model),
        "rates": conclusions.rates_table(results, model),
        "highest_rates": highest_rates_table(results, model),
        "curves": conclusions.curves_table(results, model),
        "accuracy": conclusions.accuracy_table(results, model),
        "attribution": conclusions.attribution_table(results, model),
        "steadiness": conclusions.steadiness_table(results, model),
    }


def _records(run: OpenedRun, results: Results) -> Mapping[CellKey, CellRecord]:
    """Return every ``cell.json`` that is not damaged; the others are in the validity table."""
    damaged = results.damaged
    return {key: record for key, record in run.records.items() if key not in damaged}


def _manifest(run: OpenedRun) -> Any:
    """Also one that analysis cannot use: a reader may."""
    if run.context.manifest or not run.dir.manifest.is_file():
        return run.context.manifest
    try:
        return read_json(run.dir.manifest)
    except TraceError as error:
        return {"manifest": f"cannot be read: {json.dumps(str(error))}"}
