"""Read study, variant and architecture files; what is wrong becomes one message with file, line and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from configs.architecture import Architecture
from configs.datasets import is_own, load_dataset
from configs.derived import FORMS, combined_variant, derived_variant
from configs.engine.arguments import other_arguments, with_arguments
from configs.executor import SideBySide
from configs.files.documents import Document, read_document
from configs.files.plain_yaml import dump_yaml
from configs.files.problems import problems
from configs.loads import Load, Open
from configs.recordings import read_recording
from configs.restarts import Resident
from configs.schema import RecordedOutput, Study
from configs.variant import Setting, Variant
from starwatt_errors import UsageError, did_you_mean

HERE = Path(__file__).resolve().parent
VARIANTS = HERE / "variants"
SETTINGS = HERE / "settings"
ARCHITECTURES = HERE / "architectures"
STUDIES = HERE / "studies"

_Model = TypeVar("_Model", bound=BaseModel)
_MOST_SHOWN = 10  # wrong fields of a file
_WITH_SETTINGS = re.compile(r"(.+\.(?:yaml|yml|json))\+([^/]+)", re.DOTALL)
"""The path of a variant's file, with settings behind it."""

LENGTHS = "lengths.csv"
"""In a run: recorded lengths, as they were forced."""
ARRIVALS = "arrivals"
"""In a run: a folder of each load that replays a file, with that file as it was."""
PROMPTS = "prompts.jsonl"
"""In a run: prompts of one's own, as they were asked."""


def load_study(path: Path) -> Study:
    """Read a study file and check that its variants exist; what it names by a relative path lies beside it.

    Raises:
        UsageError: the file is missing, is no YAML, or a field is wrong.
    """
    document, study = _load(path, Study)
    study = _with_variants_found(document, study)
    _check_variants(document, study)
    study = study.model_copy(update={"models": tuple(_model(path, name) for name in study.models)})
    study = _with_traces_found(document, study)
    _check_random_models(document, study)
    return _with_prompts_found(document, _with_lengths_found(document, study))


def kept_study(path: Path) -> Study:
    """Read the study of a run as it was run: presets and files that it names need not exist here any more.

    Raises:
        UsageError: it cannot be read.
    """
    return _load(path, Study)[1]


def refused(path: Path, location: tuple[str | int, ...], message: str) -> UsageError:
    """Return the error that a field of a file that was read before is wrong, with file, line and field."""
    return read_document(path).refusal(location, message)


def _check_variants(document: Document, study: Study) -> None:
    """Raises UsageError where a variant is missing, cannot take a load, or has another's content."""
    seen: dict[str, str] = {}
    for index, name in enumerate(study.variants):
        if name in study.remote:  # whatever runs there
            continue
        with document.at("variants", index):
            variant = load_variant(name, study.defined)
            _check_variant(variant, study)
        other = seen.setdefault(_content(variant, study), name)
        if other != name:
            raise document.refusal(
                ("variants", index), f"{name} is {other} under another name: it would be measured twice"
            )


def _content(variant: Variant, study: Study) -> str:
    """Return what makes a variant another one: all but its name and its description."""
    eager = variant.engine == "vllm" and (variant.enforce_eager or study.engine.enforce_eager)
    said = variant.model_copy(
        update={"enforce_eager": eager, "engine_args": other_arguments(variant.engine_args)}
    )
    settings = with_arguments(study.engine, variant.engine_args)
    return (
        said.model_dump_json(exclude={"name", "description"}, exclude_none=True) + settings.model_dump_json()
    )


def _model(path: Path, name: str) -> str:
    """Return a model by its name, or by its absolute path where it is a folder."""
    is_path = name in (".", "..") or name.startswith(("/", "./", "../", "~"))
    return str(_beside(path, Path(name))) if is_path else name


def _beside(path: Path, named: Path) -> Path:
    """Return a path that a file names, as an absolute one: relative to that file, ``~`` being the home folder."""
    try:
        return (path.parent / named.expanduser()).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, no such user
        raise UsageError(f"{path}: names {named}, which is no path: {error}") from error


def _check_random_models(document: Document, study: Study) -> None:
    """Refuse a model that has learnt nothing without lengths from elsewhere: its answers end nowhere."""
    if study.prompts.output != "natural" or all(map(_has_lengths, study.loads)):
        return
    for index, model in enumerate(study.models):
        architecture = load_architecture(model)
        if architecture is not None and architecture.weights.kind == "random":
            raise document.refusal(
                ("models", index),
                f"{model} has random weights, whose answers have no natural length: "
                "prompts.output takes {fixed: N} or {recorded: PATH}",
            )


def _has_lengths(load: Load) -> bool:
    """Say whether a load replays a recording that says how long answers are."""
    if not isinstance(load, Open) or load.trace is None:
        return False
    return read_recording(load.trace, load.most_tokens).lengths is not None


def _with_prompts_found(document: Document, study: Study) -> Study:
    """Return the study with a file of own prompts as an absolute path, read once to see that it does."""
    if not is_own(study.prompts.dataset):
        return study
    place = str(_place(document.path, Path(study.prompts.dataset), PROMPTS))
    with document.at("prompts", "dataset"):
        load_dataset(place)
    return study.model_copy(update={"prompts": study.prompts.model_copy(update={"dataset": place})})


def _with_lengths_found(document: Document, study: Study) -> Study:
    """Return the study with the place of recorded lengths as an absolute path."""
    output = study.prompts.output
    if not isinstance(output, RecordedOutput):
        return study
    place = _place(document.path, output.recorded, LENGTHS)
    if not place.exists():
        raise document.refusal(("prompts", "output", "recorded"), f"there is no file and no run {place}")
    prompts = study.prompts.model_copy(update={"output": RecordedOutput(recorded=place)})
    return study.model_copy(update={"prompts": prompts})


def kept_trace(load: Open) -> str:
    """Name the file, within a run, that keeps the arrival times of a load."""
    assert load.trace is not None  # noqa: S101 -- the caller has looked
    return f"{ARRIVALS}/{load.slug}/{load.trace.name}"  # the name is part of the slug


def _place(path: Path, named: Path, kept: str) -> Path:
    """Return a file that a study names by its absolute path; the run's own copy, where the study is that of a run and
    the file is gone: the run was given to somebody else."""
    place = _beside(path, named)
    copy = path.parent / kept
    return copy.resolve() if not _is_there(place) and copy.is_file() else place


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # too long a name, a folder that may not be looked into: who reads it says so
        return False


def _check_variant(variant: Variant, study: Study) -> None:
    """Raises UsageError where a variant does not go with the study's loads, slots or engines that stay loaded.

    The schema looks at the boards that the study's own engine takes; here they are those of the variant.
    """
    if variant.engine == "transformers" and any(load.kind != "single_stream" for load in study.loads):
        raise UsageError(f"{variant.name} is served by transformers, which takes single_stream loads alone")
    boards = study.executor.boards_each if isinstance(study.executor, SideBySide) else 0
    wanted = with_arguments(study.engine, variant.engine_args).boards
    if 0 < boards < wanted:
        raise UsageError(f"{variant.name} takes {wanted} boards, and a slot has {boards}: name more of them")
    if isinstance(study.engine_restarts, Resident) and "kv_cache_memory_bytes" in variant.engine_args:
        raise UsageError(
            f"{variant.name}: engine_args: kv_cache_memory_bytes is each engine's share where engines stay loaded: "
            "leave it out, or take engine_restarts: each_block"
        )


def _with_traces_found(document: Document, study: Study) -> Study:
    """Return the study with the trace files of its open loads as absolute paths, each read once to see that it does."""
    loads: list[Load] = []
    for index, load in enumerate(study.loads):
        if isinstance(load, Open) and load.trace is not None:
            trace = _place(document.path, load.trace, kept_trace(load))
            with document.at("loads", index, "trace"):
                recording = read_recording(trace, load.most_tokens)
                if load.most_tokens is not None and recording.lengths is None:
                    raise UsageError(f"most_tokens: {trace} has arrivals alone, and no lengths")
            loads.append(load.model_copy(update={"trace": trace}))
        else:
            loads.append(load)
    return study.model_copy(update={"loads": tuple(loads)})


Defined = Mapping[str, Variant]
"""Variants that are no presets, by name: those of one study."""
NONE: Defined = MappingProxyType({})


def load_variant(name: str, defined: Defined = NONE) -> Variant:
    """Load the preset ``configs/variants/<name>.yaml``, one that a study has defined, or what the name makes of one
    of them (``configs/derived.py``).

    Raises:
        UsageError: no such variant or setting (the message lists those there are), or its file is wrong.
    """
    if name in defined:
        return defined[name]
    base, *settings = name.split("+")
    if settings:
        return combined_variant(load_variant(base, defined), settings, load_setting)
    if name in variant_names():
        return _with_template_found(*_preset(VARIANTS / f"{name}.yaml", Variant))
    derived = derived_variant(name, partial(load_variant, defined=defined))
    if derived is None:
        known = [*variant_names(), *defined]
        raise UsageError(
            f"there is no variant {name!r}; there are: {', '.join(known)}; and of each, {FORMS}; a file of your own is "
            f"named by its path, ./{name}.yaml{did_you_mean(name, known)}"
        )
    return derived


def named_variant(name: str, defined: Defined = NONE) -> Variant:
    """Return a variant by its name, or by the path of its file (``./mine.yaml``), which takes settings too.

    Raises:
        UsageError: as ``load_variant``, or the file is wrong.
    """
    return _of_file(Path(name)) if _is_path(name) else load_variant(name, defined)


def _is_path(name: str) -> bool:
    return "/" in name or name.partition("+")[0].endswith((".yaml", ".yml"))


def _of_file(path: Path) -> Variant:
    """Return the variant of a file, whose name may end in settings (``mine.yaml+ngram``)."""
    combined = _WITH_SETTINGS.fullmatch(str(path))
    if combined is not None:
        return combined_variant(_of_file(Path(combined[1])), combined[2].split("+"), load_setting)
    return _with_template_found(*_load(path, Variant))


def _with_variants_found(document: Document, study: Study) -> Study:
    """Return the study with variants that it names by their files called by their names, and kept in ``defined``."""
    defined, names = dict(study.defined), {}
    for name, variant in defined.items():
        with document.at("defined", name):
            _check_own_name(variant, name)
    for index, named in enumerate(study.variants):
        if named in study.remote or not _is_path(named):
            continue
        with document.at("variants", index):
            variant = _of_file(_beside(document.path, Path(named)))
            if variant.name in (*study.variants, *defined):
                raise UsageError(
                    f"{named} is called {variant.name} (name:), and so is another: call it otherwise"
                )
            _check_own_name(variant, variant.name)
        names[named] = variant.name
        defined[variant.name] = variant
    called = {
        name: names.get(name, name) for name in (study.baseline, *study.variants, *study.controls.values())
    }
    return study.model_copy(
        update={
            "baseline": called[study.baseline],
            "variants": tuple(called[name] for name in study.variants),
            "controls": {called[name]: called[control] for name, control in study.controls.items()},
            "defined": defined,
        }
    )


def _check_own_name(variant: Variant, called: str) -> None:
    """Raises UsageError where a study's own variant goes by another name than its own, or by one that is taken."""
    if variant.name != called:
        raise UsageError(f"takes the variant's own name, {variant.name}")
    try:
        load_variant(called)
    except UsageError:
        return
    raise UsageError(f"{called} is what another variant is called that is there already: call it otherwise")


def load_setting(name: str) -> Setting:
    """Return the settings of ``configs/settings/<name>.yaml``.

    Raises:
        UsageError: there are none of that name (the message lists those there are), or the file is wrong.
    """
    if name not in setting_names():
        raise UsageError(
            f"there is no setting {name!r}; there are: {', '.join(setting_names())} (a variant's own ways come first: "
            "NAME-eager+SETTING)"
        )
    return _with_template_found(*_preset(SETTINGS / f"{name}.yaml", Setting))


def setting_names() -> list[str]:
    """Return all settings that a variant's name may be combined with, sorted."""
    return sorted(path.stem for path in SETTINGS.glob("*.yaml"))


def variant_names() -> list[str]:
    """Return all presets, sorted."""
    return sorted(path.stem for path in VARIANTS.glob("*.yaml"))


def load_architecture(name: str) -> Architecture | None:
    """Return the preset ``configs/architectures/<name>.json``, or None where there is none of that name.

    Raises:
        UsageError: its file is wrong.
    """
    if "/" in name or name not in {path.stem for path in ARCHITECTURES.glob("*.json")}:
        return None
    return _preset(ARCHITECTURES / f"{name}.json", Architecture)[1]


def dump_study(study: Study) -> str:
    """Return the resolved configuration as YAML; ``load_study`` reads the same study from it."""
    return dump_yaml(study.model_dump(mode="json"))


_Preset = TypeVar("_Preset", Variant, Setting, Architecture)


_Served = TypeVar("_Served", Variant, Setting)


def _with_template_found(document: Document, served: _Served) -> _Served:
    """Find the chat template that a variant or setting names by a path: a relative one lies beside its file."""
    template = served.engine_args.get("chat_template")
    if not isinstance(template, str) or "{" in template:  # none, or the template itself
        return served
    place = _beside(document.path, Path(template))
    if not _is_there(place):
        raise document.refusal(("engine_args", "chat_template"), f"there is no file {place}")
    return served.model_copy(update={"engine_args": served.engine_args | {"chat_template": str(place)}})


def _preset(path: Path, model: type[_Preset]) -> tuple[Document, _Preset]:
    """Read a preset's file, which must say the name by which it is found."""
    document, preset = _load(path, model)
    if preset.name != path.stem:
        raise document.refusal(
            ("name",), f"takes {path.stem}, which the file is called (given: {preset.name!r})"
        )
    return document, preset


def _load(path: Path, model: type[_Model]) -> tuple[Document, _Model]:
    document = read_document(path)
    try:
        return document, model.model_validate(document.data)
    except ValidationError as error:
        wrong = problems(error, model, document.data)
        lines = [str(document.refusal(problem.location, problem.message)) for problem in wrong[:_MOST_SHOWN]]
        if len(wrong) > _MOST_SHOWN:
            lines.append(f"{path}: and {len(wrong) - _MOST_SHOWN} more fields are wrong")
        raise UsageError("\n".join(lines)) from error
