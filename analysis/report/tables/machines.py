"""Of a run with several machines, or several boards of one at once: how they differ, and whether they disturb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.metrics import metric
from analysis.report.tables.table import Columns, TextTable, table_of
from analysis.results.points import Results
from analysis.results.sentences import row_words, significant

_OF_A_NODE = ("node_ratio", "j_per_request", "power_idle_w")
_NODES: Columns[Mapping[str, Any]] = (
    ("node", lambda row: str(row["node"])),
    ("of", lambda row: " · ".join(filter(None, (row["model"], row["variant"], row["load"])))),
    ("what", lambda row: metric(row["metric"]).label),
    ("mean (95 %)", row_words),
    ("blocks", lambda row: str(row["blocks"])),
    ("reasons", lambda row: ", ".join(row["reasons"])),
)
_NEIGHBOURS: Columns[Mapping[str, Any]] = (
    ("cell", lambda row: f"{row['variant']} · {row['load']}"),
    ("of", lambda row: metric(row["metric"]).label),
    ("alone", lambda row: significant(row["alone"])),
    ("beside others", lambda row: significant(row["beside"])),
    ("ratio (95 %)", row_words),
    ("overlap", lambda row: "" if row["overlap"] is None else f"{100 * row['overlap']:.0f} %"),
    ("blocks", lambda row: str(row["blocks"])),
    ("reasons", lambda row: ", ".join(row["reasons"])),
)


def nodes_table(rows: Sequence[Mapping[str, Any]], results: Results) -> TextTable:
    """Return by how much the machines of a run differ, and what each showed; empty where it had one."""
    by_meter = [row for row in rows if (row["boundary"], row["source"]) == results.pair]
    shown = [row for row in by_meter if row["metric"] in _OF_A_NODE]
    shown.sort(key=lambda row: (row["model"], row["metric"] != "node_ratio"))
    return table_of(_NODES, shown, 3)


def neighbours_table(rows: Sequence[Mapping[str, Any]], results: Results) -> TextTable:
    """Return the same cell beside others and alone; empty where nothing ran side by side, or nobody checked."""
    return table_of(_NEIGHBOURS, _shown(rows, results), 2)


def neighbours_words(rows: Sequence[Mapping[str, Any]], results: Results) -> str:
    """Return what the check comes to, in a sentence; empty where there was none."""
    joules = [row for row in _shown(rows, results) if row["metric"] == "j_per_request"]
    if not joules:
        return ""
    row = joules[0]
    if row["lo"] is None:
        return "Whether they disturb each other is not known: " + ", ".join(row["reasons"]) + "."
    what = (
        f"Beside others the same cell took {row_words(row)} times the energy per request that it took alone"
    )
    if "neighbours_disturb" not in row["reasons"]:
        return f"{what}: no disturbance was seen."
    return (
        f"{what}: they disturb each other. Joules of single cells hold for engines with such neighbours; comparisons "
        "within a block have neighbours on both sides."
    )


def _shown(rows: Sequence[Mapping[str, Any]], results: Results) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["boundary"], row["source"]) in (results.pair, (None, None))]
