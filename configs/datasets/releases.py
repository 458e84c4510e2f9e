"""Call a data set by its content: known releases by name, anything else as modified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from starwatt_errors import UsageError

MODIFIED = "modified"
_RELEASES = {
    "starwatt-24": {"dd183dba33986ee9aeebf2585149cf6f1b76d2c7ec8ad41e2949a48db0a9040c": "starwatt-24"},
    "humaneval+": {
        # evalplus/humanevalplus_release v0.1.10: HumanEvalPlus.jsonl.gz and HumanEvalPlus-Mini.jsonl.gz
        "0b92f01451cb2ae80589071e772eef0e411964995cbf0e249fd49c3d6f332eff": "humaneval+",
        "a117cda837a385a76e424b16784a2d6b6ca2ba262528f9615870eb9fded987cb": "humaneval+ (mini)",
    },
    # evalplus/mbppplus_release v0.2.0: MbppPlus.jsonl.gz
    "mbpp+": {"7373ec642856c286427fcd56c79f254c7ee4e98d49f1cbb18c046030e887d631": "mbpp+"},
}
"""Digests of contents (``Dataset.sha256``, not of files) with their names, by the name that a study takes."""


def name_of_content(asked: str, sha256: str) -> str:
    """Name the content that was found under the name ``asked``; ``humaneval+ (modified)`` is no release."""
    return _RELEASES[asked].get(sha256, f"{asked} ({MODIFIED})")


def asked_name(named: str) -> str:
    """Return the name under which a content is loaded that is called ``named``."""
    return named.partition(" (")[0]


def refuse_doubles(task_ids: Iterable[str]) -> None:
    """Raises ``UsageError`` where a task is there twice: a share of solved tasks would count it twice."""
    doubles = sorted(task for task, count in Counter(task_ids).items() if count > 1)
    if doubles:
        raise UsageError(f"holds {doubles[0]} twice ({len(doubles)} such tasks): each task takes one line")
