"""``starwatt build``."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from configs.derived import FORMS
from configs.loader import variant_names
from starwatt_errors import UsageError
from study.cli.options import DEFAULT_MODEL, JsonFlag, Model, Quiet, refuse


def build(
    context: typer.Context,
    variants: Annotated[
        list[str] | None,
        Argument(help=f"Of: {', '.join(variant_names())}; {FORMS}; or a file, ./mine.yaml."),
    ] = None,
    model: Model = DEFAULT_MODEL,
    listing: Annotated[bool, Option("--list", help="Say what the store holds, and check it.")] = False,
    prune: Annotated[
        bool,
        Option(
            "--prune",
            help="Remove what no build finds any more: damaged, out of date, left over from a kill.",
        ),
    ] = False,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Make the checkpoints of variants (nothing to do where the store has them), or look after the store."""
    from study.cli.build import build_variants
    from study.cli.store import list_store, prune_store

    if [bool(variants), listing, prune].count(True) != 1:
        raise UsageError("build takes one of VARIANT..., --list, --prune")
    if not variants:
        refuse(context, ("model",), "goes with VARIANT...: --list and --prune are of the whole store")
    if variants:
        build_variants(tuple(variants), model, as_json=as_json)
    elif listing:
        list_store(as_json=as_json)
    else:
        prune_store(as_json=as_json)
