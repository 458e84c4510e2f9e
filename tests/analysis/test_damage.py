"""A damaged file of a run is a sentence with its path and a remedy, whichever file it is and whatever befell it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from analysis.report import write_report
from analysis.runs.identity import misplaced_cells
from analysis.runs.provenance import read_plan
from analysis.tables import analyze
from analysis.verify.run import verify
from starwatt_errors import TraceError
from study.cli.app import app
from tests.golden.world import LOADS, World
from traces.attempts import Attempt, note_attempt
from traces.cell import file_digests, read_cell, write_cell
from traces.layout import CellKey, RunDir

OF_PYTHON = re.compile(
    r"Errno|NoneType|object has|codec|Expecting|Error\b|<class|pydantic|magic bytes|thrift"
)
REMEDY = re.compile(
    r"restore it from a copy|delete (it|that line)|starwatt analyze|read it with the starwatt"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The least run that has all files; its first cell knows their digests, as new ones do, and its second does not."""
    world = World(
        tmp_path_factory.mktemp("damage") / "run", variants=("bf16",), loads=LOADS[:2], blocks=1, tasks=6
    ).build()
    folder = world.run.cell(world.cell_keys()[0])
    files = {name: digest for name, digest in file_digests(folder).items() if name != "grades.parquet"}
    write_cell(folder, read_cell(folder).model_copy(update={"files": files}))
    for _ in range(2):
        note_attempt(world.run, Attempt.now(world.cell_keys()[0], "the engine died"))
    analyze(world.run)
    write_report(world.run)
    return world


@pytest.fixture
def run(whole: World, tmp_path: Path) -> RunDir:
    """A copy to be damaged."""
    shutil.copytree(whole.root, tmp_path / "run")
    return RunDir(tmp_path / "run")


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def unreadable(path: Path) -> None:
    """Even for root: at its start there is nothing that could be read."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def of_another_version(path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
        return
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"99"}), path)


HARMS = (
    deleted, emptied, cut_in_half, overwritten, a_folder, a_link_to_itself, unreadable, of_another_version
)  # fmt: skip


def check_words(words: str, path: Path) -> None:
    assert str(path) in words
    assert REMEDY.search(words), words
    assert not OF_PYTHON.search(words.replace(str(path), "")), words


@pytest.mark.parametrize("digests", [True, False], ids=["with digests", "without digests"])
@pytest.mark.parametrize("harm", HARMS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", ["cell.json", "requests", "power", "engine", "grades"])
def test_a_file_of_a_cell(
    whole: World, run: RunDir, name: str, harm: Callable[[Path], None], *, digests: bool
) -> None:
    key = whole.cell_keys()[0 if digests else 1]
    path = run.cell(key) / (name if "." in name else f"{name}.parquet")
    harm(path)
    result = analyse_cell(run, key, read_context(run)[0])
    problem = misplaced_cells(run).get(key) or result.problem
    if harm is deleted and (name == "grades" or (not digests and name in ("power", "engine"))):
        assert result.problem is None  # such a cell may be: it has a reason where that is missed
    elif name == "cell.json" and harm in (deleted, a_link_to_itself):
        assert result.codes == ("not_measured",)
    elif harm is deleted and not digests:
        assert str(path.parent) in (problem or "")
    else:
        check_words(problem or "", path)


@pytest.mark.parametrize("harm", HARMS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", ["manifest.json", "study.yaml", "plan.parquet", "attempts.jsonl"])
def test_a_file_of_the_run_itself(run: RunDir, name: str, harm: Callable[[Path], None]) -> None:
    path = run.root / name
    if harm is of_another_version and path.suffix in (".yaml", ".jsonl"):
        pytest.skip("it has none")
    harm(path)
    if name == "attempts.jsonl" and harm in (deleted, emptied, cut_in_half):
        assert read_context(run)[1] == ()  # there were no failures, or a kill tore the last line
        return
    if name == "study.yaml" and harm is cut_in_half:  # whole fields of YAML are a study, though another one
        assert {"plan_differs", "record_differs", "not_checked"} & {
            finding.kind for finding in verify(run).findings
        }
        return
    [words] = read_context(run)[1]
    check_words(words, path)
    assert words.rpartition("; so ")[2].endswith("not known")


@pytest.mark.parametrize("qps", ["2", True, -1, 1e-300, float("inf")])
def test_a_manifest_whose_load_has_a_rate_that_no_load_has(run: RunDir, qps: object) -> None:
    manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    run.manifest.write_text(json.dumps(manifest | {"load": {"load": {"kind": "open", "qps": qps}}}))
    [words] = read_context(run)[1]
    check_words(words, run.manifest)


def test_a_run_that_was_left_alone_lacks_nothing(run: RunDir) -> None:
    assert read_context(run)[1] == ()
    assert misplaced_cells(run) == {}


def changed(path: Path, **values: Any) -> None:
    """A Parquet file with one value in all rows of some columns."""
    table = pq.read_table(path)
    for name, value in values.items():
        place = table.schema.get_field_index(name)
        column = pa.array([value] * table.num_rows, table.schema.field(name).type)
        table = table.set_column(place, table.schema.field(name), column)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": None}, "a cell has None as its model"),
        ({"variant": ""}, "a cell has '' as its variant"),
        ({"block": None}, "a cell has None as its block"),
        ({"block": 0}, "a cell has 0 as its block"),
        ({"position": 2**31 - 1}, "a cell has 2147483647 as its position"),
        ({"position": 1}, "has a position twice"),
        ({"engine_start": 2**31 - 1}, "as its engine_start"),
        ({"estimated_s": 1e10}, "a cell has 10000000000.0 as its estimated_s"),
        ({"estimated_s": float("nan")}, "a cell has nan as its estimated_s"),
        ({"estimated_s": 1e300}, "column estimated_s holds 1e+300"),
    ],
)
def test_a_plan_that_no_planner_writes_is_named_by_its_column(
    run: RunDir, values: dict[str, Any], words: str
) -> None:
    changed(run.plan, **values)
    with pytest.raises(TraceError, match=re.escape(words)) as refused:
        read_plan(run)
    check_words(str(refused.value), run.plan)
    [finding] = [written for written in verify(run).findings if written.where == str(run.plan)]
    assert finding.kind == "not_checked"


@pytest.mark.parametrize(
    ("name", "values"),
    [("power", {"power_w": 1e300}), ("power", {"t_ns": 2**63 - 1}), ("engine", {"running": -1e300})],
)
def test_values_that_nothing_of_ours_writes_are_damage(
    whole: World, run: RunDir, name: str, values: dict[str, Any]
) -> None:
    key = whole.cell_keys()[1]
    changed(run.cell(key) / f"{name}.parquet", **values)
    figures = analyse_cell(run, key, read_context(run)[0])
    assert figures.codes == ("trace_damaged",)
    check_words(figures.problem or "", run.cell(key) / f"{name}.parquet")


def test_rows_that_were_copied_count_once_or_are_damage(whole: World, run: RunDir) -> None:
    key, context = whole.cell_keys()[1], read_context(run)[0]
    before = analyse_cell(run, key, context)
    for name in ("power", "requests"):
        path = run.cell(key) / f"{name}.parquet"
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, table]), path)
        if name == "power":
            after = analyse_cell(run, key, context)
            assert [energy.energy_j for energy in after.energies] == [
                energy.energy_j for energy in before.energies
            ]
    check_words(misplaced_cells(run)[key], run.cell(key) / "requests.parquet")


def damaged(run: RunDir, key: CellKey) -> Path:
    path = run.cell(key) / "requests.parquet"
    emptied(path)
    return path


@pytest.mark.parametrize("command", ["report", "compare", "grade"])
def test_commands_that_only_read_say_what_they_left_out(
    whole: World, run: RunDir, command: str, tmp_path: Path
) -> None:
    path = damaged(run, whole.cell_keys()[1])
    arguments = {
        "report": ["report", str(run.root), "--out", str(tmp_path / "page.html")],
        "compare": ["compare", str(whole.root), str(run.root), "--out", str(tmp_path / "page.html")],
        "grade": ["grade", str(run.root)],
    }[command]
    result = CliRunner(env={"COLUMNS": "1000"}).invoke(app, arguments)
    assert result.exit_code == (3 if command == "grade" else 0), result.output
    [line] = [said for said in result.stderr.splitlines() if path.name in said]
    check_words(line, Path("/".join(path.parts[-5:])))


def test_all_commands_go_on_where_a_file_cannot_be_read(whole: World, run: RunDir) -> None:
    unreadable(run.cell(whole.cell_keys()[1]) / "power.parquet")
    assert [cell.key for cell in analyze(run).invalid] == [whole.cell_keys()[1]]
    write_report(run)
    assert {finding.kind for finding in verify(run).findings} >= {"trace_damaged"}
