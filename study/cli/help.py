"""``starwatt --help`` as a manual page, and an example under each command's own help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from typer import BadParameter
from typer.core import TyperGroup

from configs.files.problems import words_of
from study.cli.answers import print_if_json

NAME = "starwatt - what serving a code model under load costs in joules, and what that buys in solved tasks"
DESCRIPTION = (
    "Builds compressed variants of a model, serves each behind an OpenAI endpoint, replays prompts at it (one at a "
    "time, at a fixed concurrency, at a fixed rate), records power beside it, grades the answers in a sandbox, and "
    "joins it all: J/request, J/token, pass@1 and J per solved task, with intervals."
)
JOBS: dict[str, tuple[str, ...]] = {
    "See what this machine can do": ("doctor", "board"),
    "Measure a study": ("init", "run"),
    "Measure an endpoint": ("load", "meter"),
    "Take over what others measured": ("import",),
    "Make and serve variants": ("build", "serve"),
    "Read what was measured": ("runs", "report", "compare", "verify"),
    "Make it again from the traces": ("grade", "analyze"),
}
_NESTED = 2
_Refused: Any = BadParameter.__mro__[1]  # whatever is wrong with a command line; typer does not export it
_ENDPOINT = "--url http://127.0.0.1:8000 --model starcoder2-memorised"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "doctor": ("starwatt doctor", "starwatt doctor --json"),
    "board": ("starwatt board", "starwatt board --restore"),
    "run": (
        "starwatt run configs/studies/demo.yaml --dry-run",
        "starwatt run demo",
        "starwatt run demo --blocks 5",
        "starwatt run my-study.yaml --out runs/my-study-again",
    ),
    "init": (
        "starwatt init",
        "starwatt init my-study.yaml --model ./my-model --variants bf16,nf4-bnb --concurrency 8,32",
    ),
    "load": (
        f"starwatt load {_ENDPOINT} --qps 4 --requests 48 --out runs/fixed-rate --meter local",
        f"starwatt load {_ENDPOINT} --qps 1,2,4,8 --requests 48 --out runs/sweep",
        f"starwatt load {_ENDPOINT} --concurrency 8 --duration 60 --out runs/eight",
        f"starwatt load {_ENDPOINT} --single-stream --requests 20 --dataset prompts.jsonl --out runs/own",
    ),
    "import": (
        "starwatt import result.json --power smi.csv --same-boot --out runs/theirs",
        "starwatt import g.json --power wall.csv,zone=UTC --clock-offset 0.2s --clock-uncertainty 50ms --out runs/g",
        "starwatt import requests.csv --model org/m --load closed-8 --power spl.txt --out runs/c",
    ),
    "meter": (
        "starwatt meter -- python train.py",
        "starwatt meter --out runs/power",
        "starwatt meter --calibrate",
        "starwatt meter --serve --port 9520",
    ),
    "build": ("starwatt build nf4-bnb int4-awq --model ./my-model", "starwatt build --list"),
    "serve": ("starwatt serve nf4-bnb --model starcoder2-memorised --port 8000",),
    "report": (
        "starwatt report runs/demo --figures figures --tables tables",
        "starwatt report runs/demo --figures figures --width single",
    ),
    "compare": (
        "starwatt compare runs/before runs/after --fail-above 5% --summary summary.md",
        "starwatt compare runs/before runs/after --out comparison.html",
        "starwatt compare runs/paper-formats --paper --out paper.html",
    ),
    "verify": ("starwatt verify runs/demo",),
    "runs": ("starwatt runs", "starwatt runs /data/runs --json"),
    "grade": (
        "starwatt grade runs/demo",
        "starwatt grade --samples samples.jsonl --dataset humaneval+ --json",
    ),
    "analyze": ("starwatt analyze runs/demo",),
}
OPTIONS = {
    "-h, --help": "this page; after a command, its options and examples",
    "--version": "the version",
    "-q, --quiet": "after a command: no progress, the answer alone and what goes wrong",
    "--install-completion": "have the shell complete commands and options (--show-completion: only print how)",
}
SESSION = (
    "starwatt doctor",
    "starwatt run configs/studies/demo.yaml",
    "starwatt report runs/demo --figures figures",
    "starwatt compare runs/before runs/after",
)
FILES = {
    "STUDY.yaml": "a study: models, variants, loads, prompts, blocks (docs/reference/configuration.md)",
    "configs/": "presets: studies/, variants/, architectures/",
    "runs/NAME/": "what a study leaves: study.yaml, manifest.json, cells/ (the traces), tables/, report.html",
    "~/.cache/starwatt/checkpoints": "checkpoints that were built (STARWATT_STORE)",
    "~/.local/state/starwatt/boards": "what boards were before a study set them (XDG_STATE_HOME)",
    "~/.cache/starwatt/verdicts": "verdicts on completions: an equal one is run once",
}
ENVIRONMENT = {
    "STARWATT_API_KEY": "bearer token: serve asks every request for it; load and run send it to endpoints",
    "STARWATT_METER_TOKEN": "the token of starwatt meter --serve, for it and for those who ask it",
    "STARWATT_STORE": "where checkpoints lie, in place of the cache folder",
    "HUMANEVAL_OVERRIDE_PATH": "a HumanEvalPlus.jsonl.gz, where the data set can't be fetched",
    "STARWATT_TARGET": "gpu or cpu: what set-up installs for; with cpu engines leave boards alone",
    "CUDA_VISIBLE_DEVICES": "the GPUs that serve, and are metered",
}
EXIT_CODES = {
    "0": "done",
    "1": "failed; of run: cells failed too often and are missing; of doctor: something must be mended",
    "2": "the command line or a configuration file is wrong: the message names what, and what it takes instead",
    "3": "measured, but invalid: a cell, a figure, or the load generator itself was late",
    "4": "of compare --fail-above: worse by more than the bound",
    "130": "interrupted; what was measured is kept, and the same command resumes `run`",
}
SEE_ALSO = {
    "starwatt COMMAND --help": "a command's options and examples",
    "README.md": "what it does, and the commands to begin with",
    "docs/tutorial.md": "from nothing to a finished comparison",
    "docs/how-to.md": "one thing at a time",
    "docs/reference/": "every option, field, file and reason code",
    "docs/measurement.md": "what a joule is here",
}


def examples(command: str) -> str:
    """Write what stands under a command's options; the mark keeps its lines apart."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[command])


class Manual(TyperGroup):
    """Lay out help in the sections of a manual page, and say in our words what a flag does not take."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the flags before the command. Raises the library's error for those that are none."""
        with _told_to_scripts():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read a command's flags, and run it. Raises BadParameter with the words that a file's field would get."""
        with _told_to_scripts():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 -- its name there
        """Put every section in its place; the width is the terminal's."""
        _text(formatter, "NAME", NAME)
        _text(formatter, "SYNOPSIS", "starwatt COMMAND [OPTIONS] [ARGUMENTS]")
        _text(formatter, "DESCRIPTION", DESCRIPTION)
        with formatter.section("COMMANDS"):
            formatter.width -= _NESTED  # its lists do not take the outer section's indent off
            for job, names in JOBS.items():
                with formatter.section(job):
                    formatter.write_dl(
                        [(name, self.commands[name].get_short_help_str(300)) for name in names]
                    )
            formatter.width += _NESTED
        _listed(formatter, "OPTIONS", OPTIONS)
        for title, rows in (("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_CODES)):
            _listed(formatter, title, rows)
        with formatter.section("EXAMPLES"):
            formatter.write_text("\b\n" + "\n".join(SESSION))
        _listed(formatter, "SEE ALSO", SEE_ALSO)


@contextmanager
def _told_to_scripts() -> Iterator[None]:
    try:
        yield
    except _Refused as error:
        if isinstance(error, BadParameter) and isinstance(error.__cause__, ValidationError):
            error.message = words_of(error.__cause__)
        print_if_json(error.format_message(), error.exit_code)
        raise


def _text(formatter: Any, title: str, text: str) -> None:
    with formatter.section(title):
        formatter.write_text(text)


def _listed(formatter: Any, title: str, rows: dict[str, str]) -> None:
    with formatter.section(title):
        formatter.write_dl(list(rows.items()), col_max=32)
