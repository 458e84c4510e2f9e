"""The engines of a study, with the settings that its variants have of their own."""

from __future__ import annotations

from configs.engine.arguments import with_arguments
from configs.loader import load_variant
from configs.schema import EngineSettings, Study


def settings_of(study: Study, variant: str) -> EngineSettings:
    """Return the engine's settings as a variant is served; those of the study for an engine elsewhere."""
    if variant in study.remote:
        return study.engine
    return with_arguments(study.engine, load_variant(variant, study.defined).engine_args)


def largest_engine(study: Study) -> EngineSettings:
    """Return the settings of the variant that takes the most boards."""
    return max((settings_of(study, name) for name in study.variants), key=lambda settings: settings.boards)
