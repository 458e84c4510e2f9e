"""evalplus' sample format is read as evalplus reads it, and a bad line is named."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from analysis.grading import grade_samples
from analysis.grading.grader import Program
from analysis.grading.sample_files import read_samples
from configs.datasets import load_dataset
from starwatt_errors import UsageError

packed = partial(gzip.compress, mtime=0)  # the same bytes in every process that collects these tests
DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]
OTHER = DATASET.by_id["starwatt/1"]


@pytest.mark.usefixtures("sandbox")
def test_solutions_and_completions_are_graded_and_pass_at_1_is_the_mean_over_tasks(
    tmp_path: Path, answers_cache: Path
) -> None:
    samples = [
        {"task_id": TASK.task_id, "solution": TASK.prompt + TASK.canonical_solution},
        {"task_id": TASK.task_id, "completion": "    return value\n"},
        {"task_id": OTHER.task_id, "completion": OTHER.canonical_solution},
        {
            "task_id": TASK.task_id,
            "solution": "def bounded(v, a, b):\n    return min(max(v, a), b) % 10 ** 9\n",
        },
        {"task_id": TASK.task_id, "solution": "not a program"},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n\n".join(map(json.dumps, samples)) + "\n")
    result = grade_samples(path, DATASET, cache_dir=answers_cache)
    assert result["dataset_hash"] == DATASET.sha256
    verdicts = [
        (grade["sample"], grade["base"], grade["plus"], grade["reason"]) for grade in result["grades"]
    ]
    assert verdicts == [
        (0, True, True, "passed"),
        (1, False, False, "wrong_answer"),
        (0, True, True, "passed"),
        (2, True, False, "wrong_answer"),
        (3, False, False, "syntax"),
    ]
    assert result["pass_at_1"] == {"base": (2 / 4 + 1) / 2, "plus": (1 / 4 + 1) / 2}
    assert json.loads(json.dumps(result)) == result


LINE = '{"task_id": "starwatt/15", "completion": "    return value\\n"}'
PROGRAM = Program("starwatt/15", TASK.prompt + "    return value\n")


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (f"{LINE}\n{LINE}", 2),
        (f"\n \t\n{LINE}\n\n", 1),
        (f"{LINE}\r\n{LINE}\r\n", 2),
        (f"{LINE}\r{LINE}\r", 2),
        (f"\ufeff{LINE}\n", 1),
        (LINE.replace("{", '{"task_id": "starwatt/1", "solution": null, '), 1),
        (LINE.replace("{", '{"logprob": NaN, "least": -Infinity, "passed": true, "note": "\u2028\u0085\x7f", '), 1),
        (packed(f"{LINE}\n{LINE}".encode()), 2),
        (packed(f"\ufeff{LINE}\r\n".encode()) + packed(LINE.encode()), 2),
    ],
    ids=repr,
)  # fmt: skip
def test_what_evalplus_reads_is_read(data: str | bytes, count: int, tmp_path: Path) -> None:
    path = tmp_path / "samples.of-any-name"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert read_samples(path, DATASET) == [PROGRAM] * count


@pytest.mark.parametrize(
    "pack", [bz2.compress, lzma.compress, lambda data: gzip.compress(gzip.compress(data))]
)
def test_a_file_that_is_packed_otherwise_than_by_gzip_is_named(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl.packed"
    path.write_bytes(pack(LINE.encode()))
    with pytest.raises(
        UsageError, match=r"samples\.jsonl\.packed: packed by (bzip2|xz|gzip, twice): unpack it"
    ):
        read_samples(path, DATASET)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "starwatt_1").mkdir()
    (tmp_path / "starwatt_1" / "0.py").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"cannot read samples .*0\.py"):
        read_samples(tmp_path, DATASET)


def test_solution_comes_before_completion_even_if_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(LINE.replace("{", '{"solution": "", '))
    assert read_samples(path, DATASET) == [Program(TASK.task_id, "")]


def test_a_folder_holds_one_for_each_task_with_programs_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for task, names in (("starwatt_15", ("10", "2", "0")), ("starwatt_1", ("0",))):
        (tmp_path / task).mkdir()
        for name in names:
            (tmp_path / task / f"{name}.py").write_text(f"# {name}\r\n", newline="")
        (tmp_path / task / "0.raw").write_text("no program")
    (tmp_path / "starwatt_1" / "._0.py").write_bytes(b"\xff\x00")  # what macOS keeps beside a file
    (tmp_path / "starwatt_1" / "1.py").mkdir()
    os.mkfifo(tmp_path / "starwatt_1" / "2.py")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "eval_results.json").write_text("{}")
    (tmp_path / "starwatt_15" / "1.py").write_bytes(b"\xef\xbb\xbf#")  # no Python for evalplus either
    assert read_samples(tmp_path, DATASET) == [
        Program("starwatt/1", "# 0\n"),
        *(Program("starwatt/15", source) for source in ("# 0\n", "\ufeff#", "# 2\n", "# 10\n")),
    ]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("starwatt_99/0.py", b"", "starwatt_99: starwatt-24 has no such task; .*as starwatt_0/0.py"),
        ("starwatt_1/0.py", b"# \xe9", "0.py, line 1: not UTF-8 .*save the file as UTF-8"),
        ("starwatt_1/0.txt", b"", "no samples: .*as starwatt_0/0.py"),
    ],
)
def test_a_folder_that_is_none_of_evalplus_is_named(
    name: str, data: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_samples(tmp_path, DATASET)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no samples: a line takes"),
        (" \n\t\n", "no samples"),
        ("{", "line 1: not JSON .* at column 2.*: a line takes"),
        (f"{LINE}\n{LINE[:60]}", "line 2: not JSON"),
        (f"{LINE},\n{LINE}", "line 1: not JSON .*Extra data"),
        ("{'task_id': 'starwatt/1'}", "line 1: not JSON .*double quotes"),
        (f"\0\0{LINE}", "line 1: not JSON"),
        ("[" * 100_000, "line 1: nested too deeply"),
        (LINE.replace("{", '{"n": ' + "1" * 10_000 + ", "), "line 1: a number has more digits than can be read"),
        ("[]", "line 1: not a JSON object: a line takes"),
        ('"starwatt/1"', "line 1: not a JSON object"),
        ('{"task_id": "HumanEval/0", "solution": ""}', "'HumanEval/0', which .*starwatt/0 to starwatt/23"),
        ('{"task_id": 15, "solution": ""}', "task_id is 15, which"),
        ('{"task_id": ["starwatt/15"], "solution": ""}', "task_id is .'starwatt/15'., which"),
        ('{"task_id": "\\u001b[2J\\ud800", "solution": ""}', r"task_id is '.x1b\[2J.ud800', which"),
        (f'{{"task_id": "{"H" * 5000}"}}', r"task_id is 'H{20,40}\.\.\.H{20,40}', which"),
        ('{"solution": ""}', "task_id is missing; the tasks are"),
        ('\n{"task_id": "starwatt/1"}', "line 2: it takes a string in the field solution or completion"),
        ('{"task_id": "starwatt/1", "solution": ["x"]}', "solution or completion, and solution is .'x'.; several"),
        ('{"task_id": "starwatt/1", "solution": "", "completion": 5}', "completion is 5"),
    ],
)  # fmt: skip
def test_a_bad_file_is_a_usage_error_that_names_the_line_and_what_it_takes(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        grade_samples(path, DATASET)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINE.encode("utf-16"), "line 1: not UTF-8"),
        (f"{LINE}\n# é".encode("latin-1"), "line 2: not UTF-8 .*save the file as UTF-8"),
        (packed(LINE.encode())[:-9], "cannot be unpacked .*pack it again"),
        (b"\x1f\x8b but not packed", "cannot be unpacked"),
    ],
)
def test_bytes_that_are_no_text_are_a_usage_error(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        grade_samples(path, DATASET)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.jsonl"):
        grade_samples(tmp_path / "nothing.jsonl", DATASET)
