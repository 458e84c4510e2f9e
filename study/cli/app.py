"""The command line: ``starwatt COMMAND``. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 invalid, 130 interrupted.

Each command's flags are a file in ``study/cli/commands/``, and what it does is the file of that name here.
"""

from __future__ import annotations

import contextlib
import gc
import sys

import typer
from pydantic import ValidationError

from configs.files.problems import words_of
from server.process.spawn import stop_children
from starwatt_errors import StarwattError, UsageError
from study import interrupts
from study.cli.answers import print_if_json
from study.cli.commands.board import board
from study.cli.commands.build import build
from study.cli.commands.compare import compare
from study.cli.commands.doctor import doctor
from study.cli.commands.everywhere import everywhere
from study.cli.commands.grade import grade
from study.cli.commands.import_run import import_run
from study.cli.commands.init import init
from study.cli.commands.load import load
from study.cli.commands.meter import meter
from study.cli.commands.results import analyze, report, verify
from study.cli.commands.run import run
from study.cli.commands.runs import runs
from study.cli.commands.serve import serve
from study.cli.help import Manual, examples
from study.exit_codes import FAILED, INTERRUPTED, interrupted_words
from study.progress.display import tell
from study.progress.streams import in_words, make_printable, open_what_was_closed, why_not_flushed

app = typer.Typer(
    cls=Manual,
    rich_markup_mode=None,  # it would draw boxes, and fold examples
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What it costs, in joules, to serve a code model under load, and what that buys in solved tasks.",
)
app.callback()(everywhere)
_COMMANDS = (
    doctor, board, build, serve, meter, load, import_run, run, grade, analyze, report, compare, verify, runs, init,
)  # fmt: skip
for _command in _COMMANDS:
    app.command(_command.__name__, epilog=examples(_command.__name__))(_command)
_CHILDREN_GRACE_S = 10.0
_YOUNG = 50_000
"""Objects that Python makes before it looks for cycles among them. What a command imports is a million, and stays: with
700 a sixth of the time that imports take went into looking through them."""


def main() -> None:
    """Run the command line; an error of ours, or of the system, is one message and its exit code."""
    gc.set_threshold(_YOUNG)
    open_what_was_closed()
    interrupts.install()
    make_printable()
    try:
        code = _exit_code()
    finally:
        stop_children(grace_s=_CHILDREN_GRACE_S)
    unwritten = why_not_flushed()
    if unwritten is not None:
        code = code or FAILED
        with contextlib.suppress(OSError):
            tell(f"starwatt: {unwritten}", style="red")
    sys.exit(code)


def _exit_code() -> int:
    try:
        _refuse_what_is_not_utf8(sys.argv[1:])
        app(prog_name="starwatt")
    except StarwattError as error:
        return _refused(error)
    except (
        ValidationError
    ) as error:  # a number of the command line that is none, or beyond what its field takes
        field = "-".join(map(str, error.errors()[0]["loc"])) or "the command line"
        return _refused(UsageError(f"{field}: {words_of(error)}"))
    except BrokenPipeError:  # nobody reads what it prints
        return FAILED
    except (OSError, RuntimeError) as error:
        # a RuntimeError is what Path.resolve makes of a loop of symbolic links
        of_system = error if isinstance(error, OSError) else error.__context__
        if not isinstance(of_system, OSError):
            raise
        return _refused(StarwattError(in_words(of_system)))
    except (SystemExit, ImportError) as end:
        return _ended(end)
    return 0


def _refuse_what_is_not_utf8(words: list[str]) -> None:
    """Refuse names that are not UTF-8: no JSON and no Parquet file holds them, and so no run."""
    for word in words:
        if not word.isascii() and word.encode(errors="replace") != word.encode(errors="surrogateescape"):
            raise UsageError(
                f"the command line takes UTF-8, which {word!a} is not: rename the file or folder"
            )


def _ended(end: SystemExit | ImportError) -> int:
    """Return the exit code: of a KeyboardInterrupt typer makes a SystemExit, and an import an ImportError."""
    if isinstance(end, ImportError) and not interrupts.struck():
        raise end
    code = INTERRUPTED if isinstance(end, ImportError) else end.code
    if code == INTERRUPTED:
        with contextlib.suppress(OSError):
            tell(f"starwatt: {interrupted_words(sys.argv[1] if len(sys.argv) > 1 else None)}")
    return code if isinstance(code, int) else FAILED


def _refused(error: StarwattError) -> int:
    print_if_json(str(error), error.exit_code)
    with contextlib.suppress(OSError):
        tell(f"starwatt: {error}", style="red")
    return error.exit_code
