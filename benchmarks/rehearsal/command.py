"""Rehearse the GPU environment without a GPU: every variant through vLLM as far as the board, beside what we say of it.

    make rehearse-gpu            # python -m benchmarks.rehearsal --environment .gpu

Makes an environment of requirements/gpu.txt (10 GB) and a driver whose boards are only said to be there, builds the
tiny model's checkpoints, pushes each variant of each model through vLLM at each compute capability, and compares with
``server/engines/hardware.py``. Writes the table in docs/variants.md. Needs Python, cc and nm; no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.rehearsal import driver, folders
from benchmarks.rehearsal.verdicts import (
    REHEARSED,
    Asked,
    Seen,
    differing,
    kernels_table,
    served_table,
    shared_table,
    write_between,
)

ROOT = Path(__file__).parents[2]
_INSTALL_S, _PUSH_S = 3600, 3600


def main() -> int:
    """Rehearse, and end with 1 where vLLM and hardware.py differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=ROOT / ".gpu",
        help="made of requirements/gpu.txt; kept between calls",
    )
    parser.add_argument("--python", default=sys.executable, help="that makes the environment")
    parser.add_argument("--capability", nargs="+", default=list(REHEARSED), metavar="N.N")
    parser.add_argument("--boards", nargs="+", type=int, default=[1, 2, 4], metavar="N")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "rehearsal", help="what was seen, as JSON lines"
    )
    flags = parser.parse_args()
    python = installed(flags.environment.resolve(), flags.python)
    library = driver.build(flags.out.resolve() / "driver", _site_packages(python))
    checkpoints = folders.built(folders.rehearsed_variants())
    wanted = folders.asked(checkpoints, flags.boards, flags.out.resolve() / "shapes")
    seen: list[Seen] = []
    for capability in flags.capability:
        own = push(python, library, capability, wanted)
        lines = [json.dumps(asdict(one)) + "\n" for one in own]
        (flags.out / f"seen-{capability}.jsonl").write_text("".join(lines), encoding="utf-8")
        print(f"{capability}: {len(own)} pushed", flush=True)
        seen += own
    write_between(ROOT / "docs" / "variants.md", served_table())
    differ = differing(seen)
    print("\n".join([*kernels_table(seen), "", *shared_table(seen), "", *differ]))
    print(f"{len(seen)} pushed; vLLM and hardware.py differ in {len(differ)}")
    return 1 if differ else 0


def installed(environment: Path, python: str) -> Path:
    """The Python of an environment that holds requirements/gpu.txt; pip installs only what is missing.

    Raises:
        subprocess.CalledProcessError: it could not be made.
    """
    own = environment / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", str(environment)], check=True, timeout=_INSTALL_S)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "-q"]
    subprocess.run(
        [str(own), *install, "-r", str(ROOT / "requirements" / "gpu.txt")], check=True, timeout=_INSTALL_S
    )
    return own


def push(python: Path, library: Path, capability: str, wanted: Sequence[Asked]) -> list[Seen]:
    """What vLLM does with each at one compute capability.

    Raises:
        subprocess.CalledProcessError: the process died; what it said is on stderr.
    """
    said = subprocess.run(
        [str(python), "-m", "benchmarks.rehearsal.inside"],
        input=json.dumps([asdict(one) for one in wanted]), env=_environment(driver.environment(library, capability)),
        check=True, stdout=subprocess.PIPE, text=True, timeout=_PUSH_S,
    ).stdout  # fmt: skip
    return [Seen(**json.loads(line)) for line in said.splitlines() if line.startswith('{"model"')]


def _environment(boards: Mapping[str, str]) -> dict[str, str]:
    """This process's, with the checkout and these boards; those that are really here are not looked at."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {**os.environ, "PYTHONPATH": path, "VLLM_LOGGING_LEVEL": "ERROR", **boards}
    for name in ("STARWATT_TARGET", "CUDA_VISIBLE_DEVICES"):
        own.pop(name, None)
    return own


def _site_packages(python: Path) -> Path:
    """Where that Python's environment has its packages."""
    return next((python.parents[1] / "lib").glob("python*/site-packages"))
