"""Build the checkpoints of a study's models and variants before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping

from configs.loader import NONE, Defined, named_variant
from configs.variant import Variant
from server.build.checkpoints import build_variant
from server.build.foresight import check_files_of, check_variant, known_model, source_of
from server.build.store import Checkpoint, Store, store_root
from starwatt_errors import StarwattError
from study.plan.preparation import size_words
from study.progress.display import Display, tell

_LARGE_BYTES = 2e9
Checkpoints = dict[tuple[str, str], Checkpoint]


def build_all(models: tuple[str, ...], variants: tuple[str, ...], defined: Defined = NONE) -> Checkpoints:
    """Build and return the checkpoint of every model and variant; nothing is done for those in the store."""
    store = Store(store_root())
    wanted = {(model, name): named_variant(name, defined) for model in models for name in variants}
    _refuse_what_cannot_be_made(wanted)
    warn_of_downloads(wanted)
    checkpoints: Checkpoints = {}
    with Display("checkpoint", len(wanted)) as display:
        for (model, name), variant in wanted.items():
            display.title(f"{model} · {name}")
            checkpoints[model, name] = build_variant(model, variant, store, display.log)
            display.advance()
    return checkpoints


def _refuse_what_cannot_be_made(wanted: Mapping[tuple[str, str], Variant]) -> None:
    """See, before the first is built, that none of the variants is one that its model cannot have.

    Raises:
        UsageError: one is, or a model is none that is measured.
        BuildError: a model is a checkpoint of a store, and damaged.
    """
    for (model, _), variant in wanted.items():
        known = known_model(source_of(model, variant), trust_remote_code=variant.trust_remote_code)
        check_files_of(known)
        check_variant(known, variant)


def warn_of_downloads(wanted: Mapping[tuple[str, str], Variant]) -> None:
    """Tell of each model that is about to be fetched from the hub, where it is large or nobody knows how large."""
    for source in sorted({source_of(model, variant) for (model, _), variant in wanted.items()}):
        try:
            size = known_model(source).fetch_bytes
        except StarwattError:  # who fetches it says why not
            continue
        if size is None or size >= _LARGE_BYTES:
            words = "of a size that is not known" if size is None else size_words(size)
            tell(
                f"about to download {source} from the hub, {words}; Ctrl-C stops it, and it can be resumed later"
            )
