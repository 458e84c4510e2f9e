"""One stage of the GPU figures: runs its study as far as the time allows, and packs what there is.

    python -m benchmarks.gpu sensors --out DIR
    python -m benchmarks.gpu first --out DIR --minutes 9          # the same command again goes on

Every call leaves ``DIR/<stage>.tar.xz`` with the whole run (traces, tables, manifest, report) and prints a short table
last. Clocks, power limit, persistence and MIG are read, never set.
"""

from __future__ import annotations

import argparse
import subprocess
import tarfile
import time
from pathlib import Path

from analysis.opened import OpenedRun
from analysis.results.points import read_results
from analysis.results.sentences import significant
from benchmarks.gpu import cost
from benchmarks.gpu.command import STARWATT, within
from benchmarks.gpu.studies import STAGES, study_of, write_lengths
from configs.loader import dump_study
from traces.layout import RunDir, model_slug

MOST_BYTES = 16 << 20
_IN_FLIGHT, _ROUNDS = 64, 8
_METRICS = ("j_per_request", "j_per_output_token", "output_token_rate", "power_mean_w")


def main() -> int:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=("sensors", *STAGES, "cost"))
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of runs and archives; kept between calls"
    )
    parser.add_argument("--model", default="starcoder2-3b", help="of configs/architectures, or real weights")
    parser.add_argument("--minutes", type=float, default=9.0, help="stop (and pack) after so long")
    parser.add_argument("--dataset", default="humaneval+")
    parser.add_argument("--tasks", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a window, at least")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument(
        "--engine", action="append", default=[], metavar="VARIANT=URL", help="one that stays loaded here"
    )
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    until_s = time.monotonic() + 60 * flags.minutes
    if flags.stage == "sensors":
        return sensors(flags.out, until_s)
    if flags.stage == "cost":
        return cost_of_measuring(flags.out, flags.model, flags.dataset, until_s)
    lengths = write_lengths(flags.out / "lengths.csv", flags.dataset, [model_slug(flags.model)])
    study = study_of(
        flags.stage,
        flags.model,
        lengths.resolve(),
        dataset=flags.dataset,
        tasks=flags.tasks,
        seconds=flags.seconds,
        blocks=flags.blocks,
        engines=dict(pair.split("=", 1) for pair in flags.engine),
    )
    study_file = flags.out / f"{flags.stage}.yaml"
    study_file.write_text(dump_study(study), encoding="utf-8")
    run = RunDir(flags.out / f"{flags.stage}-{model_slug(flags.model)}")
    code = within([*STARWATT, "run", str(study_file), "--out", str(run.root)], until_s)
    if not list(run.finished_cells()):
        print(f"no cell is finished yet (exit code {code}); see {run.root / 'engines'}")
        return 1
    for command in ("analyze", "report"):
        subprocess.run([*STARWATT, command, str(run.root)], check=False, stdout=subprocess.DEVNULL)
    archive = pack(run.root, flags.out / f"{run.root.name}.tar.xz")
    print(f"{archive} ({archive.stat().st_size >> 10} KiB)")
    print("\n".join(table(run)))
    return 0


def sensors(out: Path, until_s: float) -> int:
    """What the boards' sensors are like, under a switched load."""
    path = out / "sensors.json"
    with path.open("wb") as file:
        code = within([*STARWATT, "meter", "--calibrate", "--json"], until_s, stdout=file)
    print(path.read_text(encoding="utf-8"))
    return code


def cost_of_measuring(out: Path, model: str, dataset: str, until_s: float) -> int:
    """Throughput and latency at 0, 20 and 100 readings a second, 64 requests in flight."""
    with cost.served("bf16", model, out, max_num_seqs=_IN_FLIGHT) as (url, pid):
        asked = cost.Asked(url, model_slug(model), dataset, _IN_FLIGHT, requests=8 * _IN_FLIGHT)
        rows = cost.measure(asked, pid, out / "cost.jsonl", _ROUNDS, until_s)
    print("\n".join(cost.table(rows)))
    return 0


_LEFT_OUT: tuple[tuple[str, ...], ...] = (
    (),
    ("engine.log", "engines"),
    ("engine.log", "engines", "requests.parquet"),
)


def pack(folder: Path, archive: Path) -> Path:
    """The run as one archive; where it were above 16 MiB, completions and logs stay behind."""
    for left_out in _LEFT_OUT:

        def kept(one: tarfile.TarInfo, left_out: tuple[str, ...] = left_out) -> tarfile.TarInfo | None:
            return None if Path(one.name).name in left_out else one

        with tarfile.open(archive, "w:xz") as tar:
            tar.add(folder, arcname=folder.name, filter=kept)
        if archive.stat().st_size <= MOST_BYTES:
            break
    return archive


def table(run: RunDir) -> list[str]:
    """A line a variant and load."""
    results = read_results(OpenedRun(run))
    lines = [
        f"{'variant':22} {'load':14} blocks {'J/request':>10} {'J/token':>9} {'tokens/s':>9} {'W':>7}  reasons"
    ]
    for point in results.points:
        figures = [significant(point.mean(metric)) for metric in _METRICS]
        lines.append(
            f"{point.variant:22} {point.load:14} {point.blocks:6d} {figures[0]:>10} {figures[1]:>9} {figures[2]:>9} "
            f"{figures[3]:>7}  {' '.join(point.why(_METRICS))}"
        )
    return lines
