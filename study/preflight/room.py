"""Check that prompts and answers have room in the model's context: a server refuses every request that has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.datasets import Task
from configs.prompt_formats import EndpointKind, format_of
from configs.schema import FixedOutput, Prompts, RecordedOutput, Study
from server.build.tokenizer_files import count_tokens
from study.preflight.problems import Field, StudyProblem


@dataclass(frozen=True)
class AskedTask:
    """Say what a load asks of one task."""

    task_id: str
    text: str
    tokens: int
    """Of the answer at most."""
    field: Field
    """What decides that."""


def asked(study: Study, tasks: Sequence[Task], lengths: Mapping[str, int]) -> list[AskedTask]:
    """Return every prompt with its longest answer, of the loads and of the probes.

    Args:
        study: what asks.
        tasks: those that are asked.
        lengths: recorded tokens by task, where the study takes them.
    """
    requests = [_asked(study.prompts, task, lengths, _field(study.prompts), study.endpoint) for task in tasks]
    for _, prompts in study.probe_loads:
        decides = ("probes", "answer_tokens") if prompts.characters else ("probes",)
        requests += [_asked(prompts, task, {}, decides, study.endpoint) for task in tasks]
    return requests


def no_room(
    every: Sequence[AskedTask], limit: int, limited_by: str, folder: Path | None
) -> Iterator[StudyProblem]:
    """Find what has no room in ``limit`` tokens: one problem for each field, of its longest request.

    Args:
        every: from ``asked``.
        limit: tokens of prompt and answer together.
        limited_by: what sets that limit, in words.
        folder: a checkpoint whose tokenizer counts; where it is None, or has none, a prompt counts as one token.
    """
    texts = list(dict.fromkeys(request.text for request in every))
    counted = None if folder is None else count_tokens(folder, texts)
    prompt_tokens = dict(zip(texts, counted or [1] * len(texts), strict=True))
    longest: dict[Field, tuple[int, AskedTask]] = {}
    for request in every:
        total = prompt_tokens[request.text] + request.tokens
        if request.field not in longest or total > longest[request.field][0]:
            longest[request.field] = (total, request)
    for field, (total, request) in longest.items():
        if total > limit:
            yield StudyProblem(field, _words(total, request, limit, limited_by, known=counted is not None))


def _words(total: int, request: AskedTask, limit: int, limited_by: str, *, known: bool) -> str:
    prompt = total - request.tokens
    beside = f"beside the {prompt} of the prompt {request.task_id}" if known else "beside any prompt"
    lower = f", or lower this to {limit - prompt}" if known and limit > prompt else ", or lower this"
    return (
        f"{request.tokens} tokens of answer have no room {beside} in {limit} ({limited_by}), and the server would "
        f"refuse each such request: raise that to {total}{'' if known else ' or more'}{lower}"
    )


def _field(prompts: Prompts) -> Field:
    if isinstance(prompts.output, FixedOutput):
        return ("prompts", "output", "fixed")
    return (
        ("prompts", "output", "recorded")
        if isinstance(prompts.output, RecordedOutput)
        else ("prompts", "max_tokens")
    )


def _asked(
    prompts: Prompts, task: Task, lengths: Mapping[str, int], field: Field, endpoint: EndpointKind
) -> AskedTask:
    form = format_of(task, endpoint, begun=prompts.begin_answer)
    text = form.render(task.prompt)[: prompts.characters] + form.beginning
    if isinstance(prompts.output, FixedOutput):
        tokens = prompts.output.fixed
    elif isinstance(prompts.output, RecordedOutput):
        tokens = lengths[task.task_id]
    else:
        tokens = min(prompts.max_tokens, task.max_tokens or prompts.max_tokens)
    return AskedTask(task.task_id, text, tokens, field)
