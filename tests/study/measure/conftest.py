"""The machine with one board of ``tests/chaos``."""

from __future__ import annotations

from tests.chaos.conftest import world  # noqa: F401 -- a fixture
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture
