"""Keep arrival times that are replayed from a file in the run, and take them from there: the same for every cell."""

from __future__ import annotations

from configs.files.text_files import TABLE_BYTES, read_bytes
from configs.loader import kept_trace
from configs.loads import Load, Open
from configs.schema import Study
from starwatt_errors import UsageError
from traces.atomic import write_bytes
from traces.layout import RunDir


def keep_arrivals(run: RunDir, study: Study) -> None:
    """Copy the arrival times of traced loads into the run.

    Raises:
        UsageError: the run was begun with others.
    """
    for load in study.loads:
        if not isinstance(load, Open) or load.trace is None:
            continue
        kept, content = run.root / kept_trace(load), read_bytes(load.trace, TABLE_BYTES)
        if not kept.is_file():
            write_bytes(kept, content)
        elif read_bytes(kept, TABLE_BYTES) != content:
            raise UsageError(
                f"the arrival times in {load.trace} are not those of this run, which are kept in {kept}: "
                "restore them from there, or begin a run of its own (--out another folder, and no --from)"
            )


def as_kept(load: Load, run: RunDir) -> Load:
    """Take a load's arrival times from where the run keeps them: an edit while it runs must not reach a cell."""
    if not isinstance(load, Open) or load.trace is None:
        return load
    return load.model_copy(update={"trace": (run.root / kept_trace(load)).resolve()})
