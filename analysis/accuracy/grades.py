"""``grades.parquet`` of a cell, read beside the requests that it judges."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from starwatt_errors import TraceError
from traces.cell_files import CellFiles

GRADED_REQUESTS = "requests_sha256"
"""Of ``grades.parquet``'s metadata: the digest of the very file whose answers were judged."""
GRADED_BY = "dataset_sha256"
"""And that of the tasks, with their tests, by which they were."""


def completed(requests: pa.Table) -> pa.Table:
    """Return the rows of measured requests that were answered whole."""
    return requests.filter(
        pc.and_(pc.equal(requests["role"], "measured"), pc.equal(requests["status"], "ok"))
    )


def read_grades(files: CellFiles) -> pa.Table:
    """Read the verdicts of a cell on its requests.

    Raises:
        TraceError: they cannot be read, are of other requests, or not of all whole answers to measured ones.
    """
    folder, grades = files.folder, files.read("grades")
    requests = files.open("requests").read(["request_id", "task_id", "role", "status"])
    digest = (grades.schema.metadata or {}).get(GRADED_REQUESTS.encode(), b"").decode(errors="replace")
    asked = dict(zip(requests["request_id"].to_pylist(), requests["task_id"].to_pylist(), strict=True))
    judged = list(zip(grades["request_id"].to_pylist(), grades["task_id"].to_pylist(), strict=True))
    others = any(number not in asked or asked[number] != task for number, task in judged)
    twice = len({number for number, _ in judged}) < len(judged)
    if others or twice or (digest and digest != files.digest("requests.parquet")):
        raise TraceError(
            f"{folder / 'grades.parquet'}: judges other requests than lie beside it: delete it, and starwatt grade"
        )
    lacking = len(set(completed(requests)["request_id"].to_pylist()) - {number for number, _ in judged})
    if lacking:
        raise TraceError(
            f"{folder / 'grades.parquet'}: lacks verdicts on {lacking} answers: delete it, and starwatt grade"
        )
    return grades
