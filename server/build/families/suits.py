"""Ask, before anything is built, what can be made of a model whose family nobody tried here.

``python -m server.build.families.suits FOLDER`` reads the configuration there, makes the model of it without weights,
and prints as JSON what stands against each way of building. A process of its own: torch and the quantisers take seconds
to load.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path

from configs.variant import W4A16, W8A8, Awq, BitsAndBytes, Compressed, NoQuantization, ReadyMade, Variant
from server.build.families.native import words_from
from starwatt_errors import BuildError, UsageError


def check_suits(model: str, folder: Path, variant: Variant) -> None:
    """Raise UsageError where ``variant`` cannot be made of the model whose ``config.json`` lies in ``folder``.

    Silent where that cannot be told, as without transformers: the build itself says so then.
    """
    needs = needs_of(variant)
    if not needs:
        return
    reasons = against(folder)
    for need in needs:
        if need in reasons:
            raise UsageError(f"{variant.name} of {model}: {reasons[need]}")


def needs_of(variant: Variant) -> list[str]:
    """Return what a variant takes of its model, in the order of building."""
    quantization = variant.quantization
    needs = ["layers"] if variant.prune is not None else []
    if isinstance(quantization, BitsAndBytes):
        needs.append("bitsandbytes")
    elif not isinstance(quantization, NoQuantization | ReadyMade):
        needs.append("compressed")
    if isinstance(quantization, Awq):
        needs.append("awq")
    if isinstance(quantization, W8A8):
        needs.append("smoothquant")
    return needs


@lru_cache(maxsize=16)
def against(folder: Path) -> Mapping[str, str]:
    """Return what stands against each need, by need; empty where it cannot be told."""
    return words_from("-m", "server.build.families.suits", str(folder))


def find_against(folder: Path) -> dict[str, str]:
    """Return what stands against each need; all of it where transformers has no such model."""
    from server.build.families.layer_settings import followed
    from server.build.families.layers import decoder_layers
    from server.build.families.loading import shapes_alone
    from server.build.families.reach import check_reached
    from server.build.families.smoothing import check_smoothed

    try:
        model = shapes_alone(folder)
    except BuildError as error:
        return dict.fromkeys(("layers", "bitsandbytes", "compressed"), str(error))

    def prunable() -> None:
        _, layers = decoder_layers(model)
        followed(model.config.get_text_config().to_dict(), len(layers), list(range(len(layers))))

    four_bits: Compressed = W4A16(kind="int4-w4a16")
    checks: dict[str, Callable[[], None]] = {
        "layers": prunable,
        "bitsandbytes": partial(check_reached, model, BitsAndBytes(kind="bitsandbytes", bits=4)),
        "compressed": partial(check_reached, model, four_bits),
        "awq": partial(check_smoothed, model.config, "awq"),
        "smoothquant": partial(check_smoothed, model.config, "smoothquant"),
    }
    return {need: reason for need, check in checks.items() if (reason := _refused(check)) is not None}


def _refused(check: Callable[[], None]) -> str | None:
    try:
        check()
    except BuildError as error:
        return str(error)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return None  # one layer of it does not compute alone: the build finds out
    return None


if __name__ == "__main__":
    print(json.dumps(find_against(Path(sys.argv[1]))))  # noqa: T201 -- read by ``against``
