"""The total as arXiv 2411.12758 has it, a row of its own: GPU, CPU of the whole node and 45 W for its memory."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells.rows import Row, figure, ratio

RAM_W = 45.0
"""CodeCarbon's constant for the memory of the paper's node."""


def paper_total_rows(rows: Sequence[Row]) -> list[Row]:
    """Return ``paper_total_j_per_request`` where there are a GPU and RAPL's packages: both, and 45 W x the window.

    A view by another's rule, of no boundary of ours; ``paper_outside_share`` is what of it is not the GPU's.
    """
    joules = {(row["boundary"], row["source"]): row for row in rows if row["metric"] == "energy_gross_j"}
    gpu, cpu = joules.get(("gpu", "nvml")), joules.get(("cpu", "rapl"))
    plain = {row["metric"]: row["value"] for row in rows if row["boundary"] is None}
    requests, seconds = plain.get("requests_in_window"), plain.get("window_s")
    if gpu is None or cpu is None or not requests or seconds is None:
        return []
    total, outside = None, None
    if gpu["value"] is not None and cpu["value"] is not None:
        total = gpu["value"] + cpu["value"] + RAM_W * seconds
        outside = 1 - gpu["value"] / total
    reasons = {*gpu["reasons"], *cpu["reasons"]}
    key = {**gpu, "boundary": None, "source": None}
    values = {"paper_total_j_per_request": ratio(total, requests), "paper_outside_share": outside}
    return [
        {**key, **figure(name, value, reasons), "valid": total is not None and not reasons}
        for name, value in values.items()
    ]
