"""What is kept of cells: taken while their bytes are the same, and never where anything about it is wrong."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from analysis.cells import crew
from analysis.cells.context import Context
from analysis.cells.worker import parts_of_cells
from analysis.kept import store
from analysis.runs.stamps import stamp_of, state_of
from analysis.table_files import read_table
from analysis.tables import analyze
from analysis.verify.run import verify
from configs.board import BoardSetting
from tests.golden.world import LOADS, MODEL_NAME, World
from tests.support.opens import counted_opens
from tests.support.tamper import rewrite, scaled
from traces.layout import CellKey, RunDir


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Two variants, two loads, three blocks, six tasks."""
    root = tmp_path_factory.mktemp("kept") / "run"
    run = World(root, variants=("bf16", "int8-bnb"), loads=LOADS[:2], blocks=3, tasks=6).build().run
    analyze(run)
    return run


@pytest.fixture
def run(measured: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A copy that was analysed."""
    monkeypatch.setattr("analysis.runs.stamps._SETTLED_NS", -(10**18))  # as if it lay there for long
    shutil.copytree(measured.root, tmp_path / "copy", ignore=shutil.ignore_patterns("kept", "tables"))
    copy = RunDir(tmp_path / "copy")
    analyze(copy)
    return copy


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[CellKey]:
    """Collect the cells whose files are analysed."""
    found: list[CellKey] = []

    def spied(run: RunDir, keys: list[CellKey], context: Context) -> pa.Table:
        found.extend(keys)
        return parts_of_cells(run, keys, context)

    monkeypatch.setattr(crew, "parts_of_cells", spied)
    return found


def tables(run: RunDir) -> dict[str, bytes]:
    """All that is derived, byte for byte."""
    return {path.name: path.read_bytes() for path in (run.root / "tables").iterdir()}


def kept(run: RunDir) -> list[Path]:
    """The files of what is kept."""
    return sorted(run.kept.iterdir())


def test_a_second_analysis_opens_no_trace_and_gives_the_same_bytes(run: RunDir, read: list[CellKey]) -> None:
    before = tables(run)
    with counted_opens(run.cells) as counts:
        analyze(run)
    assert (counts, read) == ({}, [])
    assert tables(run) == before


def test_one_new_cell_is_all_that_is_read(run: RunDir, read: list[CellKey], tmp_path: Path) -> None:
    whole, new = tables(run), CellKey(MODEL_NAME, "int8-bnb", "closed-8", 3)
    shutil.move(run.cell(new), tmp_path / "new")
    analyze(run)
    assert read == []
    assert tables(run) != whole
    shutil.move(tmp_path / "new", run.cell(new))
    analyze(run)
    assert read == []  # what is kept of it holds: it has the same bytes
    rewrite(run.cell(new) / "power.parquet", scaled("power_w", 1.01))
    with counted_opens(run.cells) as counts:
        analyze(run)
    assert read == [new]
    assert {path.parent for path in counts} == {run.cell(new)}


def test_a_trace_of_the_same_size_and_time_with_other_bytes_is_read(run: RunDir, read: list[CellKey]) -> None:
    new = CellKey(MODEL_NAME, "bf16", "closed-8", 2)
    record = run.cell(new) / "cell.json"
    told, text = record.stat(), record.read_text(encoding="utf-8")
    record.write_text(text.replace('"cpu_share": 0.02', '"cpu_share": 0.03'), encoding="utf-8")
    os.utime(record, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert record.stat().st_size == told.st_size
    analyze(run)
    assert read == [new]


def test_a_file_is_known_by_its_times_only_once_these_have_settled(
    measured: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = measured.cell(CellKey(MODEL_NAME, "bf16", "closed-8", 1))
    changed_ns = max(path.stat().st_ctime_ns for path in cell.iterdir())
    for later_ns, known in ((10**9, False), (3 * 10**9, True)):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda now_ns=changed_ns + later_ns: now_ns)
            stamp = stamp_of(cell)
        assert stamp is not None
        assert stamp.state == (state_of(cell) if known else None)


def test_a_copied_run_is_read_for_its_bytes_and_not_analysed_again(
    run: RunDir, read: list[CellKey], tmp_path: Path
) -> None:
    shutil.copytree(run.root, tmp_path / "elsewhere")
    copy = RunDir(tmp_path / "elsewhere")
    analyze(copy)
    assert (read, tables(copy)) == ([], tables(run))
    with counted_opens(copy.cells) as counts:
        analyze(copy)
    assert counts == {}


def deleted(run: RunDir) -> None:
    shutil.rmtree(run.kept)


def cut_off(run: RunDir) -> None:
    (path,) = kept(run)
    os.truncate(path, path.stat().st_size // 2)


def one_bit_flipped(run: RunDir) -> None:
    (path,) = kept(run)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def empty(run: RunDir) -> None:
    (path,) = kept(run)
    path.write_bytes(b"")


def a_folder_in_its_place(run: RunDir) -> None:
    (path,) = kept(run)
    path.unlink()
    path.mkdir()


def a_link_to_it(run: RunDir) -> None:
    (path,) = kept(run)
    target = path.rename(run.root / "elsewhere.arrow")
    path.symlink_to(target)


def a_link_to_its_folder(run: RunDir) -> None:
    target = run.kept.rename(run.root / "elsewhere")
    run.kept.symlink_to(target)


def under_another_name(run: RunDir) -> None:
    (path,) = kept(run)
    path.rename(path.with_name("0" * 64 + ".arrow"))


def a_pipe_in_its_place(run: RunDir) -> None:
    (path,) = kept(run)
    path.unlink()
    os.mkfifo(path)


def a_study_that_asks_for_longer_windows(run: RunDir) -> None:
    text = run.study.read_text(encoding="utf-8")
    run.study.write_text(text.replace("min_s: 0", "min_s: 1"), encoding="utf-8")


def bounds_of_a_load_test(run: RunDir) -> None:
    said = run.manifest.read_text(encoding="utf-8")
    run.manifest.write_text(said.replace('"seed": 20', '"slo_ms": {"e2e": 900}'), encoding="utf-8")


@pytest.mark.parametrize(
    "harm",
    [
        deleted, cut_off, one_bit_flipped, empty, a_folder_in_its_place, a_link_to_it, a_link_to_its_folder,
        under_another_name, a_pipe_in_its_place, a_study_that_asks_for_longer_windows, bounds_of_a_load_test,
    ],
)  # fmt: skip
def test_whatever_is_wrong_with_what_is_kept_all_cells_are_read(
    run: RunDir, read: list[CellKey], harm: Callable[[RunDir], None]
) -> None:
    harm(run)
    analyze(run)
    assert sorted(read) == sorted(run.finished_cells())
    ours = tables(run)
    shutil.rmtree(run.kept) if not run.kept.is_symlink() else run.kept.unlink()
    analyze(run)
    assert tables(run) == ours


def test_more_blocks_and_another_session_leave_what_is_known_of_cells(
    run: RunDir, read: list[CellKey]
) -> None:
    text = run.study.read_text(encoding="utf-8")
    run.study.write_text(text.replace("blocks: 3", "blocks: 4"), encoding="utf-8")
    said = run.manifest.read_text(encoding="utf-8")
    run.manifest.write_text(said.replace('"seed": 20', '"seed": 20, "sessions": []'), encoding="utf-8")
    assert (text, said) != (run.study.read_text(encoding="utf-8"), run.manifest.read_text(encoding="utf-8"))
    analyze(run)
    assert read == []


def test_what_boards_were_set_to_is_in_the_tables_of_what_is_kept(
    tmp_path: Path, read: list[CellKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.runs.stamps._SETTLED_NS", -(10**18))
    settings = (BoardSetting(power_limit_w=None), BoardSetting(power_limit_w=85))
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], boards=settings, blocks=1, tasks=6)
    run = world.build().run
    analyze(run)
    before = tables(run)
    assert sorted(read) == sorted(world.cell_keys())
    analyze(run)
    assert (len(read), tables(run)) == (2, before)
    for name in ("cells", "requests", "accuracy"):
        table = read_table(run, name)
        told = set(zip(table["load"].to_pylist(), table["board"].to_pylist(), strict=True))
        assert told == {("single-stream@as-found", "as-found"), ("single-stream@85w", "85w")}, name


def test_what_is_wrong_with_a_cell_is_said_of_where_it_lies_now(run: RunDir, tmp_path: Path) -> None:
    key = CellKey(MODEL_NAME, "bf16", "closed-8", 2)
    rewrite(run.cell(key) / "requests.parquet", lambda own: pa.concat_tables([own, own.slice(0, 1)]))
    analyze(run)
    moved = RunDir(run.root.rename(tmp_path / "moved"))
    (wrong,) = analyze(moved).invalid
    assert wrong.key == key
    assert wrong.problem is not None
    assert wrong.problem.startswith(str(moved.cell(key)))


def test_another_analysis_takes_nothing_over(
    run: RunDir, read: list[CellKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "analysis_version", lambda: "another")
    analyze(run)
    assert sorted(read) == sorted(run.finished_cells())


def test_every_change_of_a_source_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Room:
        __path__ = (str(tmp_path),)

    source = tmp_path / "deep" / "rule.py"
    source.parent.mkdir()
    source.write_text("HALF = 0.5\n", encoding="utf-8")
    monkeypatch.setattr(store, "_ROOMS", (Room,))
    before = store.analysis_version.__wrapped__()
    assert store.analysis_version.__wrapped__() == before
    source.write_text("HALF = 0.6\n", encoding="utf-8")
    assert store.analysis_version.__wrapped__() != before


def test_verify_takes_nothing_of_what_is_kept_and_keeps_nothing(run: RunDir, read: list[CellKey]) -> None:
    before = [(path, path.stat().st_mtime_ns) for path in kept(run)]
    verify(run)
    assert sorted(read) == sorted(run.finished_cells())
    assert [(path, path.stat().st_mtime_ns) for path in kept(run)] == before


def test_files_of_single_cells_become_one(run: RunDir, read: list[CellKey]) -> None:
    key = CellKey(MODEL_NAME, "bf16", "single-stream", 1)
    for number in range(store.MOST_FILES + 2):
        rewrite(run.cell(key) / "power.parquet", scaled("power_w", 1 + number / 1000))
        analyze(run)
        assert len(kept(run)) <= store.MOST_FILES
    assert set(read) == {key}


@pytest.fixture
def in_processes(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Nothing is kept, and what is read is read in two processes; returns the tables as they were."""
    before = tables(run)
    shutil.rmtree(run.kept)
    monkeypatch.setattr(crew, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(crew, "BATCH", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return before


def test_processes_give_what_this_one_gives_in_whatever_folder_they_start(
    run: RunDir,
    read: list[CellKey],
    in_processes: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = tmp_path / "analysis" / "__init__.py"  # of somebody who calls theirs so
    theirs.parent.mkdir()
    theirs.write_text("raise SystemExit('another analysis')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told: list[tuple[int, int]] = []
    analyze(run, lambda done, total: told.append((done, total)))
    assert (read, tables(run)) == ([], in_processes)
    assert told[-1] == (12, 12)


def test_a_machine_of_many_cpus_gets_no_more_processes_than_pay(
    run: RunDir, read: list[CellKey], in_processes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[RunDir] = []

    def spied(run: RunDir, *_: object) -> list[pa.Table]:
        started.append(run)
        return []

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(128)))
    monkeypatch.setattr(crew, "MOST_PROCESSES", 3)
    monkeypatch.setattr(crew, "_elsewhere", spied)
    analyze(run)
    assert len(started) == 3
    assert (sorted(read), tables(run)) == (sorted(run.finished_cells()), in_processes)


def test_what_a_process_leaves_when_it_dies_is_read_here(
    run: RunDir, read: list[CellKey], in_processes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "digest_of", lambda _: "of another study")  # at which a process ends
    analyze(run)
    assert sorted(read) == sorted(run.finished_cells())
    assert tables(run) == in_processes
