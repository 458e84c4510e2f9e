"""What YAML and JSON files mean, and that what is odd about one is a sentence with its line, in bounded time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.files.documents import read_document
from configs.files.plain import NotPlainError
from configs.files.plain_json import parse_json
from configs.files.plain_yaml import compose_yaml, dump_yaml, plain_data
from starwatt_errors import UsageError

CORE = {
    "010": "010", "-007": "-007", "0": 0, "-12": -12, "+3": 3, "0o17": 15, "0x1F": 31, "1_000": "1_000",
    "1:30": "1:30", "1e3": 1000.0, "1.": 1.0, ".5": 0.5, "00.5": "00.5", "true": True, "FALSE": False, "tRue": "tRue",
    "yes": "yes", "no": "no", "on": "on", "y": "y", "null": None, "~": None, "": None, "NULL": None,
    "2026-02-30": "2026-02-30", "0b11": "0b11", "'3'": "3", '"no"': "no", "!!str 3": "3", "!!int 3": 3,
}  # fmt: skip
"""By the text after ``a:``: what YAML 1.2's core schema makes of it, and what it leaves as text."""


def meaning(text: str) -> Any:
    return plain_data(compose_yaml(text))


@pytest.mark.parametrize(("text", "value"), CORE.items(), ids=CORE)
def test_a_value_is_what_the_core_schema_says(text: str, value: object) -> None:
    meant = meaning(f"a: {text}")["a"]
    assert (type(meant), meant) == (type(value), value)


def test_a_merge_key_takes_over_fields_that_are_not_given() -> None:
    assert meaning("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}")["b"] == {"x": 1, "y": 3}
    assert meaning("a: &a {x: 1}\nc: &c {x: 2, z: 4}\nb: {<<: [*a, *c]}")["b"] == {"x": 1, "z": 4}


ODD = {
    "a name twice": ("a: 1\nb: 2\na: 3\n", 3, "a is there twice"),
    "a merge twice": ("x: &x {b: 1}\na:\n  <<: *x\n  <<: *x\n", 4, "<< is there twice"),
    "a merge of a text": ("<<: text\n", 1, "<< takes a mapping"),
    "a number as a name": ("a: 1\n2: 3\n", 2, "2: the name of a field is text"),
    "a mapping as a name": ("a: 1\n{b: c}: 3\n", 2, "the name of a field is text"),
    "a tag of a language": ("a: !!python/object/apply:os.system [id]\n", 1, "the tag !!python/object"),
    "a set": ("a: !!set {b, c}\n", 1, "the tag !!set is not taken"),
    "a tag that does not hold": ("b: 1\na: !!int abc\n", 2, "!!int takes a whole number, not 'abc'"),
    "an octal by its tag": ("a: !!int 010\n", 1, "!!int takes a whole number, not '010'"),
    "a date by its tag": ("a: !!timestamp 2026-02-30\n", 1, "the tag !!timestamp is not taken"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "holds a second document"),
    "a tab": ("a:\n\tb: 1\n", 2, "a tab indents"),
    "an open bracket": ("a: 1\nb: [1\nc: 2\n", 3, "(in what begins in line 2)"),
    "a control character": ("a: 1\nb: \x01\n", 2, "holds the character U+0001"),
    "an escape that names nothing": ('a: "\\UFFFFFFFF"\n', None, "names no character"),
    "half a character": ('a: 1\nb: "\\ud800"\n', 2, "half of a character"),
    "an alias of nothing": ("a: *b\n", 1, "found undefined alias"),
    "an alias within itself": ("a: 1\nb: &b [*b]\n", 2, "stands within what it names"),
    "an integer of thousands of digits": (f"a: 1\nb: {'7' * 5000}\n", 2, "too many digits"),
    "a float of thousands of digits": (f"a: 1\nb: 1.{'7' * 5000}\n", 2, "too many digits"),
    "lists in lists": (f"a: 1\nb: {'[' * 10_000}\n", 2, "more than 64 levels deep"),
    "mappings in mappings": ("a: 1\n" + "".join(f"{' ' * n}b:\n" for n in range(100)), 66, "64 levels"),
    "lists by dashes": (f"{'- ' * 10_000}\n", 1, "64 levels deep"),
    "aliases of aliases": (
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)),
        None,
        "aliases (*) repeat too much",
    ),
    "more than anybody writes": (f"a: [{'1, ' * 50_000}]\n", 1, "holds more than 20000 values"),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("text", "line", "words"), ODD.values(), ids=ODD)
def test_odd_yaml_is_a_sentence_with_its_line(text: str, line: int | None, words: str) -> None:
    with pytest.raises(NotPlainError) as caught:
        meaning(text)
    assert words in caught.value.words
    assert line is None or caught.value.line == line
    assert "\n" not in caught.value.words


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"a": 1,\n\t"b": 2,\n\t"a": 3}', 3, "a is there twice"),
        ('{"a": {"b": 1, "b": 2}}', 1, "b is there twice"),
        ('{"a":\n' + "[" * 100_000, None, "64 levels deep"),
        (f'{{"a":\n{"7" * 5000}}}', None, "too many digits"),
        (f'{{"a":\n{"7" * 50}}}', 2, "too many digits"),
        ('{"a": 1,\n"b": }', 2, "is not valid JSON: Expecting value (column 6)"),
        ('{"a":\n"\\ud800"}', 2, "half of a character"),
        ("", 1, "is not valid JSON"),
        ("{'a': 1}", 1, "is not valid JSON"),
    ],
)
def test_odd_json_is_a_sentence_with_its_line(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_document(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}:" if line else str(path))


def test_json_with_tabs_a_byte_order_mark_and_windows_lines_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'\xef\xbb\xbf{\r\n\t"a": "\\ud83d\\ude00\\/",\r\n\t"b": [1]\r\n}')
    document = read_document(path)
    assert document.data == {"a": "😀/", "b": [1]}
    assert str(document.refusal(("b", 0), "no")) == f"{path}:3: b.0: no"


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_yaml_with_a_byte_order_mark_and_windows_lines_is_taken(
    tmp_path: Path, mark: bytes, line: bytes
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(mark + b"a: 1" + line + b"b: text" + line)
    assert read_document(path).data == {"a": 1, "b": "text"}


def test_what_is_no_text_file_is_a_sentence(tmp_path: Path) -> None:
    utf16 = tmp_path / "utf16.yaml"
    utf16.write_text("name: a", encoding="utf-16")
    long = tmp_path / "long.yaml"
    long.write_text("#" * 300_000)
    for path, words in {
        utf16: "utf16.yaml:1: is not UTF-8 text (byte 0xff): save it as UTF-8",
        long: "is longer than 256 KiB",
        tmp_path: "cannot be read: Is a directory",
        Path("/dev/zero"): "takes a file, which a pipe, a socket or a device is not",
        tmp_path / ("x" * 300): "File name too long",
        tmp_path / "a\0b": "no file has such a name",
        long / "below": "Not a directory",
    }.items():
        with pytest.raises(UsageError) as caught:
            read_document(path)
        assert words in str(caught.value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    | st.sampled_from([*CORE, "1e5", "1.0e+3", ".inf", "<<", "=", "- a", "a: b", "#", "0o7", "0x1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(categories=["L", "N", "P"]), max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3))
@settings(deadline=None, max_examples=100)
def test_what_is_dumped_reads_back_here_and_by_yaml_1_1(data: dict[str, Any]) -> None:
    text = dump_yaml(data)
    assert meaning(text) == data
    assert yaml.safe_load(text) == data


@given(st.text(max_size=60) | st.text("[]{}:-&*!\"'#|>%@`, \n\ta1.0~<", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_plain_data_or_a_sentence(text: str) -> None:
    for read in (meaning, parse_json):
        try:
            read(text)
        except NotPlainError as error:
            assert error.words  # noqa: PT017
