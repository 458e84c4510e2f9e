"""No test lies where nobody finds it."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from tests.conftest import IMPORTED
from tests.docs.pages import ROOT

WITH_TORCH = ("tests/live", "tests/server/build")
TESTS = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]


def test_no_folder_of_tests_has_a_name_that_pytest_passes_over(pytestconfig: pytest.Config) -> None:
    folders = {parent.name for test in TESTS for parent in test.parents if parent.name}
    passed_over = pytestconfig.getini("norecursedirs")
    assert "build" in folders, "a name that pytest passes over unless it is told otherwise"
    assert [name for name in folders if any(fnmatch(name, pattern) for pattern in passed_over)] == []


@pytest.fixture
def torch_is_for_others(request: pytest.FixtureRequest) -> None:
    """Skips where the tests that compute with it were collected too."""
    if any(
        item.path.is_relative_to(ROOT / folder) for item in request.session.items for folder in WITH_TORCH
    ):
        pytest.skip("tests that compute with torch were collected too")


@pytest.mark.usefixtures("torch_is_for_others")
def test_collecting_all_else_imports_nothing_that_takes_seconds_in_each_worker(
    pytestconfig: pytest.Config,
) -> None:
    assert pytestconfig.stash[IMPORTED] == []


def test_what_one_half_of_make_test_leaves_out_is_what_the_other_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [run] = re.findall(r"pytest ((?:tests/\S+ )+)-m", makefile)
    assert set(run.split()) == set(WITH_TORCH) == set(re.findall(r"--ignore=(\S+)", makefile))
    assert all((ROOT / folder).is_dir() for folder in run.split())
