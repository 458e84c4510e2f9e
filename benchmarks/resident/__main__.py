"""``python -m benchmarks.resident [FOLDER]``: starts one by one and at once; a study in both ways, with its ratio."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.resident.starts import started
from benchmarks.resident.studies import MODEL, VARIANTS, agree, ran
from configs.schema import EngineSettings
from study.measure.checkpoints import build_all

_MOST = 0.5
_AT_ONCE = (1, 2, 5)


def main() -> int:
    """Print both; 1 where the study takes more than half of the time, or its contrasts do not agree."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="resident-"))
    checkpoints = build_all((MODEL,), VARIANTS)
    settings = EngineSettings(max_model_len=512, max_num_seqs=64, enforce_eager=True)
    print(f"{len(VARIANTS)} engines\n| at once | seconds | GiB each | CPU of one, idle |\n|---|---|---|---|")
    for at_once in _AT_ONCE:
        found = started(MODEL, checkpoints, settings, at_once, folder / "starts")
        print(
            f"| {at_once} | {found.seconds:.1f} | {found.each_gib:.2f} | {100 * found.idle_cpu_share:.2f} % |"
        )
    resident, each = ran("resident", folder), ran("each_block", folder)
    share = resident.seconds / each.seconds
    print(f"the study: {resident.seconds:.0f} s of {each.seconds:.0f} s: {share:.2f} (limit {_MOST:g})")
    both = resident.effects.keys() & each.effects.keys()
    apart = [side for side in sorted(both) if not agree(resident.effects[side], each.effects[side])]
    print(f"contrasts: {len(both)}, of which {len(apart)} differ by more than their intervals: {apart}")
    return int(share > _MOST or bool(apart) or not both)


if __name__ == "__main__":
    raise SystemExit(main())
