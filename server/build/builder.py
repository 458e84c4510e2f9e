"""The build process: ``python -m server.build.builder JOB.json OUT`` makes one checkpoint and exits.

A process of its own, so that torch's memory, threads and the work-arounds of quantisers end with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

from configs.architecture import Architecture, Memorised
from configs.files.strict import StrictModel
from configs.variant import BitsAndBytes, Compressed, Prune
from starwatt_errors import StarwattError


class MakeJob(StrictModel):
    """Make the weights of an architecture."""

    architecture: Architecture


class PruneJob(StrictModel):
    """Cut layers off ``source``."""

    source: Path
    prune: Prune


class QuantizeJob(StrictModel):
    """Quantise ``source``."""

    source: Path
    quantize: BitsAndBytes | Compressed
    random_weights: bool = False


Job = MakeJob | PruneJob | QuantizeJob
JOBS: TypeAdapter[Job] = TypeAdapter(Job)


def run_job(job: Job, out: Path) -> None:
    """Make the checkpoint of ``job`` in the folder ``out``. Imports torch only now: it takes seconds."""
    match job:
        case MakeJob():
            _make(job.architecture, out)
        case PruneJob():
            from server.build.prune import prune_layers

            prune_layers(job.source, out, job.prune)
        case QuantizeJob():
            _quantize(job, out)


def _make(architecture: Architecture, out: Path) -> None:
    if isinstance(architecture.weights, Memorised):
        from server.build.memorise import build_memorised

        build_memorised(architecture, architecture.weights, out)
        return
    from server.build.random_weights import build_random
    from server.build.zero_codes import check_zero_codes

    build_random(architecture, architecture.weights, out)
    check_zero_codes(out, None)


def _quantize(job: QuantizeJob, out: Path) -> None:
    if isinstance(job.quantize, BitsAndBytes):
        from server.build.quantize import quantize_bitsandbytes

        quantize_bitsandbytes(job.source, out, job.quantize)
    else:
        from server.build.compress import quantize_compressed

        quantize_compressed(job.source, out, job.quantize)
    if job.random_weights:
        from server.build.zero_codes import check_zero_codes

        check_zero_codes(out, job.quantize)


def main() -> int:
    """Run the command of the build process."""
    job_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        run_job(JOBS.validate_json(job_file.read_bytes()), out)
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- read by server/build/checkpoints.py
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
