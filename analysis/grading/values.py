"""Turn what ``inner.py`` encoded back into plain Python values, trusting none of it."""

from __future__ import annotations

import base64
import math
import re
import reprlib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np

_MAX_DEPTH = 80
_NUMPY_TYPE = re.compile(r"[<>|=](\?|b1|[iu][1248]|f[248]|c8|c16)|O")
# Longer than Python's own numbers: they come as text, each a pair of a real and an imaginary part.
_LONG_NUMPY_TYPES = frozenset(np.dtype(kind).str for kind in (np.longdouble, np.clongdouble)) & {
    "<f16",
    "<c32",
}
_LONG_NUMBER = re.compile(r"nan|-?(inf|[0-9]\.[0-9]{0,40}e[+-][0-9]{1,4})")


class MalformedValueError(ValueError):
    """A value that the encoder never writes: the candidate wrote to the result pipe itself."""


class Opaque:
    """A value of a type that has no plain counterpart: equal to nothing, and known only by its type's name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True)
class Digest:
    """A list or tuple that is too long to be sent: equal to one of the same items, and to nothing else."""

    kind: str
    encoded_bytes: int
    sha256: str


class Subclassed:
    """A value of a subclass of a plain type, which compares as the plain value but has another type."""

    def __init__(self, name: str, plain: Any) -> None:
        self.name = name
        self.plain = plain

    def __eq__(self, other: object) -> bool:
        return bool(self.plain == (other.plain if isinstance(other, Subclassed) else other))

    def __hash__(self) -> int:
        return hash(self.plain)

    def __repr__(self) -> str:
        return f"{self.name}({self.plain!r})"


def decode(encoded: Any) -> Any:
    """Decode the value; raises ``MalformedValueError`` for anything but the encoder's own output."""
    try:
        return _decode(encoded, 0)
    except MalformedValueError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise MalformedValueError(f"malformed value: {type(error).__name__}") from error
    except (InvalidOperation, RecursionError) as error:
        raise MalformedValueError("malformed value") from error


def printable(text: str, most: int = 500) -> str:
    """Return a text of a candidate's for a message: what no terminal and no table of text can take is escaped."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return "".join(shown)[:most]


def short(value: Any) -> str:
    """Return a value for a message, at most about 200 characters."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = shortener.maxlong = 60
    shortener.maxlevel = 3
    try:
        return shortener.repr(value)[:200]
    except ValueError:  # an integer of more digits than Python writes
        return f"<a very long {type(value).__name__}>"


def _decode(encoded: Any, depth: int) -> Any:
    if encoded is None or isinstance(encoded, (bool, int, float, str)):
        return encoded
    if not isinstance(encoded, list) or not encoded or depth > _MAX_DEPTH:
        raise MalformedValueError("not an encoded value")
    tag, *rest = encoded
    if tag in ("l", "t", "s", "f", "d"):
        return _container(tag, rest, depth + 1)
    if tag == "n":
        return _numpy(*rest, depth=depth + 1)
    if tag == "p":
        return _packed(*rest)
    if tag == "#":
        return _digest(*rest)
    return _scalar(tag, rest, depth)


def _container(tag: str, rest: list[Any], depth: int) -> Any:
    (items,) = rest
    if not isinstance(items, list):
        raise MalformedValueError("not a list of items")
    if tag == "d":
        return {_decode(key, depth): _decode(value, depth) for key, value in items}
    decoded = [_decode(item, depth) for item in items]
    if tag == "l":
        return decoded
    kinds = {"t": tuple, "s": set, "f": frozenset}
    return kinds[tag](decoded)


def _packed(content: str, places: list[int]) -> list[float | int]:
    """Return a long list of floats, with whole numbers at these places."""
    numbers: list[float | int] = np.frombuffer(base64.b64decode(content, validate=True), "<f8").tolist()
    for place in places:
        if type(place) is not int or place < 0 or not float(numbers[place]).is_integer():
            raise MalformedValueError("not the place of a whole number")
        numbers[place] = int(numbers[place])
    return numbers


def _digest(kind: Any, encoded_bytes: Any, sha256: Any) -> Digest:
    if (
        kind not in ("list", "tuple")
        or type(encoded_bytes) is not int
        or not re.fullmatch("[0-9a-f]{64}", sha256)
    ):
        raise MalformedValueError("not a digest")
    return Digest(kind, encoded_bytes, sha256)


def _scalar(tag: str, rest: list[Any], depth: int) -> Any:  # noqa: PLR0911 (one tag, one line)
    if tag == "i":
        return int(rest[0], 16)
    if tag in ("b", "B"):
        return bytes.fromhex(rest[0]) if tag == "b" else bytearray.fromhex(rest[0])
    if tag == "c":
        return complex(float(rest[0]), float(rest[1]))
    if tag == "D":
        return Decimal(str(rest[0]))
    if tag == "u":
        return Subclassed(printable(str(rest[0]), 100), _decode(rest[1], depth + 1))
    if tag == "o":
        return Opaque(printable(str(rest[0]), 100))
    numbers = [_decode(item, depth + 1) for item in rest]
    if not all(type(number) is int for number in numbers):
        raise MalformedValueError("not integers")
    if tag == "r":
        return range(*numbers)
    if tag == "q":
        return Fraction(*numbers)
    raise MalformedValueError("unknown tag")


def _numpy(kind: str, shape: list[int], flat: list[Any], *, depth: int) -> Any:
    if not (_NUMPY_TYPE.fullmatch(kind) or kind in _LONG_NUMPY_TYPES) or not all(
        type(size) is int and size >= 0 for size in shape
    ):
        raise MalformedValueError("not a numpy type")
    if len(shape) > 8 or math.prod(shape) != len(flat):
        raise MalformedValueError("not a numpy shape")
    if kind in _LONG_NUMPY_TYPES:
        array = _long_numbers(kind, flat).reshape(shape)
        return array if shape else array[()]
    items = [_decode(item, depth) for item in flat]
    if kind != "O":
        array = np.array(items, dtype=kind).reshape(shape)
        return array if shape else array[()]
    objects = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):  # all at once would make lists of equal length another dimension
        objects[index] = item
    return objects.reshape(shape)


def _long_numbers(kind: str, flat: list[list[str]]) -> Any:
    """Numbers of more digits than Python's; what is larger than they can be has become infinite."""
    for real, imaginary in flat:
        if not _LONG_NUMBER.fullmatch(real) or not _LONG_NUMBER.fullmatch(imaginary):
            raise MalformedValueError("not a number of numpy")
    array = np.empty(len(flat), dtype=kind)
    array.real = np.array([np.longdouble(real) for real, _ in flat], dtype=np.longdouble)
    if array.dtype.kind == "c":
        array.imag = np.array([np.longdouble(imaginary) for _, imaginary in flat], dtype=np.longdouble)
    return array
