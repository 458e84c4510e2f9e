"""``starwatt report``: the page is put together from tables and traces, and written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.energy.integral import read_series
from analysis.energy.mirrors import without_mirrors
from analysis.keys import MeterKey
from analysis.opened import OpenedRun, open_run
from analysis.report.figures import joules, tradeoffs
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.joules import PowerTrace
from analysis.report.figures.lines import in_flight_over_time, sm_clock_over_time
from analysis.report.pages.templates import template
from analysis.report.tables import conclusions, machines, sections
from analysis.report.words import excluded
from analysis.report.words.gains import sensor_words
from analysis.report.words.lead import lead
from analysis.results.headline import ESTIMATED, MEMORISED, headline_of
from analysis.results.points import Results, read_results
from analysis.validity.clocks import on_our_clock
from analysis.validity.reasons import EXPLANATIONS
from configs.schema import FixedOutput, RecordedOutput
from starwatt_errors import TraceError
from traces.atomic import read_json, write_text
from traces.cell import CellRecord
from traces.layout import CellKey, RunDir
from traces.streams import read_trace


def write_page(run: RunDir, out: Path | None = None) -> Path:
    """Write ``report.html``, or ``out``: one file, no script, no network. The run is analysed first where it was not.

    Raises:
        TraceError: the run has no cells.
    """
    page = out or run.report
    write_text(page, render(open_run(run)))
    return page


def drawings_of(run: OpenedRun) -> list[Drawing]:
    """The figures of an analysed run, in the page's order."""
    results = read_results(run)
    return _drawings(run, results, _records(run, results), _note(results))


def _note(results: Results) -> str:
    return f" ({ESTIMATED})" if results.estimated else ""


def render(run: OpenedRun) -> str:
    """The page of an analysed run: the same text for the same tables and traces."""
    results = read_results(run)
    note, records = _note(results), _records(run, results)
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
        drawings=_drawings(run, results, records, note),
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


def _drawings(
    run: OpenedRun, results: Results, records: Mapping[CellKey, CellRecord], note: str
) -> list[Drawing]:
    found: list[Drawing | None] = []
    concurrency = run.context.concurrency
    for model in results.models:
        found.append(joules.joules_by_variant(results, model, note))
        found.append(tradeoffs.joules_over_concurrency(results, model, note, concurrency))
        found.append(tradeoffs.joules_against_accuracy(results, model, note))
        found.append(joules.power_over_time(_power_traces(run, results, records, model), model, note))
        found.append(joules.joules_against_latency(results, model, note))
        found.append(tradeoffs.joules_of_requests(results, model, note))
    return [one for one in found if one is not None]


def _power_traces(
    run: OpenedRun, results: Results, records: Mapping[CellKey, CellRecord], model: str
) -> list[PowerTrace]:
    """One cell a load: of the baseline where contrasts name one, the first block that reads."""
    baselines = [one.reference_variant for one in results.contrasts if one.kind == "variant_vs_baseline"]
    candidates = sorted(
        (key for key in records if key.model == model),
        key=lambda key: (
            key.variant != baselines[0] if baselines else False,
            key.variant,
            key.load,
            key.block,
        ),
    )
    chosen: dict[str, PowerTrace] = {}
    for key in candidates:
        if key.load in chosen:
            continue
        try:
            power = on_our_clock(read_trace(run.dir.cell(key), "power"), records[key].power_clock)
        except TraceError:  # the validity table names it
            continue
        own = tuple(
            one
            for one in without_mirrors(read_series(power))
            if MeterKey(one.boundary, one.source) == results.pair
        )
        if own:
            chosen[key.load] = PowerTrace(
                f"{key.variant}, {key.load}, block {key.block}",
                own,
                records[key].phases,
                in_flight_over_time(run.dir, key),
                sm_clock_over_time(power),
            )
    return [chosen[load] for load in sorted(chosen)]


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
