"""Every reason code, finding, verdict and exit code of the product is on the page that says what to do about it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import analysis.verify
from analysis.compare import runs, with_paper
from analysis.grading.types import Verdict
from analysis.validity.reasons import EXPLANATIONS
from study import exit_codes
from study.cli.help import EXIT_CODES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, list[str]]:
    """What the tables below a title say, by code; a row may name several."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(f"{title}\n")]
    told: dict[str, list[str]] = {}
    for line in text.splitlines():
        first, *others = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            for code in re.findall(r"`([^`]+)`", first):
                assert code not in told, f"{code} is there twice"
                told[code] = others
    return told


def verdicts() -> set[str]:
    """Those that the class itself documents."""
    text = re.split(r"``reason`` is |; ``detail``", Verdict.__doc__ or "")[1]
    return set(re.findall(r"``(\w+)``", text))


def findings() -> set[str]:
    """Kinds that ``verify`` gives a finding: the first arguments of its calls, and of the names that it hands on."""
    [folder] = analysis.verify.__path__
    kinds: set[str] = set()
    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                kinds |= {str(first.value) for first in node.args[:1] if isinstance(first, ast.Constant)}
    return kinds


def test_every_reason_code_says_what_it_means_and_what_to_do() -> None:
    told = rows("Reason codes")
    assert told.keys() == EXPLANATIONS.keys() | runs.REASONS.keys() | with_paper.REASONS.keys()
    assert all(len(cells) == 2 and all(cells) for cells in told.values())


def test_every_exit_code_says_what_it_means_and_what_to_do() -> None:
    told = rows("Exit codes")
    named = {exit_codes.FAILED, exit_codes.INVALID, exit_codes.WORSE, exit_codes.INTERRUPTED}
    assert told.keys() == EXIT_CODES.keys() == {"0", "2"} | {str(code) for code in named}
    assert all(len(cells) == 2 and all(cells) for cells in told.values())


def test_every_kind_of_finding_is_there() -> None:
    assert len(findings()) > 6
    assert rows("What verify finds").keys() >= findings() | {"invalid_cell"}


def test_every_verdict_is_there() -> None:
    assert len(verdicts()) > 6
    assert rows("Verdicts of a program").keys() == verdicts()
