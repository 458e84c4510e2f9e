"""``python -m tests.support.forks``: runs ``starwatt`` commands as processes, each a fork that finds all imported.

A command imports for a CPU second or two, and hundreds are run. What a fresh interpreter imports is what the commands
of the documentation, of chaos and of the live tests prove, which start one each.

Takes a line of JSON a command (arguments, environment, cwd, out, err) and answers with its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

IMPORTED = (
    "study.cli.app", "study.cli.run", "study.cli.load", "study.cli.results", "study.cli.compare", "study.cli.grade",
    "study.cli.build", "study.cli.store", "study.doctor.environment", "study.run", "analysis.report.page",
    "analysis.report.load_page", "analysis.report.comparison", "analysis.verify.run", "pandas",
)  # fmt: skip


def main() -> None:
    """Fork for each command; in a fork, return as soon as it is to run, so that it ends as any process does."""
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked)
            importlib.import_module("study.cli.app").main()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 -- the protocol with command.py


def _become(asked: Mapping[str, Any]) -> None:
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY),
        (2, asked["err"], os.O_WRONLY),
    ):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]


if __name__ == "__main__":
    main()
