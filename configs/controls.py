"""Add control variants: what is asked about must not be confused with what else differs.

LLM.int8 is served without CUDA graphs. Compared with a baseline that has them, its figure would hold both costs.
Compared with the baseline's own format without graphs (its control), it holds the format's alone.
``int4-awq+ngram`` beside a baseline ``bf16`` differs in weights and in a setting of the engine. Its control is
``int4-awq``: the same weights, served as the baseline is, so that their contrast holds the setting's cost alone.
"""

from __future__ import annotations

from configs.engine.arguments import other_arguments, with_arguments
from configs.loader import load_variant, variant_names
from configs.schema import EngineSettings, Study
from configs.variant import Variant
from starwatt_errors import UsageError

_Way = tuple[str, bool]
_SUFFIX: dict[_Way, str] = {("vllm", True): "-eager", ("vllm", False): "", ("transformers", False): "-hf"}


def with_controls(study: Study) -> Study:
    """Return the study with the controls that its contrasts need among its variants, and named in ``controls``.

    Raises:
        UsageError: a variant needs a control that cannot be served.
    """
    if study.baseline in study.remote:  # how it is served is not ours to say
        return study
    variants = list(study.variants)
    controls = dict(study.controls)
    baseline = load_variant(study.baseline, study.defined)
    for name in variants:  # which grow: a control may need one itself
        if name in study.remote:
            continue
        if name not in controls:
            control = _control_of(load_variant(name, study.defined), baseline, study)
            if control is not None:
                controls[name] = control
        if name in controls and controls[name] not in variants:
            variants.append(controls[name])
    return study.model_copy(update={"variants": tuple(variants), "controls": controls})


def _control_of(variant: Variant, baseline: Variant, study: Study) -> str | None:
    """Return the name of what ``variant`` is to be compared with; None where that is the baseline, or nothing.

    Where settings of the engine differ, and more than they, it is the variant's weights with the baseline's settings.
    Else, where weights and the way of serving differ, it is the baseline's weights served as ``variant`` is.

    Raises:
        UsageError: there is no such variant, or it cannot be served so.
    """
    settings = study.engine
    way = _way(variant, settings)
    other_way, other_weights = way != _way(baseline, settings), _weights(variant) != _weights(baseline)
    other_settings = variant.engine == "vllm" and _served(variant, settings) != _served(baseline, settings)
    if other_settings and (other_way or other_weights):
        return _same_weights(variant, baseline, study)
    if other_way and other_weights:
        return _served_likewise(variant, baseline, study)
    return None


def _same_weights(variant: Variant, baseline: Variant, study: Study) -> str:
    """Find the variant's own weights, with the engine's settings that the baseline has."""
    settings, (base, _, _) = study.engine, variant.name.partition("+")
    for name in dict.fromkeys((base + _settings_of(baseline), *study.own_variants, *variant_names())):
        try:
            control = load_variant(name, study.defined)
        except UsageError:  # a file of one's own has another name than its settings would give it
            continue
        if (_weights(control), _way(control, settings)) == (_weights(variant), _way(variant, settings)) and (
            _served(control, settings) == _served(baseline, settings)
        ):
            return name
    raise UsageError(
        f"variants: {variant.name} has other engine_args and other weights than the baseline {baseline.name}: their "
        f"contrast would hold both. Add a variant with the weights of {variant.name} and the baseline's engine_args"
    )


def _served_likewise(variant: Variant, baseline: Variant, study: Study) -> str:
    """Find the baseline's weights, served in the variant's way."""
    base, _, _ = baseline.name.partition("+")
    way = _way(variant, study.engine)
    tail = _settings_of(baseline) if variant.engine == "vllm" else ""
    name = base.removesuffix("-eager").removesuffix("-hf") + _SUFFIX[way] + tail
    try:
        control = load_variant(name, study.defined)
    except UsageError as error:
        raise UsageError(
            f"variants: {variant.name} needs {name} as its control: {error}; take another baseline"
        ) from error
    if _weights(control) != _weights(baseline) or _way(control, study.engine) != way:
        raise UsageError(
            f"variants: {variant.name} is served otherwise than the baseline {baseline.name}, which cannot be "
            "served like it: their contrast would hold both. Take another baseline"
        )
    return name


def _settings_of(variant: Variant) -> str:
    """Return what its name has of settings, ``+`` included."""
    _, plus, settings = variant.name.partition("+")
    return plus + settings


def _way(variant: Variant, settings: EngineSettings) -> _Way:
    eager = variant.engine == "vllm" and (settings.enforce_eager or variant.enforce_eager)
    return (variant.engine, eager)


def _served(variant: Variant, settings: EngineSettings) -> tuple[object, object]:
    args = variant.engine_args
    return (with_arguments(settings, args), other_arguments(args))


def _weights(variant: Variant) -> tuple[object, object]:
    return (variant.quantization, variant.prune)
