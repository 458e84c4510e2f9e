"""The examples of the library and its notebook are run as a reader would, in a checkout that has measured the demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, all_blocks
from tests.docs.place import place
from tests.golden.world import LOADS, World
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture
from tests.support.busy import PATIENCE_S

PAGE, NOTEBOOK = "docs/library.md", ROOT / "docs" / "library.ipynb"
IGNORE = 'import warnings, starwatt; warnings.simplefilter("ignore", starwatt.Doubtful)\n'
"""A machine that stands still for a second makes a hole in a trace."""


def page() -> str:
    """All examples of the page, in its order."""
    return "\n".join(block.text for block in all_blocks() if (block.page, block.language) == (PAGE, "python"))


def cells(kind: str) -> list[str]:
    """The notebook's cells of a kind."""
    read: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in read["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("code", [page(), "\n".join(cells("code"))], ids=["the page", "the notebook"])
def test_what_is_shown_runs(code: str, tmp_path: Path, nvml_library: Path) -> None:  # noqa: F811
    with place(tmp_path / "place", nvml_library, tmp_path) as there:
        World(
            there.folder / "runs" / "demo", variants=("bf16", "int8-bnb"), loads=LOADS[:2], blocks=3
        ).build()
        done = subprocess.run(
            [sys.executable, "-c", IGNORE + code],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=there.folder, env=there.environment,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Valid or not: a block is as long as this machine takes for it.
    assert re.search(r"\d J .*gpu by nvml", done.stdout)


def test_python_is_shown_where_it_is_run() -> None:
    assert {block.page for block in all_blocks() if block.language == "python"} == {PAGE}


def test_the_notebook_is_one_that_jupyter_opens() -> None:
    read = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (read["nbformat"], read["nbformat_minor"]) == (4, 5)
    identities = [cell["id"] for cell in read["cells"]]
    assert len(set(identities)) == len(identities) > 10
    for cell in read["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert len(cells("markdown")) >= 5
