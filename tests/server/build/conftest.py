"""What holds for all tests that compute with torch."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Several threads on a busy machine wait for each other, and burn the CPU time that they wait for."""
    torch.set_num_threads(1)
