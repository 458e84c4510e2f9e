"""What holds for all tests."""

from __future__ import annotations

import pytest


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name bytes by their length: packed ones differ between the processes that collect the same tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
