"""Reads study, variant and architecture files; what is wrong becomes one message with file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from configs.schema import Architecture, Study, Variant
from starwatt_errors import UsageError

HERE = Path(__file__).resolve().parent
VARIANTS = HERE / "variants"
ARCHITECTURES = HERE / "architectures"
STUDIES = HERE / "studies"

_Model = TypeVar("_Model", bound=BaseModel)


def load_study(path: Path) -> Study:
    """Read a study file and check that its variants exist.

    Raises:
        UsageError: the file is missing, is no YAML, or a field is wrong.
    """
    study = _load(path, Study)
    for name in study.variants:
        load_variant(name, named_in=path)
    return study


def load_variant(name: str, *, named_in: Path | None = None) -> Variant:
    """The preset ``configs/variants/<name>.yaml``.

    Raises:
        UsageError: no such variant; the message lists those there are.
    """
    path = VARIANTS / f"{name}.yaml"
    if not path.is_file():
        where = f"{named_in}: variants: " if named_in else ""
        raise UsageError(f"{where}there is no variant {name!r}; there are: {', '.join(variant_names())}")
    return _load(path, Variant)


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
    try:
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
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
        location = tuple(part for part in problem["loc"] if not _is_union_tag(part))
        field = ".".join(str(part) for part in location) or "(whole file)"
        lines.append(f"{path}{_line_of(text, location)}: {field}: {_message(problem, model, location)}")
    return "\n".join(dict.fromkeys(lines))


def _is_union_tag(part: object) -> bool:
    """Pydantic puts the tag or type of a union's member into a location; no file has a field of that name."""
    return isinstance(part, str) and (
        part in {"single_stream", "closed", "open", "none", "bitsandbytes", "awq", "memorised"}
        or part.startswith(("literal[", "constrained-", "function-", "tuple["))
        or part in {"FixedOutput", "Meters", "int"}
    )


def _message(problem: Any, model: type[BaseModel], location: tuple[Any, ...]) -> str:
    if problem["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) if len(location) == 1 else "see docs/design.md"
        return f"no such field; known here: {known}" if len(location) == 1 else f"no such field ({known})"
    if problem["type"] == "missing":
        return "is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    return message if isinstance(given, dict | list) else f"{message} (given: {given!r})"


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
