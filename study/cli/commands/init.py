"""``starwatt init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

_Variants = Annotated[str | None, Option(help="The baseline first, a comma between: bf16,nf4-bnb.")]
_Concurrency = Annotated[
    str | None, Option(help="Requests in flight, beside one at a time; a comma between: 8,32.")
]
_Dataset = Annotated[
    str | None, Option(help="The prompts: humaneval+, mbpp+, starwatt-24, or a .jsonl file.")
]


def init(
    file: Annotated[Path, Argument(metavar="[FILE]", help="The file to write.")] = Path("study.yaml"),
    name: Annotated[
        str | None, Option(help="The study's, unless said its file's; its run is runs/NAME.")
    ] = None,
    model: Annotated[str | None, Option(help="Hub id, ./folder, or a name in configs/architectures.")] = None,
    variants: _Variants = None,
    concurrency: _Concurrency = None,
    dataset: _Dataset = None,
    blocks: Annotated[int | None, Option(min=1, max=1000, help="From three on: intervals.")] = None,
) -> None:
    """Write a study's file with comments; asks for what no flag says, where a terminal can answer."""
    from study.cli.init import Wanted
    from study.cli.init import init as write_study

    write_study(file, Wanted(name, model, variants, concurrency, dataset, blocks))
