"""Say of runs that have nothing in common what each has, and by what they are matched."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.compare.runs import Comparison
from analysis.keys import Condition
from starwatt_errors import first_few

_MOST_NAMED = 4
MATCHED_BY = "conditions are matched by model, variant and load"
_TO_MATCH = (
    "; two servers' models are called the same by `starwatt load --model NAME --served-model-name ITS_OWN`, and by "
    "`starwatt import --model NAME`"
)


def nothing_in_common(comparison: Comparison) -> list[str]:
    """Return a sentence for each run that has no condition of the first: none where every run has some."""
    first, reference = comparison.names[0], comparison.results[0]
    said = []
    for name, results in zip(comparison.names[1:], comparison.results[1:], strict=True):
        theirs, mine = ([point.condition for point in each.points] for each in (reference, results))
        if set(theirs) & set(mine):
            continue
        apart = not {side.model for side in theirs} & {side.model for side in mine}
        said.append(
            f"{name} and {first} have nothing in common: {first} has {_listed(theirs)}; {name} has {_listed(mine)}; "
            f"{MATCHED_BY}{_TO_MATCH if apart else ''}"
        )
    return said


def _listed(conditions: Sequence[Condition]) -> str:
    return first_few([" · ".join(side) for side in conditions], _MOST_NAMED) or "none that is measured"
