"""Writes docs/reference/ from the code; ``--check`` says what is out of date in place of writing it."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer.main
from pydantic import BaseModel

from analysis.metrics import METRICS, PLACES
from analysis.validity.reasons import EXPLANATIONS
from configs.architecture import Architecture
from configs.datasets.own import OwnPrompt
from configs.schema import Study
from configs.variant import Variant
from study.cli import help as manual
from study.cli.app import app
from traces import schemas
from traces.cell import CellRecord
from traces.schemas import REQUESTS_TABLE, meaning

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
ROOMS = ("configs", "traces", "server", "loadgen", "analysis", "study")
NOTE = "<!-- Made by scripts/reference.py (make docs): change the code, not this page. -->\n"


def main() -> int:
    """Write the pages, or check that they are as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is out of date")
    check = parser.parse_args().check
    pages = {
        "command-line.md": command_line(),
        "configuration.md": configuration(),
        "files.md": files(),
        "house.md": house(),
        "metrics.md": metrics(),
        "reasons.md": reasons(),
    }
    stale = []
    for name, lines in pages.items():
        text = NOTE + "\n" + "\n".join(lines).rstrip() + "\n"
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale and check:
        sys.stderr.write(f"docs/reference is out of date ({', '.join(stale)}): make docs writes it again\n")
    return int(bool(stale and check))


def command_line() -> Iterator[str]:
    """Every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    yield "# Command line"
    yield ""
    yield f"{group.help} `starwatt --help` is this page's short form."
    for job, names in manual.JOBS.items():
        yield f"\n{job}: {', '.join(f'[{name}](#starwatt-{name})' for name in names)}."
    for name, command in group.commands.items():
        yield from _command(name, command)
    for title, rows in (
        ("Exit codes", manual.EXIT_CODES),
        ("Environment variables", manual.ENVIRONMENT),
        ("Files", manual.FILES),
    ):
        yield f"\n## {title}\n"
        yield from _table(("", "meaning"), [(f"`{name}`", text) for name, text in rows.items()])


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=f"starwatt {name}")
    yield f"\n## starwatt {name}\n"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield (command.help or "").strip()
    rows = [_parameter(one, context) for one in command.params if not getattr(one, "hidden", False)]
    yield from _table(("", "default", ""), rows)
    shown = "\n".join(manual.EXAMPLES[name])
    yield f"\n```text\n{shown}\n```"


def _parameter(one: Any, context: Any) -> tuple[str, str, str]:
    if one.param_type_name == "argument":
        return f"`{one.metavar or one.name.upper()}`", "", one.help or ""
    names = one.get_help_record(context)[0].strip()
    default = one.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    return f"`{names}`", shown, one.help or ""


def configuration() -> Iterator[str]:
    """Every field of the files that a person writes."""
    yield "# Configuration files"
    yield ""
    yield "YAML, and JSON Lines for prompts. A field that is not known, or has the wrong type, is an error with file"
    yield "and line."
    named: dict[str, type[BaseModel]] = {
        "Studies": Study,
        "Variants": Variant,
        "Architectures": Architecture,
        "Own prompts (a line)": OwnPrompt,
    }
    for title, model in named.items():
        yield from _model(title, model)


def _model(title: str, model: type[BaseModel]) -> Iterator[str]:
    """The fields of a model, and of those within it."""
    schema = model.model_json_schema()
    yield f"\n## {title}\n"
    yield from _fields(schema)
    for name, definition in sorted(schema.get("$defs", {}).items()):
        if "properties" in definition:
            yield f"\n### {title}: {name}\n"
            yield from _fields(definition)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield " ".join(str(schema.get("description", "")).split())
    required = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        default = (
            "required" if name in required else f"`{field.get('default')}`" if "default" in field else ""
        )
        rows.append((f"`{name}`", _type(field), default, field.get("description", "")))
    yield from _table(("field", "type", "default", "meaning"), rows)


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(_type(one) for one in field[several])
    if "enum" in field:
        return " or ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array" and "items" in field:
        return f"list of {_type(field['items'])}"
    bounds = [
        f"{sign} {field[key] if isinstance(field[key], int) else format(field[key], 'g')}"
        for key, sign in (
            ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"),
        )
        if key in field
    ]  # fmt: skip
    return " ".join((str(field.get("type", "any")), *bounds))


def files() -> Iterator[str]:
    """Columns of every Parquet file, fields of ``cell.json``, and what they mean."""
    yield "# Files of a run"
    yield ""
    yield f"Schema version {schemas.SCHEMA_VERSION}. Where these files lie, and those that are no Parquet:"
    yield "[a run directory](../run-directory.md). Times (`_ns`) are nanoseconds of `CLOCK_MONOTONIC`; what a device or"
    yield "a server does not offer is null."
    found = {
        name.lower(): schema
        for name, schema in vars(schemas).items()
        if isinstance(schema, pa.Schema) and schema is not REQUESTS_TABLE
    }
    found["tables/requests"] = REQUESTS_TABLE
    for name, schema in found.items():
        yield f"\n## {name}"
        rows = [(f"`{field.name}`", f"`{field.type}`", meaning(name, field.name)) for field in schema]
        yield from _table(("column", "type", "meaning"), rows)
    yield from _model("cell.json", CellRecord)


def metrics() -> Iterator[str]:
    """Every metric of the tables."""
    yield "# Metrics"
    yield ""
    yield "What stands in `metric` of [tables/cells, contrasts, nodes and neighbours](files.md): its unit, its name"
    yield "in reports, and how it is computed. Rows `check:<code>` of `cells` hold the figure behind a reason"
    yield "([codes](reasons.md)). A metric by boundary has a row for each `(boundary, source)`; these are never added."
    yield ""
    yield from (
        f"- `<{place}>`: {', '.join(f'`{name}`' for name in names)}" for place, names in PLACES.items()
    )
    for title, group in METRICS.items():
        yield f"\n## {title}"
        rows = [
            (
                f"`{one.name}`",
                one.unit,
                one.label,
                one.formula,
                "each" if one.each_boundary else "",
                one.better or "",
            )
            for one in group
        ]
        yield from _table(("metric", "unit", "called", "computed as", "by boundary", "better"), rows)


def house() -> Iterator[str]:
    """Every room with its files, and what each is about."""
    yield "# The house, file by file"
    yield ""
    yield "Each file with the first sentence of its docstring. What rooms may import: [design](../design.md#the-rooms)."
    for top in ROOMS:
        for folder in (ROOT / top, *sorted(path for path in (ROOT / top).rglob("*") if path.is_dir())):
            files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            if files:
                yield f"\n## {folder.relative_to(ROOT)}/\n"
                yield _about(folder / "__init__.py")
                yield from _table(
                    ("file", "what it is about"), [(f"`{path.name}`", _about(path)) for path in files]
                )


def _about(path: Path) -> str:
    """The first sentence of a module's docstring; nothing where it has none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return " ".join((text or "").split("\n\n")[0].split()).replace("``", "`")


def reasons() -> Iterator[str]:
    """Every reason code."""
    yield "# Reason codes"
    yield ""
    yield "Why a figure is invalid, missing, or to be read with care; in `reasons` of every table."
    yield "What to do about each: [troubleshooting](../troubleshooting.md#reason-codes)."
    yield from _table(
        ("code", "meaning"), [(f"`{code}`", text) for code, text in sorted(EXPLANATIONS.items())]
    )


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    body = list(rows)
    if not body:
        return
    yield ""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in body:
        yield f"| {' | '.join(_cell(one) for one in row)} |"


def _cell(text: str) -> str:
    """One line; a bar would end the cell, and outside code an angle bracket begins a tag."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    return line if line.startswith("`") else line.replace("<", "&lt;")


if __name__ == "__main__":
    raise SystemExit(main())
