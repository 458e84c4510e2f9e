"""Untrusted completions become verdicts: run under bubblewrap, compared outside by evalplus' rules.

``docs/sandbox.md`` says what is protected, by which means, and what is not.
"""

from analysis.accuracy.grader import GRADER_VERSION
from analysis.grading.grader import grade
from analysis.grading.isolation.sandbox import Limits
from analysis.grading.proof import sandbox_status
from analysis.grading.samples import grade_samples
from analysis.grading.types import Candidate, Grade, SandboxStatus

__all__ = [
    "GRADER_VERSION",
    "Candidate",
    "Grade",
    "Limits",
    "SandboxStatus",
    "grade",
    "grade_samples",
    "sandbox_status",
]
