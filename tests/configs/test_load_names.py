"""Loads by their usual names."""

from __future__ import annotations

import pytest

from configs.loads import load_called


@pytest.mark.parametrize(
    "name", ["single-stream", "closed-8", "open-4-poisson", "open-0.5-constant", "open-4-poisson-most-16"]
)
def test_a_usual_name_is_read_back_as_the_load_that_has_it(name: str) -> None:
    load = load_called(name)
    assert load is not None
    assert load.slug == name


@pytest.mark.parametrize(
    "name", ["closed4", "closed-0", "open-fast", "open-1e-e-poisson", "mine", "closed-8@250w"]
)
def test_another_name_is_no_load(name: str) -> None:
    assert load_called(name) is None
