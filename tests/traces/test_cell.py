"""``cell.json`` reads back, and a damaged or newer one is an error with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from starwatt_errors import TraceError
from traces.cell import Audit, CellRecord, Phase, Phases, Served, read_cell, write_cell

RECORD = CellRecord(
    model="m",
    variant="bf16",
    load="closed-8",
    block=1,
    boot_id="boot",
    engine_start=0,
    phases=Phases(window=Phase(start_ns=1, end_ns=2**62)),
    served=Served(engine="vllm", kernels=["a kernel"], kv_cache_tokens=419_430),
    audit=Audit(lag_p99_ms=0.25),
    errors={"timeout": 2},
    validity=["sandbox_missing"],
)


def change(folder: Path, **fields: Any) -> None:
    """Write the record with other fields."""
    data = {**RECORD.model_dump(mode="json"), **fields}
    (folder / "cell.json").write_text(
        json.dumps({name: value for name, value in data.items() if value != "left out"})
    )


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_cell(tmp_path, RECORD)
    assert read_cell(tmp_path) == RECORD


def test_what_a_later_writer_adds_does_no_harm(tmp_path: Path) -> None:
    change(tmp_path, mood="good")
    assert read_cell(tmp_path).variant == "bf16"


def test_another_version_is_refused_with_the_files_name(tmp_path: Path) -> None:
    change(tmp_path, schema_version=99)
    with pytest.raises(TraceError, match=r"cell\.json: schema version 99, but this starwatt reads 1"):
        read_cell(tmp_path)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"variant": "left out"}, "variant"),
        ({"block": "first"}, "block"),
        ({"phases": {"window": {"start_ns": 1}}}, "end_ns"),
    ],
)
def test_a_damaged_record_is_refused_with_the_field_that_is_wrong(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    change(tmp_path, **fields)
    with pytest.raises(TraceError, match=rf"cell\.json: is damaged: .*{named}"):
        read_cell(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", "{", "null"])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "cell.json").write_text(content)
    with pytest.raises(TraceError, match=r"cell\.json: is"):
        read_cell(tmp_path)


def test_a_cell_that_was_not_finished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"cell\.json: cannot be read"):
        read_cell(tmp_path)
