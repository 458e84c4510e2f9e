"""The page of real boards is what its script makes; intervals hold the external meter's joules, or rows are flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.energy.real_boards import Line, here, lines, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measurements" / "real-boards.md"
pytestmark = pytest.mark.skipif(not here(), reason="the external meter's recordings are not here")


@pytest.fixture(scope="module")
def found() -> list[Line]:
    return lines()


def test_the_page_is_what_its_script_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_corrected_joules_are_the_meters_within_their_intervals_or_are_flagged(found: list[Line]) -> None:
    for line in found:
        ours = line.corrected
        assert ours is not None
        assert ours.energy_j is not None
        assert ours.error_j is not None
        gain_j = np.hypot(
            (ours.gain.half_width or 0) * ours.energy_j, (ours.gain.offset_half_w or 0) * line.seconds
        )
        allowed_j = np.hypot(1.96 * ours.error_j, gain_j)
        assert abs(ours.energy_j - line.meter_j) <= allowed_j or ours.reasons, line.recording


def test_what_is_given_for_boards_of_unknown_gain_holds_all_of_these(found: list[Line]) -> None:
    for line in found:
        raw = line.raw
        assert raw.energy_j is not None
        gain_j = np.hypot(
            (raw.gain.half_width or 0) * raw.energy_j, (raw.gain.offset_half_w or 0) * line.seconds
        )
        assert abs(raw.energy_j - line.meter_j) <= gain_j, line.recording
