"""Define where things lie in a run directory, and how models, loads and blocks are written in paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CELLS = "cells"
_AT = "@"
"""Between a load's name and that of the boards' setting; no name in a study file has it."""
_BLOCK = re.compile(r"b(0|[1-9][0-9]*)")  # b01 is no second name of b1


def model_slug(model: str) -> str:
    """Name a model on disk: ``bigcode--starcoder2-3b`` for ``bigcode/starcoder2-3b``; the last part of a local path."""
    if model.startswith(("/", "./", "../", "~")):
        return Path(model).name
    return model.replace("/", "--")


def with_board(load: str, board: str | None) -> str:
    """Name a load at a setting of the boards, as in ``closed-16@250w``; the load alone where they are left alone."""
    return load if board is None else f"{load}{_AT}{board}"


def load_asked(load: str) -> str:
    """Name what is asked of the engine: the load without the boards' setting."""
    return load.partition(_AT)[0]


def board_of(load: str) -> str | None:
    """Name the boards' setting of a load's name in paths; None where they are left alone."""
    return load.partition(_AT)[2] or None


@dataclass(frozen=True, order=True)
class CellKey:
    """One cell of a study, by the names that stand in its path."""

    model: str
    variant: str
    load: str
    block: int

    def __str__(self) -> str:
        return f"{self.model} · {self.variant} · {self.load} · b{self.block}"


def is_there(path: Path) -> bool:
    """Say whether anything has this name, and be it a folder in the place of a file, or a link to nothing."""
    return path.is_symlink() or path.exists()


def key_at(folder: Path) -> CellKey | None:
    """Return the cell that a folder is of by its path; None where it is no cell's."""
    *_, cells, model, variant, load, block = ("", "", "", "", "", *folder.absolute().parts)
    number = _BLOCK.fullmatch(block)
    if cells != _CELLS or number is None:
        return None
    return CellKey(model, variant, load, int(number[1]))


class _Inside:
    """A file or a folder of a run directory, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunDir, _: object) -> Path:
        return run.root / self._name


@dataclass(frozen=True)
class RunDir:
    """A run directory; nothing is created by naming it."""

    root: Path

    study = _Inside("study.yaml")
    """The resolved configuration, as run."""
    manifest = _Inside("manifest.json")
    """Provenance: host, devices, versions, digests."""
    plan = _Inside("plan.parquet")
    """Every cell, in the order it is measured."""
    attempts = _Inside("attempts.jsonl")
    """Tries at cells that failed."""
    cooldown = _Inside("cooldown")
    """The coolest that the boards of each node were before an engine start."""
    lock = _Inside(".lock")
    """Held by the runner that measures."""
    nodes = _Inside("nodes")
    """In which each node of a cluster describes itself."""
    slurm = _Inside("slurm")
    """Jobs, their scripts and what they printed."""
    slots = _Inside("slots")
    """Of engines side by side: what each was to measure, and what it printed."""
    alone = _Inside("alone")
    """A run directory in this one: cells measured again with nobody beside them."""
    cells = _Inside(_CELLS)
    """All measured cells."""
    kept = _Inside("kept")
    """What analysis made of each cell, derived: deleted or damaged, it is recomputed."""
    report = _Inside("report.html")
    """The report, derived."""

    @property
    def summary(self) -> Path:
        """Name the table for spreadsheets, a row a variant and load: derived, beside the tables that it sums up."""
        return self.root / "tables" / "summary.csv"

    def table(self, name: str) -> Path:
        """Return the path of a derived table: cells, requests, contrasts or accuracy."""
        return self.root / "tables" / f"{name}.parquet"

    def cell(self, key: CellKey) -> Path:
        """Return the folder of one cell."""
        return Path(self.root, _CELLS, key.model, key.variant, key.load, f"b{key.block}")

    def is_measured(self, key: CellKey) -> bool:
        """Say whether a cell's ``cell.json`` is there, which is written last."""
        return (self.cell(key) / "cell.json").is_file()

    def finished_cells(self) -> Iterator[CellKey]:
        """Return cells whose ``cell.json`` is there (it is written last), sorted."""
        keys = (key_at(path.parent) for path in self.cells.glob("*/*/*/b*/cell.json"))
        return iter(sorted(key for key in keys if key is not None))
