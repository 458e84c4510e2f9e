"""Bound what a meter's own gain leaves open in a ratio of joules: apart from the blocks' interval, as a row of its own.

True watts are factor x shown + offset. On one meter the factor cancels in a ratio. The offset does not: it is a larger
share of the side that draws less. Where the two sides were never on one node, nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from analysis.cells.rows import Row, figure
from analysis.contrasts.paired_blocks import CellFigures, paired_blocks
from analysis.contrasts.statistics import RatioEstimate
from analysis.keys import Condition, MeterKey

Factors = tuple[float, float]


def gain_of_ratio(figures: CellFigures, top: Condition, bottom: Condition, meter: MeterKey) -> Factors | None:
    """Bound (least, most) by which factor true J/request of ``top`` over ``bottom`` may differ from the shown ratio.

    None where nothing is known of the meter's gain.
    """
    used, why = paired_blocks(figures, top, bottom, meter, "j_per_request")

    def known(side: Condition, metric: str) -> list[float]:
        """Return mean watts, or half-widths, in these blocks."""
        shown = [figures.get(side, block, meter, metric) for block in used]
        values = [cell.value if metric == "power_mean_w" else cell.hi for cell in shown]
        return [value for value in values if value is not None]

    if not used or meter.modelled:
        return None
    if "node_confounded" in why:
        halves = [max((hi - 1 for hi in known(side, "energy_gain")), default=None) for side in (top, bottom)]
        if halves[0] is None or halves[1] is None:
            return None
        half = math.hypot(halves[0], halves[1])
        return 1 - half, 1 + half
    powers_w = [known(side, "power_mean_w") for side in (top, bottom)]
    offsets_w = [*known(top, "energy_gain_offset_w"), *known(bottom, "energy_gain_offset_w")]
    if not all(powers_w) or not offsets_w:
        return None
    top_w, bottom_w = (sum(watts) / len(watts) for watts in powers_w)
    # Nothing draws less than a tenth of what it shows.
    off_w = min(max(offsets_w), 0.9 * min(top_w, bottom_w))
    ends = sorted((1 + sign * off_w / top_w) / (1 + sign * off_w / bottom_w) for sign in (-1, 1))
    return ends[0], ends[1]


def gain_rows(key: Row, metric: str, estimate: RatioEstimate, factors: Factors | None) -> Iterable[Row]:
    """Return ``<metric>_gain``: the ratio and, as an interval of the kind ``gain``, what the meter leaves open."""
    if factors is None or estimate.ratio is None:
        return []
    bounds = estimate.ratio * factors[0], estimate.ratio * factors[1]
    row = figure(f"{metric}_gain", estimate.ratio, bounds=bounds, kind="gain")
    return [{**key, "blocks": estimate.blocks, **row}]
