"""The pages' templates, which lie beside this file with their style and their script."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from analysis.results.sentences import Doubted

_HERE = Path(__file__).resolve().parent
_WITH_INTERVAL = re.compile("([^ ]+) (\\([^ ]+ to [^ ]+\\))")
"""Numbers may have no-break spaces between their thousands."""


def rendered(name: str, **told: Any) -> str:
    """Fill in one of them; what it is given is escaped."""
    style, script = ((_HERE / file).read_text(encoding="utf-8") for file in ("style.css", "sort.js"))
    return _environment().get_template(name).render(style=style, script=script, **told)


@cache
def _environment() -> jinja2.Environment:
    """Keeps templates that it has compiled, which takes a tenth of a second."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = figure
    return environment


def figure(text: str) -> str | Markup:
    """Put a figure's interval below it, so that columns are narrow; cross it out where it is not valid."""
    match = _WITH_INTERVAL.fullmatch(text)
    shown: str | Markup = text
    if match is not None:
        shown = Markup('<span>{} <span class="between">{}</span></span>').format(*match.groups())
    return Markup("<s>{}</s>").format(shown) if isinstance(text, Doubted) else shown
