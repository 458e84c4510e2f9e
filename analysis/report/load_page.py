"""The page of a load test: one load on an endpoint, measured once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from analysis.keys import MeterKey
from analysis.metrics import metric
from analysis.opened import OpenedRun
from analysis.report.figures.catalogue import drawings_of
from analysis.report.pages.templates import rendered
from analysis.report.tables.table import TextTable
from analysis.report.words.load import Counted, counted, head_words, imported_once, offered_words
from analysis.results.boards import bounds_words
from analysis.results.points import Results
from analysis.results.sentences import Doubted, significant, with_bounds

_SECTIONS = (
    ("answer", "The answer"),
    ("latency", "Latency"),
    ("energy", "Energy"),
    ("figures", "Figures"),
    ("validity", "Left out"),
    ("method", "Method"),
    ("manifest", "Where"),
)
_LATENCIES = ("ttft", "tpot", "itl", "e2e")
_PARTS = ("mean", "p50", "p90", "p99")
_ENERGY = (
    "j_per_request", "j_per_request_idle", "j_per_request_net", "j_per_output_token", "wh_per_1000_requests",
    "power_mean_w", "power_idle_w", "energy_gross_j",
)  # fmt: skip
_GOOD_J = "j_per_request_in_slo"
_FIGURES = ("power", "requests")
_Figures = Mapping[str, Mapping[str, Any]]
"""Rows of ``tables/cells``, by metric."""


@dataclass(frozen=True)
class _Sentence:
    """A statement, and the reasons for which it is not to be believed."""

    text: str
    why: tuple[str, ...] = ()


def render_load_test(run: OpenedRun, results: Results, common: Mapping[str, Any]) -> str:
    """Render the page, the same text for the same tables and traces; ``common`` is what the page of any run says."""
    figures = _figures(results)
    return rendered(
        "load_test.html.j2",
        **{**common, "lines": _head(run, common["lines"])},
        links=_SECTIONS,
        by_others=imported_once(run) is not None,
        of=offered_words(run),
        against=[(code, explanation) for code, explanation, *_ in common["excluded"] if code != "no_power"],
        sentences=_sentences(run, figures, estimated=results.estimated),
        latency=_latency(figures),
        energy=_energy(figures),
        drawings=drawings_of(run, results, _FIGURES),
    )


def _head(run: OpenedRun, lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """As any run's, with what was asked in place of variants and blocks."""
    head = head_words(run) + [
        (name, words) for name, words in lines if name not in ("Model", "Blocks", "Engine")
    ]
    return [(name, words) for name, words in head if words]


def _figures(results: Results) -> _Figures:
    """Return every figure of its one cell by name, valid or not: whoever tests an endpoint looks at what it did."""
    return {
        row["metric"]: row
        for row in results.cell_rows
        if row["value"] is not None and MeterKey.of(row) in (None, results.pair)
    }


def _value(figures: _Figures, name: str) -> str:
    return significant(figures[name]["value"]) if name in figures else "–"


def _sentences(run: OpenedRun, figures: _Figures, *, estimated: bool) -> list[_Sentence]:
    """Return what it comes to: what was served, at what cost, how quickly; and what failed."""
    if "requests_completed" not in figures:
        return []
    of, value = counted(run), partial(_value, figures)
    rates = f"{value('request_rate')} requests/s and {value('output_token_rate')} output tokens/s"
    completed = f"{figures['requests_completed']['value']:.0f}{f' of {of.measured}' if of else ''}"
    said = [_sentence(figures, f"{completed} requests completed, {rates}", "request_rate")]
    if "j_per_request" in figures:
        kind = "estimated " * estimated
        words = (
            f"{_measured(figures, 'j_per_request')} {kind}J/request, {value('j_per_output_token')} {kind}J/output "
            f"token, {value('wh_per_1000_requests')} {kind}Wh/1000 requests"
        )
        said.append(_sentence(figures, words, "j_per_request"))
    if "e2e_p50_ms" in figures:
        words = (
            f"The first token came after {value('ttft_p50_ms')} ms and the whole answer after {value('e2e_p50_ms')} ms "
            f"(medians); 99 of 100 within {value('ttft_p99_ms')} and {value('e2e_p99_ms')} ms"
        )
        said.append(_sentence(figures, words, "e2e_p50_ms"))
    if run.context.slo_ms and of:
        words = _good_words(figures, of, run.context.slo_ms, "estimated " * estimated)
        said.append(_sentence(figures, words, "request_rate"))
    failed = of.failed if of else 0
    return [*said, _Sentence(f"{failed} request{'s' if failed != 1 else ''} failed")] if failed else said


def _good_words(figures: _Figures, of: Counted, slo_ms: Mapping[str, float], kind: str) -> str:
    """Say how many requests kept the bounds, and what goodput that is."""
    bounds = bounds_words(slo_ms)
    if of.good is None:
        why = "some answers have no TPOT, as they came at once or nobody counted their tokens"
        return f"How many requests kept {bounds} is not known: {why}"
    rate, completed = figures.get("request_rate"), figures["requests_completed"]["value"]
    per_second = significant(None if rate is None else rate["value"] * of.good / completed)
    cost = f", at {_value(figures, _GOOD_J)} {kind}J/request that kept them" if _GOOD_J in figures else ""
    return f"{of.good} of {of.measured} kept {bounds}: {per_second} good requests/s{cost}"


def _sentence(figures: _Figures, words: str, name: str) -> _Sentence:
    """Say what rests on a figure, with the reasons against it."""
    row = figures.get(name)
    return _Sentence(words, () if row is None or row["valid"] else tuple(row["reasons"]))


def _measured(figures: _Figures, name: str) -> str:
    """Return a figure with what its measurement leaves open."""
    row = figures.get(name)
    if row is None or row["interval_kind"] != "measurement":
        return _value(figures, name)
    return with_bounds(row["value"], row["lo"], row["hi"])


def _in_table(figures: _Figures, name: str, text: str) -> str:
    return text if name not in figures or figures[name]["valid"] else Doubted(text)


def _latency(figures: _Figures) -> TextTable:
    def cells(kind: str) -> Iterator[str]:
        yield metric(f"{kind}_p50_ms").label.removesuffix(" p50")
        for name in (f"{kind}_{part}_ms" for part in _PARTS):
            yield _in_table(figures, name, _value(figures, name))

    return TextTable(("ms", *_PARTS), tuple(tuple(cells(kind)) for kind in _LATENCIES), 1)


def _energy(figures: _Figures) -> TextTable:
    def row(name: str) -> tuple[str, str, str]:
        return metric(name).label, _in_table(figures, name, _measured(figures, name)), metric(name).unit

    return TextTable(("what", "value", "unit"), tuple(row(name) for name in _ENERGY), 1)
