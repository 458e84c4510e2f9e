"""Do we say what evalplus says? ``python -m benchmarks.grading.agreement`` records evalplus' verdicts and compares.

There are two sets of programs: the 164 canonical solutions with their mutants, and whole programs as chat models write
them. evalplus grades each three times, one process at a time, with three orders of its sets of texts. What it says
alike three times is written to a file, which the tests read.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.grading.grader import Program, judge_programs
from analysis.grading.types import Verdict as OurVerdict
from benchmarks.grading import mutants, written
from benchmarks.grading.evalplus_runs import EvalplusRun, Sample, Verdict, evaluate
from configs.datasets import Dataset, load_dataset

#: evalplus 0.3.1 fails every solution of this task, the canonical one too: it leaves the loop before it notes that an
#: input passed (docs/decisions/0016). Its check of each input is right, and that is what is recorded.
FIND_ZERO = "HumanEval/32"
_HASH_SEEDS = (1, 2, 3)
_FIND_ZERO_SCRIPT = """
import json, multiprocessing, sys
from evalplus.data import get_human_eval_plus
from evalplus.eval import PASS, _SUCCESS, _UNKNOWN, unsafe_execute
from evalplus.gen.util import trusted_exec

problem = get_human_eval_plus()["HumanEval/32"]
verdicts = []
for solution in json.load(sys.stdin):
    statuses = []
    for inputs in (problem["base_input"], problem["plus_input"]):
        expected = trusted_exec(problem["prompt"] + problem["canonical_solution"], inputs, "find_zero")
        status = multiprocessing.Value("i", _UNKNOWN)
        details = multiprocessing.Array("b", [False] * len(inputs))
        progress = multiprocessing.Value("i", 0)
        process = multiprocessing.Process(target=unsafe_execute, args=(
            "humaneval", "find_zero", solution, inputs, expected, [1.0] * len(inputs), problem["atol"], True,
            status, details, progress))
        process.start()
        process.join(60)
        process.kill()
        statuses.append("pass" if status.value == _SUCCESS else "fail")
    verdicts.append(statuses)
json.dump(verdicts, sys.stdout)
"""


@dataclass(frozen=True)
class Difference:
    """A program on which the two graders do not agree."""

    sample: Sample
    what: str
    evalplus: Verdict
    ours: OurVerdict


@dataclass(frozen=True)
class Compared:
    """A set of programs, each with what it is, and the file with evalplus' verdicts on them."""

    file: Path
    seed: int
    programs: Callable[[Dataset], list[tuple[str, Sample]]]


def _solutions_and_mutants(dataset: Dataset) -> list[tuple[str, Sample]]:
    right = [
        ("canonical", Sample(task.task_id, task.prompt + task.canonical_solution)) for task in dataset.tasks
    ]
    wrong = [
        (f"{one.kind}: {one.what}", Sample(one.task_id, one.solution))
        for one in mutants.mutants(dataset, mutants.SEED)
    ]
    return right + wrong


def _as_written(dataset: Dataset) -> list[tuple[str, Sample]]:
    return [(one.what, Sample(one.task_id, one.solution)) for one in written.written(dataset)]


MUTANTS = Compared(Path(__file__).with_name("evalplus_verdicts.json"), mutants.SEED, _solutions_and_mutants)
WRITTEN = Compared(Path(__file__).with_name("evalplus_written.json"), written.SEED, _as_written)


def digest(sample: Sample) -> str:
    """What a program is called in the record."""
    content = f"{sample.task_id}\0{sample.solution}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:16]


def recorded_verdicts(dataset: Dataset, compared: Compared = MUTANTS) -> dict[str, Verdict]:
    """evalplus' verdicts by digest; raises ``ValueError`` if they were recorded on another data set."""
    record = json.loads(compared.file.read_text(encoding="utf-8"))
    if record["dataset_sha256"] != dataset.sha256:
        raise ValueError(f"{compared.file.name} was recorded on another version of HumanEval+")
    return {name: (base, plus) for name, (base, plus) in record["verdicts"].items()}


def differences(
    dataset: Dataset,
    samples: Sequence[tuple[str, Sample]],
    recorded: Mapping[str, Verdict],
    cache_dir: Path | None = None,
) -> list[Difference]:
    """Grade programs whose verdicts are recorded; return those on which ours are others (base, or base and plus)."""
    ours = judge_programs(
        dataset, [Program(one.task_id, one.solution) for _, one in samples], cache_dir=cache_dir
    )
    found = []
    for (what, sample), verdict in zip(samples, ours, strict=True):
        theirs = recorded[digest(sample)]
        if (verdict.base, verdict.plus) != (theirs[0] == "pass", theirs == ("pass", "pass")):
            found.append(Difference(sample, what, theirs, verdict))
    return found


def record(dataset: Dataset, dataset_file: Path, keep: Path, compared: Compared) -> None:
    """Run evalplus three times and write what it says alike; finished runs in the folder are not run again."""
    samples = [sample for _, sample in compared.programs(dataset)]
    runs = [
        _run(samples, dataset_file, keep / f"{compared.file.stem}-{hash_seed}.json", hash_seed)
        for hash_seed in _HASH_SEEDS
    ]
    verdicts, unstable = {}, []
    for sample, *said in zip(samples, *runs, strict=True):
        if len(set(said)) == 1:
            verdicts[digest(sample)] = said[0]
        else:
            unstable.append(digest(sample))
    of_find_zero = [sample for sample in samples if sample.task_id == FIND_ZERO]
    as_reported = {verdicts[digest(sample)] for sample in of_find_zero}
    for sample, verdict in zip(of_find_zero, _find_zero(of_find_zero, dataset_file), strict=True):
        verdicts[digest(sample)] = verdict
    content = {
        "source": "evalplus.evaluate three times on each program; see benchmarks/grading/agreement.py",
        "evalplus": importlib.metadata.version("evalplus"),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "dataset_sha256": dataset.sha256,
        "seed": compared.seed,
        "hash_seeds": _HASH_SEEDS,
        "find_zero_as_reported": sorted(as_reported),
        "unstable": unstable,
        "verdicts": verdicts,
    }
    compared.file.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def _run(samples: list[Sample], dataset_file: Path, file: Path, hash_seed: int) -> list[Verdict]:
    if not file.is_file():
        run: EvalplusRun = evaluate(samples, dataset_file, parallel=1, hash_seed=hash_seed)
        file.write_text(json.dumps(vars(run)), encoding="utf-8")
    return [(base, plus) for base, plus in json.loads(file.read_text(encoding="utf-8"))["verdicts"]]


def _find_zero(samples: list[Sample], dataset_file: Path) -> list[Verdict]:
    done = subprocess.run(
        [sys.executable, "-c", _FIND_ZERO_SCRIPT], input=json.dumps([sample.solution for sample in samples]),
        env={**os.environ, "HUMANEVAL_OVERRIDE_PATH": str(dataset_file)}, capture_output=True, text=True, check=True,
        timeout=600,
    )  # fmt: skip
    return [(base, plus) for base, plus in json.loads(done.stdout)]


_SETS = {"mutants": MUTANTS, "written": WRITTEN}


def main() -> int:
    """Record, compare, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grading.agreement", description=__doc__)
    parser.add_argument("--dataset-file", type=Path, default=os.environ.get("HUMANEVAL_OVERRIDE_PATH"))
    parser.add_argument("--only", choices=_SETS, help="one of the two sets")
    parser.add_argument("--keep", type=Path, required=True, help="a folder for evalplus' finished runs")
    arguments = parser.parse_args()
    if arguments.dataset_file is None:
        parser.error("--dataset-file HumanEvalPlus.jsonl.gz (or HUMANEVAL_OVERRIDE_PATH) is needed")
    file = Path(arguments.dataset_file).resolve()
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(file)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset("humaneval+")
    chosen = [arguments.only] if arguments.only else list(_SETS)
    return max(_record_and_compare(dataset, file, arguments.keep, _SETS[name]) for name in chosen)


def _record_and_compare(dataset: Dataset, file: Path, keep: Path, compared: Compared) -> int:
    record(dataset, file, keep, compared)
    recorded = recorded_verdicts(dataset, compared)
    samples = [one for one in compared.programs(dataset) if digest(one[1]) in recorded]
    found = differences(dataset, samples, recorded)
    print(f"{compared.file.name}: {len(samples)} programs on which evalplus agrees with itself")
    for one in found:
        print(f"{one.sample.task_id} {one.what}: evalplus {one.evalplus}, ours {one.ours}")
    print(f"{len(found)} verdicts differ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
