"""Files are there whole or not at all."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starwatt_errors import TraceError
from traces.atomic import atomic_path, read_json, write_json, write_parquet, write_text


def test_a_finished_write_leaves_the_file_and_no_temporary_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "study.yaml", "name: ü\n")
    write_json(tmp_path / "manifest.json", {"seed": 20, "gpus": [], "none": None})
    write_parquet(tmp_path / "plan.parquet", pa.table({"block": [1, 2]}))
    assert (tmp_path / "a" / "b" / "study.yaml").read_text(encoding="utf-8") == "name: ü\n"
    assert read_json(tmp_path / "manifest.json") == {"seed": 20, "gpus": [], "none": None}
    assert pq.read_table(tmp_path / "plan.parquet").to_pydict() == {"block": [1, 2]}
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"study.yaml", "manifest.json", "plan.parquet"}


def test_a_write_that_fails_half_way_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    write_text(path, "old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_under_the_final_name_before_the_write_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"lag_ms": None})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"lag_ms": math.nan})
    assert read_json(path) == {"lag_ms": None}


def test_a_path_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match=r"file/cell\.json: cannot be written"):
        write_text(tmp_path / "file" / "cell.json", "x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "child").write_text("")
    with pytest.raises(TraceError, match="folder: cannot be written"):
        write_text(tmp_path / "folder", "x")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"a": 1} x'])
def test_damaged_json_is_an_error_with_the_files_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(TraceError, match=r"manifest\.json: is not valid JSON"):
        read_json(tmp_path / "manifest.json")


def test_missing_json_is_an_error_with_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"manifest\.json: cannot be read: No such file"):
        read_json(tmp_path / "manifest.json")


def test_what_is_no_file_is_not_replaced_by_one_and_a_link_to_a_file_stays(tmp_path: Path) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for named in (pipe, link):
        with pytest.raises(TraceError, match=f"{named.name}: cannot be written: takes a file"):
            write_text(named, "x")
    assert pipe.is_fifo()
    link.unlink()
    file.write_text("old")
    link.symlink_to(file)
    write_text(link, "new")
    assert (link.is_symlink(), file.read_text()) == (True, "new")
    file.unlink()
    write_text(link, "whole")  # a link to nothing
    assert (link.is_symlink(), link.read_text(), file.exists()) == (False, "whole", False)
