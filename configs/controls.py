"""Control variants: what a format costs must not be confused with what another way of serving costs.

LLM.int8 is served without CUDA graphs. Compared with a baseline that has them, its figure would hold both costs.
Compared with the baseline's own format without graphs (its control), it holds the format's alone.
"""

from __future__ import annotations

from configs.loader import NONE, Defined, load_variant
from configs.schema import Study
from configs.variant import Variant
from starwatt_errors import UsageError

_Mode = tuple[str, bool]
_SUFFIX: dict[_Mode, str] = {("vllm", True): "-eager", ("vllm", False): "", ("transformers", False): "-hf"}


def with_controls(study: Study) -> Study:
    """The study with the controls that its contrasts need among its variants, and named in ``controls``.

    Raises:
        UsageError: a variant needs a control that cannot be served.
    """
    if study.baseline in study.remote:  # how it is served is not ours to say
        return study
    variants = list(study.variants)
    controls = dict(study.controls)
    baseline = load_variant(study.baseline, study.defined)
    for name in study.own_variants:
        if name not in controls:
            control = control_of(
                load_variant(name, study.defined),
                baseline,
                study.defined,
                all_eager=study.engine.enforce_eager,
            )
            if control is not None:
                controls[name] = control
    variants += [name for name in dict.fromkeys(controls.values()) if name not in variants]
    return study.model_copy(update={"variants": tuple(variants), "controls": controls})


def control_of(
    variant: Variant, baseline: Variant, defined: Defined = NONE, *, all_eager: bool
) -> str | None:
    """The name of the baseline's weights served as ``variant`` is; None where the baseline itself is that.

    Also None for a variant with the baseline's own weights: it is a control.

    Raises:
        UsageError: the baseline's weights cannot be served so.
    """
    wanted = _mode(variant, all_eager)
    if _weights(variant) == _weights(baseline) or wanted == _mode(baseline, all_eager):
        return None
    name = baseline.name.removesuffix("-eager").removesuffix("-hf") + _SUFFIX[wanted]
    try:
        control = load_variant(name, defined)
    except UsageError as error:
        raise UsageError(
            f"variants: {variant.name} needs {name} as its control: {error}; take another baseline"
        ) from error
    if _weights(control) != _weights(baseline) or _mode(control, all_eager) != wanted:
        raise UsageError(
            f"variants: {variant.name} is served otherwise than the baseline {baseline.name}, which cannot be "
            "served like it: their contrast would hold both. Take another baseline"
        )
    return name


def _mode(variant: Variant, all_eager: bool) -> _Mode:
    return (variant.engine, variant.engine == "vllm" and (all_eager or variant.enforce_eager))


def _weights(variant: Variant) -> tuple[object, object]:
    return (variant.quantization, variant.prune)
