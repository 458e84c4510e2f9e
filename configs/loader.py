"""Reads study, variant and architecture files; what is wrong becomes one message with file, line and field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from configs.architecture import Architecture
from configs.datasets import is_own, load_dataset
from configs.derived import FORMS, derived_variant
from configs.loads import Load, Open
from configs.offsets import read_offsets_ns
from configs.schema import RecordedOutput, Study
from configs.variant import Variant
from starwatt_errors import UsageError

HERE = Path(__file__).resolve().parent
VARIANTS = HERE / "variants"
ARCHITECTURES = HERE / "architectures"
STUDIES = HERE / "studies"

_Model = TypeVar("_Model", bound=BaseModel)


class _Yaml(yaml.SafeLoader):
    """Safe YAML in which a field that is there twice is an error, not silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


LENGTHS = "lengths.csv"
"""In a run: recorded lengths, as they were forced."""
ARRIVALS = "arrivals"
"""In a run: a folder of each load that replays a file, with that file as it was."""
PROMPTS = "prompts.jsonl"
"""In a run: prompts of one's own, as they were asked."""


def load_study(path: Path) -> Study:
    """Read a study file and check that its variants exist.

    Raises:
        UsageError: the file is missing, is no YAML, or a field is wrong.
    """
    study = _load(path, Study)
    for index, name in enumerate(study.variants):
        if name in study.remote:  # whatever runs there
            continue
        try:
            _check_loads(load_variant(name), study.loads)
        except UsageError as error:
            line = _line_of(path.read_text(encoding="utf-8"), ("variants", index))
            raise UsageError(f"{path}{line}: variants.{index}: {error}") from error
    _check_random_models(path, study)
    return _with_prompts_found(path, _with_lengths_found(path, _with_traces_found(path, study)))


def _check_random_models(path: Path, study: Study) -> None:
    """A model that has learnt nothing ends its answers nowhere: their length must come from elsewhere."""
    if study.prompts.output != "natural":
        return
    for index, model in enumerate(study.models):
        architecture = load_architecture(model)
        if architecture is not None and architecture.weights.kind == "random":
            line = _line_of(path.read_text(encoding="utf-8"), ("models", index))
            raise UsageError(
                f"{path}{line}: models.{index}: {model} has random weights, whose answers have no natural length: "
                "prompts.output takes {fixed: N} or {recorded: PATH}"
            )


def _with_prompts_found(path: Path, study: Study) -> Study:
    """The study with a file of own prompts as an absolute path, read once to see that it does."""
    if not is_own(study.prompts.dataset):
        return study
    place = str(_place(path, Path(study.prompts.dataset), PROMPTS))
    try:
        load_dataset(place)
    except UsageError as error:
        line = _line_of(path.read_text(encoding="utf-8"), ("prompts", "dataset"))
        raise UsageError(f"{path}{line}: prompts.dataset: {error}") from error
    return study.model_copy(update={"prompts": study.prompts.model_copy(update={"dataset": place})})


def _with_lengths_found(path: Path, study: Study) -> Study:
    """The study with the place of recorded lengths as an absolute path."""
    output = study.prompts.output
    if not isinstance(output, RecordedOutput):
        return study
    place = _place(path, output.recorded, LENGTHS)
    if not place.exists():
        line = _line_of(path.read_text(encoding="utf-8"), ("prompts", "output"))
        raise UsageError(f"{path}{line}: prompts.output.recorded: there is no file and no run {place}")
    prompts = study.prompts.model_copy(update={"output": RecordedOutput(recorded=place)})
    return study.model_copy(update={"prompts": prompts})


def kept_trace(load: Open) -> str:
    """Where a run keeps the arrival times of a load."""
    assert load.trace is not None  # noqa: S101 -- the caller has looked
    return f"{ARRIVALS}/{load.slug}/{load.trace.name}"  # the name is part of the slug


def _place(path: Path, named: Path, kept: str) -> Path:
    """A file that a study names, as an absolute path; the run's own copy, where the study is that of a run and the
    file is gone: the run was given to somebody else."""
    place = (path.parent / named).resolve()
    copy = path.parent / kept
    return copy.resolve() if not place.exists() and copy.is_file() else place


def _check_loads(variant: Variant, loads: tuple[Load, ...]) -> None:
    if variant.engine == "transformers" and any(load.kind != "single_stream" for load in loads):
        raise UsageError(f"{variant.name} is served by transformers, which takes single_stream loads alone")


def _with_traces_found(path: Path, study: Study) -> Study:
    """The study with the trace files of its open loads as absolute paths, each read once to see that it does."""
    loads: list[Load] = []
    for index, load in enumerate(study.loads):
        if isinstance(load, Open) and load.trace is not None:
            trace = _place(path, load.trace, kept_trace(load))
            try:
                read_offsets_ns(trace)
            except UsageError as error:
                line = _line_of(path.read_text(encoding="utf-8"), ("loads", index, "trace"))
                raise UsageError(f"{path}{line}: loads.{index}.trace: {error}") from error
            loads.append(load.model_copy(update={"trace": trace}))
        else:
            loads.append(load)
    return study.model_copy(update={"loads": tuple(loads)})


def load_variant(name: str) -> Variant:
    """The preset ``configs/variants/<name>.yaml``, or what the name makes of one (``configs/derived.py``).

    Raises:
        UsageError: no such variant; the message lists those there are.
    """
    if name in variant_names():
        return _load(VARIANTS / f"{name}.yaml", Variant)
    derived = derived_variant(name, load_variant)
    if derived is None:
        raise UsageError(
            f"there is no variant {name!r}; there are: {', '.join(variant_names())}; and of each, {FORMS}"
        )
    return derived


def variant_names() -> list[str]:
    """All presets, sorted."""
    return sorted(path.stem for path in VARIANTS.glob("*.yaml"))


def load_architecture(name: str) -> Architecture | None:
    """The preset ``configs/architectures/<name>.json``, or None where there is none of that name."""
    path = ARCHITECTURES / f"{name}.json"
    if "/" in name or not path.is_file():
        return None
    return _load(path, Architecture)


def dump_study(study: Study) -> str:
    """The resolved configuration as YAML; ``load_study`` reads the same study from it."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)


def _load(path: Path, model: type[_Model]) -> _Model:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text: {error}") from error
    try:
        data = json.loads(text) if path.suffix == ".json" else _Yaml(text).get_single_data()
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise UsageError(f"{path}: is not valid {path.suffix.lstrip('.').upper()}: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: takes a mapping of fields, not {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(path, text, model, error)) from error


def _explain(path: Path, text: str, model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        at = problem.get("ctx", {}).get("at")  # set where two fields contradict each other
        location = tuple(
            at.split(".") if at else (part for part in problem["loc"] if not _is_union_tag(part))
        )
        field = ".".join(str(part) for part in location) or "(whole file)"
        lines.append(f"{path}{_line_of(text, location)}: {field}: {_message(problem, model)}")
    return "\n".join(dict.fromkeys(lines))


def _is_union_tag(part: object) -> bool:
    """Pydantic puts the tag or type of a union's member into a location; no file has a field of that name."""
    return isinstance(part, str) and (
        part
        in {
            "single_stream",
            "closed",
            "open",
            "none",
            "bitsandbytes",
            "awq",
            "gptq",
            "int8-w8a16",
            "int8-w8a8",
            "fp8",
            "ready-made",
            "memorised",
            "random",
            "local",
            "slurm",
            "side_by_side",
        }
        or part.startswith(("literal[", "constrained-", "function-", "tuple["))
        or part in {"FixedOutput", "RecordedOutput", "Meters", "Locust", "int"}
    )


def _message(problem: Any, model: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"no such field; known here: {', '.join(_known_beside(model, problem['loc']))}"
    if problem["type"] == "missing":
        return "is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    if isinstance(given, dict | list):
        return message
    shown = re.sub(r"//[^/\s]*@", "//…@", repr(given))  # a password in a URL
    return f"{message} (given: {shown})"


def _known_beside(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The fields of the model that the last part of ``location`` (as pydantic has it) would belong to."""
    owners = [model]
    for part in location[:-1]:
        inner = [
            found
            for owner in owners
            if part in owner.model_fields
            for found in _models_in(owner.model_fields[part].annotation)
        ]
        owners = inner or [owner for owner in owners if _has_tag(owner, part)] or owners
    return list(dict.fromkeys(name for owner in owners for name in owner.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _has_tag(model: type[BaseModel], tag: object) -> bool:
    kind = model.model_fields.get("kind")
    return model.__name__ == tag or (kind is not None and tag in get_args(kind.annotation))


def refused(path: Path, location: tuple[str | int, ...], message: str) -> UsageError:
    """The error that a field of a file that was read before is wrong, with file, line and field."""
    line = _line_of(path.read_text(encoding="utf-8"), location)
    return UsageError(f"{path}{line}: {'.'.join(map(str, location))}: {message}")


def _line_of(text: str, location: tuple[Any, ...]) -> str:
    """``:LINE`` of the deepest part of ``location`` that YAML can place, or nothing."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return f":{line}" if line else ""
