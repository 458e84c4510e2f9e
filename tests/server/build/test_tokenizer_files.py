"""A chat template is found wherever a tokenizer may have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.build.tokenizer_files import has_chat_template

PLACES = {
    "in the configuration": {"tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"})},
    "several in the configuration": {
        "tokenizer_config.json": json.dumps({"chat_template": [{"name": "default", "template": "x"}]})
    },
    "in a file of its own": {"tokenizer_config.json": "{}", "chat_template.jinja": "{{ messages }}"},
    "in a processor's file": {"chat_template.json": json.dumps({"chat_template": "x"})},
    "in a folder": {"additional_chat_templates/default.jinja": "x"},
    "within Mistral's own tokenizer": {"tekken.json": "{}"},
}
NOWHERE = {
    "no tokenizer": {},
    "a configuration without": {"tokenizer_config.json": "{}"},
    "an empty one": {"tokenizer_config.json": json.dumps({"chat_template": None})},
    "a configuration that is none": {"tokenizer_config.json": "["},
    "a list in its place": {"tokenizer_config.json": "[]"},
    "one for tools alone": {
        "tokenizer_config.json": json.dumps({"chat_template": [{"name": "tool_use", "template": "x"}]})
    },
    "one for tools alone, in a folder": {"additional_chat_templates/tool_use.jinja": "x"},
}


def folder_of(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("place", PLACES)
def test_a_template_is_found(place: str, tmp_path: Path) -> None:
    assert has_chat_template(folder_of(tmp_path, PLACES[place]))


@pytest.mark.parametrize("kind", NOWHERE)
def test_where_there_is_none_none_is_found(kind: str, tmp_path: Path) -> None:
    assert not has_chat_template(folder_of(tmp_path, NOWHERE[kind]))
