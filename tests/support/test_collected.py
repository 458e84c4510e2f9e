"""No test lies where nobody finds it."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from tests.docs.pages import ROOT

TESTS = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]


def test_no_folder_of_tests_has_a_name_that_pytest_passes_over(pytestconfig: pytest.Config) -> None:
    folders = {parent.name for test in TESTS for parent in test.parents if parent.name}
    passed_over = pytestconfig.getini("norecursedirs")
    assert "build" in folders, "a name that pytest passes over unless it is told otherwise"
    assert [name for name in folders if any(fnmatch(name, pattern) for pattern in passed_over)] == []


def test_what_one_half_of_make_test_leaves_out_is_what_the_other_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [run] = re.findall(r"pytest ((?:tests/\S+ )+)-m", makefile)
    assert set(run.split()) == set(re.findall(r"--ignore=(\S+)", makefile))
    assert all((ROOT / folder).is_dir() for folder in run.split())
