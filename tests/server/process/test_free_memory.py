"""Memory that can be had: a control group's limit counts, also one further up."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from server.process.free_memory import free_bytes

MIB = 2**20


def group(folder: Path, names: tuple[str, str], limit: object, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


V2 = ("memory.max", "memory.current")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.mark.parametrize(
    ("own", "top", "names"),
    [("0::/slice/job\n", "", V2), ("7:cpu:/x\n4:memory:/slice/job\n0::/\n", "memory", V1)],
)
def test_the_tightest_group_on_the_way_up_counts_and_caches_are_given_back(
    tmp_path: Path, own: str, top: str, names: tuple[str, str]
) -> None:
    (tmp_path / "own").write_text(own)
    root = tmp_path / "groups"
    group(root / top / "slice" / "job", names, "max", 10 * MIB)
    group(root / top / "slice", names, 100 * MIB, 90 * MIB, cached=20 * MIB)
    assert free_bytes(root, tmp_path / "own") == 30 * MIB


@pytest.mark.parametrize("limit", ["max", 2**63 - 4096])
def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path, limit: object) -> None:
    (tmp_path / "own").write_text("0::/\n")
    group(tmp_path / "groups", V2, limit, 10 * MIB)
    assert 0 < free_bytes(tmp_path / "groups", tmp_path / "own") <= psutil.virtual_memory().total


def test_a_container_that_shows_its_own_group_as_the_root_is_seen(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/not/here\n")
    group(tmp_path / "groups", V2, 50 * MIB, 20 * MIB)
    assert free_bytes(tmp_path / "groups", tmp_path / "own") == 30 * MIB


def test_more_than_the_limit_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/\n")
    group(tmp_path / "groups", V2, 50 * MIB, 60 * MIB)
    assert free_bytes(tmp_path / "groups", tmp_path / "own") == 0
