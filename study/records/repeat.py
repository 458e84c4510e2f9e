"""Repeat a run, perhaps another person's, from its own files, with a note of what is not as it was there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.loader import ARRIVALS, LENGTHS, STUDIES, load_study
from starwatt_errors import UsageError, did_you_mean
from study.records.sessions import changed_since, swapped_since
from traces.atomic import read_json
from traces.layout import RunDir


@dataclass(frozen=True)
class Repeated:
    """The run whose study is run again."""

    run: RunDir
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, study_file: Path) -> Repeated:
        """Raises UsageError where the file is not the ``study.yaml`` of a run."""
        run = RunDir(study_file.parent)
        if study_file.name != run.study.name or not run.manifest.is_file():
            raise UsageError(
                f"--from takes RUN/study.yaml of a run that has its manifest.json, not {study_file}"
            )
        manifest = read_json(run.manifest)
        if not isinstance(manifest, dict):
            raise UsageError(f"--from: {run.manifest} is no manifest of a run")
        return cls(run, manifest)

    def prepare(self, run: RunDir) -> None:
        """Take over what the first run had recorded: what does not agree with it is refused."""
        take_over(self.run, run, ARRIVALS, LENGTHS)

    def compared(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return ``manifest`` with ``repeats``: which run, and what is not as it was there.

        Raises:
            UsageError: tasks, a model's weights, or what a variant is, are others: it would be no repetition.
        """
        swapped = swapped_since(self.manifest, manifest)
        if swapped:
            raise UsageError(
                "this would be no repetition, for tasks, weights or variants are others:\n"
                + "\n".join(f"  {line}" for line in swapped)
                + "\nRestore them, or run the study without --from."
            )
        first = {name: self.manifest.get(name) for name in ("git", "seed")}
        return {**manifest, "repeats": {**first, "changed": changed_since(self.manifest, manifest)}}


def take_over(source: RunDir, run: RunDir, *names: str) -> None:
    """Copy files and folders that one run keeps into another, but for what that has already."""
    for name in names:
        place = source.root / name
        for kept in (place, *sorted(place.rglob("*"))):
            copy = run.root / kept.relative_to(source.root)
            if kept.is_file() and not copy.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(kept, copy)


@dataclass(frozen=True)
class WantedStudy:
    """Hold what the command line of ``starwatt run`` asks for."""

    file: Path
    out: Path | None = None
    """Where its run lies; None: in the default place."""
    repeated: Repeated | None = None
    """The run whose study it is, where it is run again: the manifest says what is not as it was there."""
    blocks: int | None = None
    """In place of the study's own; a run that has fewer gets those that it lacks."""
    allow_board_control: bool = False
    """Whether it may set boards, where it asks for that."""


def wanted_study(
    study: Path | None,
    repeat: Path | None,
    out: Path | None,
    blocks: int | None = None,
    *,
    allow_board_control: bool = False,
) -> WantedStudy:
    """Find the study that is run, or with ``repeat`` run again.

    Raises:
        UsageError: not one of the two is given, or ``repeat`` is no run's study, or that of ``out``.
    """
    if study is not None and repeat is None:
        return WantedStudy(_study_file(study), out, None, blocks, allow_board_control)
    if repeat is None or study is not None:
        raise UsageError("starwatt run takes a study file, or --from RUN/study.yaml, and not both")
    repeated = Repeated.read(repeat)
    place = out or Path("runs") / f"{load_study(repeat).name}-again"
    if place.resolve() == repeated.run.root.resolve():
        raise UsageError(f"--from repeats {repeated.run.root} elsewhere: --out takes another folder")
    return WantedStudy(repeat, place, repeated, blocks, allow_board_control)


def _study_file(named: Path) -> Path:
    """Return a study's file, or the preset of this name."""
    preset = STUDIES / f"{named}.yaml"
    if named.is_file() or named.suffix or len(named.parts) != 1:
        return named
    if not preset.is_file():
        presets = sorted(path.stem for path in STUDIES.glob("*.yaml"))
        raise UsageError(
            f"there is no file {named} and no preset of this name; presets: {', '.join(presets)}"
            f"{did_you_mean(named, presets)}"
        )
    return preset
