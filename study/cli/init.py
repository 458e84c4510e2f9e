"""``starwatt init``: a study's file with what each line is for, from a few answers."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

import typer

from configs.files.plain_yaml import dump_yaml
from configs.loader import load_study
from starwatt_errors import UsageError
from study.cli.options import DEFAULT_MODEL
from traces.atomic import write_text

_TEMPLATE = """\
# A study of starwatt. `starwatt run {file} --dry-run` says what it takes, `starwatt run {file}` measures it.
# Every field that there is: docs/study-file.md.
name: {name}
models: [{model}]    # hub ids, ./folders, or names in configs/architectures
baseline: {baseline}    # the variant that the others are compared with
variants: [{variants}]    # names of files in configs/variants, or derived from them (docs/variants.md)
loads:
  - {{kind: single_stream}}    # one request at a time
{loads}
prompts: {{dataset: {dataset}, tasks: all, max_tokens: 512}}    # or tasks: N, a subset; dataset: ./own.jsonl
measure: {{passes: 1, min_s: 60}}    # whole passes over the prompts, more of them until min_s seconds
phases: {{idle_s: 20, warmup_s: 15}}
blocks: {blocks}    # how often everything is measured: from three on there are intervals
seed: 20
"""


@dataclass(frozen=True)
class Wanted:
    """Hold what a study is made from; None: ask, or take what is usual."""

    name: str | None = None
    model: str | None = None
    variants: str | None = None
    concurrency: str | None = None
    dataset: str | None = None
    blocks: int | None = None


_DEFAULTS = Wanted(None, DEFAULT_MODEL, "bf16,nf4-bnb", "8,32", "humaneval+", 3)
_QUESTIONS = {
    "name": "Name of the study (its run is runs/NAME)",
    "model": "Model (hub id, ./folder, or a name in configs/architectures)",
    "variants": "Variants, the baseline first (comma between)",
    "concurrency": "Requests in flight beside one at a time (comma between)",
    "dataset": "Prompts (humaneval+, mbpp+, starwatt-24, or a .jsonl file)",
    "blocks": "Blocks (three or more give intervals)",
}


def init(file: Path, given: Wanted) -> None:
    """Write a study's file, and say what to do with it; on a terminal what was not given is asked.

    Raises:
        UsageError: the file is there already, or an answer makes no study.
    """
    if file.exists():
        raise UsageError(f"{file} is there already: name another file, or edit it")
    text = study_text(file, _asked(file, given) if sys.stdin.isatty() else given)
    write_text(file, text)
    print(f"written: {file}")  # noqa: T201
    print(f"what it takes: starwatt run {shlex.quote(str(file))} --dry-run")  # noqa: T201
    print(f"measure it: starwatt run {shlex.quote(str(file))}")  # noqa: T201


def study_text(file: Path, given: Wanted) -> str:
    """Return the text of a study that ``load_study`` reads.

    Raises:
        UsageError: an answer makes no study; the message is that of the file's field.
    """
    usual = _usual(file)
    wanted = {field.name: getattr(given, field.name) or getattr(usual, field.name) for field in fields(given)}
    variants = [_as_yaml(variant.strip()) for variant in wanted["variants"].split(",")]
    loads = [
        f"  - {{kind: closed, concurrency: {number.strip()}}}" for number in wanted["concurrency"].split(",")
    ]
    text = _TEMPLATE.format(
        file=file, baseline=variants[0], variants=", ".join(variants), loads="\n".join(loads), blocks=wanted["blocks"],
        **{name: _as_yaml(wanted[name]) for name in ("name", "model", "dataset")},
    )  # fmt: skip
    _check(file, text)
    return text


def _as_yaml(text: str) -> str:
    """Quote one word of a file where it must be."""
    return dump_yaml([text]).strip().removeprefix("- ")


def _check(file: Path, text: str) -> None:
    """Read it beside where it is going to lie, for what it names by relative paths lies there."""
    folder = file.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder, encoding="utf-8") as tried:
        tried.write(text)
        tried.flush()
        try:
            load_study(Path(tried.name))
        except UsageError as error:
            raise UsageError(str(error).replace(tried.name, str(file))) from error


def _usual(file: Path) -> Wanted:
    """Return what is taken where nothing is said: a study is called as its file, so that two have two runs."""
    return replace(_DEFAULTS, name=re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "my-study")


def _asked(file: Path, given: Wanted) -> Wanted:
    answers, usual = {}, _usual(file)
    for name, question in _QUESTIONS.items():
        known = getattr(given, name)
        if known is None:
            known = typer.prompt(question, default=getattr(usual, name))
        answers[name] = known
    return Wanted(**answers)
