"""People stand in folders of their own projects, whose packages are called as ours are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_house import ROOMS
from tests.support.busy import PATIENCE_S
from tests.support.server import Answer, TruthServer


def test_packages_in_the_folder_that_we_are_in_are_not_taken_for_ours(tmp_path: Path) -> None:
    for name in (*ROOMS, "vllm", "aiohttp", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of the user')\n")
    command = [sys.executable, "-P", "-c", "from study.cli.app import main; main()", "load"]
    with TruthServer(lambda _: Answer()) as server:
        flags = [
            "--url",
            server.url,
            "--model",
            "m",
            "--concurrency",
            "2",
            "--duration",
            "1",
            "--meter",
            "local",
        ]
        done = subprocess.run(
            [*command, *flags, "--workers", "2", "--out", "out"],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert "of the user" not in done.stderr
    assert done.returncode in (0, 3), done.stderr
    assert (tmp_path / "out" / "requests.parquet").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_no_python_of_ours_looks_for_modules_where_the_user_stands(room: str) -> None:
    """``-m`` and ``-c`` put that folder first, unless ``-P`` stands in that list or in its ``*python``."""
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple) and "*python" not in map(ast.unparse, node.elts):
                words = [word.value for word in node.elts if isinstance(word, ast.Constant)]
                assert not {"-m", "-c"} & set(words) or "-P" in words, f"{path}:{node.lineno}"
