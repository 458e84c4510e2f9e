"""The build process: ``python -m server.builder JOB.json OUT`` makes one checkpoint and exits.

A process of its own, so that torch's memory, threads and the work-arounds of quantisers end with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

from configs.schema import Architecture, Awq, BitsAndBytes, Prune, StrictModel
from starwatt_errors import StarwattError


class MemoriseJob(StrictModel):
    """Fit an architecture to its dataset."""

    architecture: Architecture


class PruneJob(StrictModel):
    """Cut layers off ``source``."""

    source: Path
    prune: Prune


class QuantizeJob(StrictModel):
    """Quantise ``source``."""

    source: Path
    quantize: BitsAndBytes | Awq


Job = MemoriseJob | PruneJob | QuantizeJob
JOBS: TypeAdapter[Job] = TypeAdapter(Job)


def run_job(job: Job, out: Path) -> None:
    """Make the checkpoint of ``job`` in the folder ``out``. Imports torch only now: it takes seconds."""
    match job:
        case MemoriseJob():
            from server.memorise import build_memorised

            build_memorised(job.architecture, out)
        case PruneJob():
            from server.prune import prune_layers

            prune_layers(job.source, out, job.prune)
        case QuantizeJob():
            from server.quantize import quantize_awq, quantize_bitsandbytes

            if isinstance(job.quantize, Awq):
                quantize_awq(job.source, out, job.quantize)
            else:
                quantize_bitsandbytes(job.source, out, job.quantize)


def main() -> int:
    """The command of the build process."""
    job_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        run_job(JOBS.validate_json(job_file.read_bytes()), out)
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- read by server/checkpoints.py
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
