"""Read samples as evalplus does: a JSON object a line, packed by gzip or not, or a folder of programs for each task."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.grading.grader import Program
from analysis.grading.values import short
from configs.datasets import Dataset
from starwatt_errors import UsageError, reason_of

_GZIP = b"\x1f\x8b"
#: How files begin that are packed otherwise.
_PACKED = {
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    _GZIP: "gzip, twice",
}
_LINE = 'a line takes {"task_id": …, "solution": …} with a whole program, or "completion" with what follows the prompt'


def read_samples(path: Path, dataset: Dataset) -> list[Program]:
    """Read the programs, in the order of the lines; of a folder, by task and number.

    Raises ``UsageError`` with the file, the line, what is wrong and what it takes.
    """
    try:
        programs = list(_of_folder(path, dataset) if path.is_dir() else _of_lines(path, dataset))
    except OSError as error:
        raise UsageError(f"cannot read samples from {error.filename or path}: {reason_of(error)}") from error
    if not programs:
        raise UsageError(f"{path} has no samples: {_LINE}; a folder holds {_example(dataset)}")
    return programs


def _of_lines(path: Path, dataset: Dataset) -> Iterator[Program]:
    data = path.read_bytes()
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(
                f"{path}: cannot be unpacked ({error}): pack it again, or give it unpacked"
            ) from error
    for mark, packing in _PACKED.items():
        if data.startswith(mark):
            raise UsageError(f"{path}: packed by {packing}: unpack it, or pack it once, by gzip")
    for number, line in enumerate(_text(data, path).split("\n"), start=1):
        if line.strip():
            yield _sample(line, f"{path}, line {number}", dataset)


def _of_folder(path: Path, dataset: Dataset) -> Iterator[Program]:
    tasks = {task_id.replace("/", "_"): task_id for task_id in dataset.by_id}
    programs = {folder: _programs_in(folder) for folder in path.iterdir() if folder.is_dir()}
    unknown = sorted(str(folder) for folder, files in programs.items() if files and folder.name not in tasks)
    if unknown:
        raise UsageError(f"{unknown[0]}: {dataset.name} has no such task; a folder holds {_example(dataset)}")
    by_name = {folder.name: files for folder, files in programs.items()}
    for name, task_id in tasks.items():
        for file in sorted(by_name.get(name, ()), key=lambda file: (len(file.stem), file.stem)):
            yield Program(task_id, _text(file.read_bytes(), file, bom=True))


def _programs_in(folder: Path) -> list[Path]:
    """Return its programs: no folder, no pipe, and not what macOS keeps beside a file (``._0.py``)."""
    files = (file for file in folder.glob("*.py") if not file.name.startswith("."))
    return [file for file in files if file.is_file() or file.is_symlink()]


def _example(dataset: Dataset) -> str:
    name = dataset.tasks[0].task_id.replace("/", "_")
    return f"one for each task with a whole program in each file, as {name}/0.py"


def _text(data: bytes, path: Path, *, bom: bool = False) -> str:
    """Decode, with the line ends of any system; without a byte order mark, unless evalplus would run it."""
    try:
        text = data.decode("utf-8" if bom else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: not UTF-8 ({error.reason}): save the file as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sample(line: str, where: str, dataset: Dataset) -> Program:
    sample = _object(line, where)
    task_id = sample.get("task_id")
    if not isinstance(task_id, str) or task_id not in dataset.by_id:
        what = "missing" if task_id is None else f"{short(task_id)}, which {dataset.name} does not have"
        first, last = dataset.tasks[0].task_id, dataset.tasks[-1].task_id
        raise UsageError(f"{where}: task_id is {what}; the tasks are {first} to {last}")
    for field in ("solution", "completion"):
        if not isinstance(sample.get(field), str | None):
            raise UsageError(
                f"{where}: it takes a string in the field solution or completion, and {field} is "
                f"{short(sample[field])}; several programs for a task take a line each"
            )
    if sample.get("solution") is not None:
        return Program(task_id, sample["solution"])
    if sample.get("completion") is not None:
        return Program(task_id, dataset.by_id[task_id].prompt + sample["completion"])
    raise UsageError(f"{where}: it takes a string in the field solution or completion")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        sample = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON ({error.msg} at column {error.colno}): {_LINE}") from error
    except RecursionError as error:
        raise UsageError(f"{where}: nested too deeply to be read: {_LINE}") from error
    except ValueError as error:
        raise UsageError(f"{where}: a number has more digits than can be read: {_LINE}") from error
    if not isinstance(sample, dict):
        raise UsageError(f"{where}: not a JSON object: {_LINE}")
    return sample
