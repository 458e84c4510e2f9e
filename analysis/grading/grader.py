"""Grade many candidates: equal ones once, several sandboxes side by side, doubtful ones again and alone."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from pydantic import TypeAdapter

from analysis.grading.cache import Cache, content_key, versions
from analysis.grading.comparer import Comparer, ComparerDiedError
from analysis.grading.expected import TaskAnswers
from analysis.grading.isolation.launch import Launcher, bubblewrap, plain
from analysis.grading.isolation.sandbox import Limits, Sandbox, SandboxDiedError
from analysis.grading.judge import Judgement, judge
from analysis.grading.proof import sandbox_status
from analysis.grading.references import expected_answers
from analysis.grading.sanitizer import sanitize
from analysis.grading.types import Candidate, Grade, Spans, Verdict
from analysis.grading.values import printable
from configs.datasets import Dataset
from configs.prompt_formats import EndpointKind, format_of
from starwatt_errors import GradingError, StarwattError

Progress = Callable[[int, int], None]

#: A judgement, what stopped a worker, or None when a worker has ended.
_Result = tuple["Program", Judgement] | Exception | None

_VERDICT = TypeAdapter(Verdict)


@dataclass(frozen=True)
class _Way:
    """Say how programs are judged: with which part of their time, and whether each has a new sandbox."""

    patience: float
    fresh_sandboxes: bool


_TOGETHER = _Way(patience=0.5, fresh_sandboxes=False)
#: What is not sure is judged again, with nothing beside it or before it.
_ALONE = _Way(patience=1.0, fresh_sandboxes=True)


def _undecided(detail: str) -> Judgement:
    verdict = Verdict(False, False, "forbidden", printable(detail), retried=False, cpu_s=0.0)
    return Judgement(verdict, sure=False)


@dataclass(frozen=True)
class Program:
    """A whole program that claims to solve a task; ``sanitize`` as evalplus does with what a model wrote."""

    task_id: str
    source: str
    sanitize: bool = False


class How(TypedDict, total=False):
    """Say how programs are judged; all of it has a default (``judge_programs``)."""

    workers: int
    cache_dir: Path | None
    on_progress: Progress | None
    limits: Limits | None
    unsafe_no_sandbox: bool


def grade(
    dataset: Dataset,
    candidates: Sequence[Candidate],
    *,
    endpoint: EndpointKind = "completions",
    **how: Unpack[How],
) -> list[Grade]:
    """Grade completions, in their order; each is made a program by its task's prompt format and evalplus' sanitiser.

    ``workers`` sandboxes run side by side. With ``cache_dir``, verdicts are kept there for ever; if all are known, no
    sandbox is needed. ``on_progress`` gets (candidates with a verdict, all candidates), in the calling thread.
    ``unsafe_no_sandbox`` runs them with nothing between them and this machine; verdicts of the two ways are kept apart.
    Raises ``GradingError`` for an unknown task, and when the sandbox is not usable (``sandbox_status`` says why).
    """
    unknown = sorted({candidate.task_id for candidate in candidates} - set(dataset.by_id))
    if unknown:
        raise GradingError(f"{dataset.name} has no task {', '.join(unknown[:5])}")
    tasks = [dataset.by_id[candidate.task_id] for candidate in candidates]
    programs = [
        Program(
            task.task_id,
            format_of(task, endpoint).assemble(task.prompt, candidate.completion),
            sanitize=True,
        )
        for task, candidate in zip(tasks, candidates, strict=True)
    ]
    verdicts = judge_programs(dataset, programs, **how)
    return [
        Grade(
            request_id=candidate.request_id,
            task_id=candidate.task_id,
            solution_chars=_in_completion(verdict.kept, program.source, candidate.completion),
            **asdict(verdict),
        )
        for candidate, program, verdict in zip(candidates, programs, verdicts, strict=True)
    ]


def _in_completion(kept: Spans | None, source: str, completion: str) -> tuple[int, ...] | None:
    """Return the edges of what was kept of a program that ends with a completion, or with the beginning of it."""
    if kept is None:
        return None
    longest = min(len(source), len(completion))
    of_completion = next(size for size in range(longest, -1, -1) if source.endswith(completion[:size]))
    before = len(source) - of_completion
    spans = [(max(start - before, 0), end - before) for start, end in kept if end > before]
    return tuple(edge for span in spans for edge in span)


def judge_programs(
    dataset: Dataset,
    programs: Sequence[Program],
    *,
    workers: int = 2,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
    limits: Limits | None = None,
    unsafe_no_sandbox: bool = False,
) -> list[Verdict]:
    """Return the verdicts of whole programs, in their order; otherwise as ``grade``."""
    limits = limits or Limits()
    launcher = plain if unsafe_no_sandbox else bubblewrap
    counts = Counter(programs)
    verdicts: dict[Program, Verdict] = {}
    known = 0

    def settle(program: Program, verdict: Verdict) -> None:
        nonlocal known
        verdicts[program] = verdict
        known += counts[program]
        if on_progress is not None:
            on_progress(known, len(programs))

    with contextlib.closing(Cache(cache_dir)) as cache:
        keys = {program: _key(dataset, program, limits, launcher) for program in counts}
        for program, key in keys.items():
            if (kept := cache.get(key, _VERDICT)) is not None:
                settle(program, kept)
        open_programs = [program for program in counts if program not in verdicts]
        if open_programs:
            for program, verdict in _fresh_verdicts(dataset, open_programs, cache, workers, limits, launcher):
                cache.put(keys[program], asdict(verdict))
                settle(program, verdict)
    return [verdicts[program] for program in programs]


def _key(dataset: Dataset, program: Program, limits: Limits, launcher: Launcher) -> str:
    return content_key(
        "verdict", versions(), launcher.__name__, asdict(limits), dataset.sha256, *astuple(program)
    )


def _fresh_verdicts(
    dataset: Dataset,
    programs: Sequence[Program],
    cache: Cache,
    workers: int,
    limits: Limits,
    launcher: Launcher,
) -> Generator[tuple[Program, Verdict], None, None]:
    if launcher is bubblewrap:
        status = sandbox_status()
        if not status.ok:
            raise GradingError(
                "generated code is only run in a sandbox, and none is to be had here: "
                f"{status.reason} ({status.remedy})"
            )
    task_ids = dict.fromkeys(program.task_id for program in programs)
    answers = expected_answers(dataset, task_ids, cache, launcher, workers)
    start = partial(Sandbox, limits=limits, launcher=launcher)
    doubtful = []
    with contextlib.closing(_side_by_side(dataset, programs, answers, workers, start, _TOGETHER)) as judged:
        for program, judgement in judged:
            if judgement.sure:
                yield program, judgement.verdict
            else:
                doubtful.append(program)
    with contextlib.closing(_side_by_side(dataset, doubtful, answers, 1, start, _ALONE)) as judged:
        for program, judgement in judged:
            yield program, replace(judgement.verdict, retried=True)


def _side_by_side(
    dataset: Dataset,
    programs: Sequence[Program],
    answers: dict[str, TaskAnswers],
    workers: int,
    start: Callable[..., Sandbox],
    way: _Way,
) -> Generator[tuple[Program, Judgement], None, None]:
    """Judge with several threads, each with a sandbox; closing the generator ends them and kills what runs."""
    todo: queue.SimpleQueue[Program] = queue.SimpleQueue()
    # What may take long comes first, so that no worker is left with it when the others have ended.
    for program in sorted(programs, key=lambda program: -answers[program.task_id].cpu_s):
        todo.put(program)
    done: queue.SimpleQueue[_Result] = queue.SimpleQueue()
    crew = [
        _Worker(partial(start, worker=number), dataset, answers, todo, done, way)
        for number in range(min(workers, len(programs)))
    ]
    for number, worker in enumerate(crew):
        worker.name = f"grader-{number}"
        worker.start()
    try:
        missing, working = len(programs), len(crew)
        while missing:
            result = done.get()
            if isinstance(result, tuple):
                missing -= 1
                yield result
            elif result is not None:
                raise GradingError(f"grading stopped: {result}") from result
            elif (working := working - 1) == 0:
                raise GradingError(f"the workers ended with {missing} programs left")
    finally:
        for worker in crew:
            worker.stop()
        for worker in crew:
            worker.join()


class _Worker(threading.Thread):
    """Takes programs and gives verdicts until none is left or it is told to stop."""

    def __init__(
        self,
        start: Callable[[], Sandbox],
        dataset: Dataset,
        answers: dict[str, TaskAnswers],
        todo: queue.SimpleQueue[Program],
        done: queue.SimpleQueue[_Result],
        way: _Way,
    ) -> None:
        super().__init__(daemon=True)
        self._start_sandbox = start
        self._dataset = dataset
        self._answers = answers
        self._todo = todo
        self._done = done
        self._way = way
        self._stopping = threading.Event()
        self._sandbox: Sandbox | None = None
        self._comparer = Comparer()

    def run(self) -> None:
        try:
            for program in self._programs():
                self._done.put((program, self._judge(program)))
        except Exception as error:  # noqa: BLE001 -- the thread that waits raises it
            self._done.put(error)
        finally:
            self._comparer.close()
            if self._sandbox is not None:
                self._sandbox.close()
            self._done.put(None)

    def stop(self) -> None:
        """End after the current program, which is killed."""
        self._stopping.set()
        self._comparer.kill()
        if self._sandbox is not None:
            self._sandbox.kill()

    def _programs(self) -> Iterable[Program]:
        while not self._stopping.is_set():
            try:
                yield self._todo.get_nowait()
            except queue.Empty:
                return

    def _judge(self, program: Program) -> Judgement:
        """Judge one program. Whatever goes wrong, but for a sandbox that does not start, is about that program."""
        if self._sandbox is None or self._sandbox.closed:
            self._sandbox = self._start_sandbox()
        try:
            judgement = self._judged_in(self._sandbox, program)
        except SandboxDiedError:
            self._sandbox.close()
            return _undecided("the sandbox ended with it")
        except ComparerDiedError as error:
            return _undecided(f"the process that compares its results: {error}")
        except StarwattError:
            raise
        except Exception as error:  # noqa: BLE001 -- one program must not end the grading of all
            self._sandbox.close()
            return _undecided(f"it cannot be judged: {type(error).__name__}: {error}")
        if self._way.fresh_sandboxes:
            self._sandbox.close()
        return judgement

    def _judged_in(self, sandbox: Sandbox, program: Program) -> Judgement:
        task, answers = self._dataset.by_id[program.task_id], self._answers[program.task_id]
        source, problem, kept = program.source, None, None
        if program.sanitize:
            clean = sanitize(sandbox, source, task.entry_point)
            source, problem, kept = clean.source, clean.problem, clean.kept
        judgement = judge(sandbox, self._comparer, task, source, answers, patience=self._way.patience)
        verdict = replace(judgement.verdict, kept=kept)
        judgement = replace(judgement, verdict=verdict)
        if problem is None or verdict.base:
            return judgement
        # What was kept of it fails, but the reason is that the rest was no Python.
        detail = printable(f"{problem}; what is left of it: {verdict.detail}")
        return replace(judgement, verdict=replace(verdict, reason="syntax", detail=detail))
