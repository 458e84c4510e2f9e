"""Check for ``starwatt verify`` that manifest, study, plan and prompts can be read, and say the same of the run.

Of an imported run: what can be checked, and what has to be taken for true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from analysis.runs.provenance import cells_of, is_of_a_study, read_manifest, read_plan, read_study
from analysis.verify.finding import Finding
from configs.datasets import is_own, load_dataset
from configs.loader import PROMPTS
from configs.schema import Study
from starwatt_errors import StarwattError, TraceError
from traces.attempts import read_attempts
from traces.cell import read_cell
from traces.layout import CellKey, RunDir, is_there, key_at

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Provenance:
    """Hold what of it can be read, and what was found; load tests and imported runs have no study."""

    manifest: Mapping[str, Any] | None
    study: Study | None
    of_a_study: bool
    findings: tuple[Finding, ...]


def check_provenance(run: RunDir) -> Provenance:
    """Read all of it, and set each beside the others."""
    findings: list[Finding] = []

    def read(reader: Callable[[RunDir], _Read], unknown: str) -> _Read | None:
        try:
            return reader(run)
        except TraceError as error:
            where, _, what = str(error).partition(": ")
            findings.append(Finding("not_checked", where, f"{what}; so {unknown}"))
            return None

    manifest = read(read_manifest, "host, boards, sensors and data set are not known")
    of_a_study = manifest is None or is_of_a_study(manifest)
    study = read(read_study, "what was asked is not known") if of_a_study else None
    plan = read(read_plan, "which cells are missing is not known")
    if is_there(run.attempts):
        read(read_attempts, "which tries failed is not known")
    if manifest is not None:
        findings += _manifest(run, manifest, study)
    if study is not None:
        findings += _plan(run, study, plan)
    findings += _prompts(run, manifest, study)
    findings += _strays(run)
    return Provenance(manifest, study, of_a_study, tuple(findings))


def _manifest(run: RunDir, manifest: Mapping[str, Any], study: Study | None) -> Iterator[Finding]:
    where = str(run.manifest)
    if not manifest.get("host") and "imported" not in manifest:
        yield Finding("not_checked", where, "names no host: it is not what a runner wrote")
    if study is None:
        return
    if manifest.get("seed", study.seed) != study.seed:
        yield Finding("record_differs", where, f"has the seed {manifest['seed']}, study.yaml {study.seed}")
    named = (manifest.get("dataset") or {}).get("name")
    asked = Path(study.prompts.dataset).name
    if named is not None and not named.startswith(asked):  # the name of another content goes on: (modified)
        yield Finding("record_differs", where, f"names the data set {named}, study.yaml {asked}")


def _plan(run: RunDir, study: Study, plan: list[CellKey] | None) -> Iterator[Finding]:
    if plan is None:
        return
    wanted = cells_of(study)
    for what, keys in (("lacks", wanted - set(plan)), ("has, beyond the study,", set(plan) - wanted)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            yield Finding("plan_differs", str(run.plan), f"{what} {min(keys)}{more}")
    if len(set(plan)) < len(plan):
        yield Finding("plan_differs", str(run.plan), "has a cell twice")


def _prompts(run: RunDir, manifest: Mapping[str, Any] | None, study: Study | None) -> Iterator[Finding]:
    """Own prompts that a run keeps are those that it asked."""
    kept = run.root / PROMPTS
    if study is not None and is_own(study.prompts.dataset) and not kept.is_file():
        yield Finding("not_checked", str(kept), "is missing; so what was asked is not known")
    known = ((manifest or {}).get("dataset") or {}).get("sha256")
    if not kept.is_file() or known is None:
        return
    try:
        same = load_dataset(str(kept)).sha256 == known
    except StarwattError as error:
        yield Finding("not_checked", str(kept), str(error))
        return
    if not same:
        yield Finding("record_differs", str(kept), "holds other prompts than manifest.json says were asked")


def _strays(run: RunDir) -> Iterator[Finding]:
    """Records that no command reads."""
    for path in sorted(run.cells.rglob("cell.json")):
        key = key_at(path.parent)
        if key is None or run.cell(key) != path.parent:
            yield Finding("not_checked", str(path), "lies in no cell's folder (cells/MODEL/VARIANT/LOAD/bN)")


def imported_remarks(run: RunDir) -> Iterator[str]:
    """Yield a sentence for each cell that others measured, and one for all of them; nothing where there is none."""
    any_imported = False
    for key in run.finished_cells():
        try:
            about = read_cell(run.cell(key)).imported
        except TraceError:  # named already: trace_damaged
            continue
        if about is None:
            continue
        any_imported = True
        files = [about.requests, *(log.file for log in about.logs)]
        named = ", ".join(f"{file.name} (sha256 {file.sha256})" for file in files)
        yield f"imported: {key}: by {' '.join(filter(None, (about.tool, about.version)))}, from {named}; {about.clock}"
    if any_imported:
        yield (
            "imported: checked: that figures follow from the traces, and these are as they were imported; not checked: "
            "that the files named above hold what happened, that the stated clocks are right, and what nobody recorded "
            "(keep the files: import them again, and the traces must be the same)"
        )
