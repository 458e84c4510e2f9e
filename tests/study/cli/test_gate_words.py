"""What a gate prints of each condition that did not pass."""

from __future__ import annotations

import pytest

from analysis.compare.gate import Gate, Outcome, Verdict
from analysis.keys import Condition
from study.cli.gate import tell_gate


@pytest.mark.parametrize(
    ("worse_by", "lo", "hi", "words"),
    [
        (0.08, 0.06, 0.10, "worse by 8.0 % (+6.0 to +10.0)"),
        (-0.314, -0.40, 0.10, "better by 31.4 % (-10.0 to +40.0)"),
        (-0.314, None, None, "better by 31.4 %, no interval [too_few_blocks]"),
        (None, None, None, "how it changed is not known [too_few_blocks]"),
    ],
)
def test_a_condition_is_worse_or_better_and_never_worse_by_less_than_nothing(
    worse_by: float | None, lo: float | None, hi: float | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    condition = Condition("m", "bf16", "closed-8")
    verdict = Verdict("after", condition, worse_by, lo, hi, Outcome.UNKNOWN, ("too_few_blocks",))
    tell_gate(Gate("j_per_request", 0.05, False, (verdict,)))
    assert f"after: m bf16 closed-8: {words}\n" in capsys.readouterr().err
