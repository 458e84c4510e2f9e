"""``starwatt build VARIANT...``: makes checkpoints, and prints where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starwatt_errors import UsageError
from study.cli.answers import print_answer
from study.measure.checkpoints import build_all


def build_variants(variants: tuple[str, ...], model: str, *, as_json: bool) -> None:
    """Build and print where each checkpoint lies."""
    with said_of("--model", "models"):
        checkpoints = build_all((model,), variants)
    built = [
        {"model": name, "variant": variant, "path": str(checkpoint.path), "digest": checkpoint.digest}
        for (name, variant), checkpoint in checkpoints.items()
    ]
    print_answer(built, (f"{each['variant']}\t{each['path']}" for each in built), as_json=as_json)


@contextmanager
def said_of(flag: str, field: str) -> Iterator[None]:
    """Say of a flag what a UsageError says of the field of studies that it stands for."""
    try:
        yield
    except UsageError as error:
        if not str(error).startswith(f"{field}: "):
            raise
        raise UsageError(f"{flag}: {str(error).removeprefix(f'{field}: ')}") from error
