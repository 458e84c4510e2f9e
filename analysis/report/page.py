"""``starwatt report``: the page is put together from tables and traces, and written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.opened import OpenedRun, open_run
from analysis.report.figures.catalogue import drawings_of
from analysis.report.pages.templates import template
from analysis.report.tables import conclusions, machines, sections
from analysis.report.words import excluded
from analysis.report.words.gains import sensor_words
from analysis.report.words.lead import lead
from analysis.results.headline import ESTIMATED, MEMORISED, headline_of, note_of
from analysis.results.points import Results, read_results
from analysis.validity.reasons import EXPLANATIONS
from configs.schema import FixedOutput, RecordedOutput
from starwatt_errors import TraceError
from traces.atomic import read_json, write_text
from traces.cell import CellRecord
from traces.layout import CellKey, RunDir


def write_page(run: RunDir, out: Path | None = None) -> Path:
    """Write ``report.html``, or ``out``: one file, no script, no network. The run is analysed first where it was not.

    Raises:
        TraceError: the run has no cells.
    """
    page = out or run.report
    write_text(page, render(open_run(run)))
    return page


def render(run: OpenedRun) -> str:
    """The page of an analysed run: the same text for the same tables and traces."""
    results = read_results(run)
    note, records = note_of(results), _records(run, results)
    nodes, neighbours = run.rows("nodes"), run.rows("neighbours")
    return template("page.html.j2").render(
        title=run.dir.root.resolve().name,
        note=note,
        estimated=results.estimated,
        estimated_words=ESTIMATED,
        memorised=sorted(results.memorised),
        tasks=results.tasks_words,
        memorised_words=MEMORISED,
        models=[_model_section(results, model) for model in results.models],
        drawings=drawings_of(run, results),
        pair=results.pair,
        pair_table=sections.pair_table(results),
        nodes=machines.nodes_table(nodes, results),
        neighbours=machines.neighbours_table(neighbours, results),
        neighbours_words=machines.neighbours_words(neighbours, results),
        excluded=excluded.excluded(results),
        noted=excluded.noted(results),
        cells=len({(row["model"], row["variant"], row["load"], row["block"]) for row in results.cell_rows}),
        sensors=sensor_words(results),
        engines=_engines(records),
        manifest=sections.manifest_rows(_manifest(run)),
        length=_length(run),
    )


def _length(run: OpenedRun) -> str:
    """How answers ended: what a comparison of J/request is at."""
    study = run.context.study
    if study is None:
        return "answers as they came"
    if isinstance(study.prompts.output, FixedOutput):
        return f"at equal length: every answer has {study.prompts.output.fixed} tokens"
    if isinstance(study.prompts.output, RecordedOutput):
        return "at equal length: an answer has as many tokens as were recorded for its task, whatever the variant"
    return "at natural length: a variant that rambles pays for it in tokens/request"


def _model_section(results: Results, model: str) -> dict[str, Any]:
    lines = [line for line in headline_of(results) if line.model == model]
    codes = sorted({code for line in lines for code in line.reasons})
    return {
        "name": model,
        "memorised": model in results.memorised,
        "lead": lead(lines, estimated=results.estimated),
        "glossary": [(code, EXPLANATIONS.get(code, "")) for code in codes],
        "batched": [line for line in lines if line.kind == "batched_vs_single"],
        "variants": [line for line in lines if line.kind == "variant_vs_baseline"],
        "table": sections.main_table(results, model),
        "contrasts": sections.contrast_tables(results, model),
        "tests": conclusions.tests_table(results, model),
        "rates": conclusions.rates_table(results, model),
        "curves": conclusions.curves_table(results, model),
        "accuracy": conclusions.accuracy_table(results, model),
        "attribution": conclusions.attribution_table(results, model),
        "steadiness": conclusions.steadiness_table(results, model),
    }


def _records(run: OpenedRun, results: Results) -> dict[CellKey, CellRecord]:
    """Every ``cell.json`` that is not damaged; the others are in the validity table."""
    damaged = results.damaged
    return {key: record for key, record in run.records.items() if key not in damaged}


def _engines(records: Mapping[CellKey, CellRecord]) -> list[str]:
    """Engine, version and model implementation, each combination once."""
    served = (record.served for record in records.values())
    named = (" ".join(filter(None, (one.engine, one.version, one.model_implementation))) for one in served)
    return sorted({name for name in named if name})


def _manifest(run: OpenedRun) -> Any:
    """Also one that analysis cannot use: a reader may."""
    if run.context.manifest or not run.dir.manifest.is_file():
        return run.context.manifest
    try:
        return read_json(run.dir.manifest)
    except TraceError as error:
        return {"manifest": f"does not read: {json.dumps(str(error))}"}
