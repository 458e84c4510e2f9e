"""The process that decodes and compares outputs: trusted code on untrusted data, under limits of memory and CPU time.

A request on stdin is four parts, each after its length: what is about (``{"entry_point", "atol", "suite"}``), the
arguments, the output and the expected output, all JSON. The answer is one such part: ``{"right", "detail"}``, or
``{"forged"}`` with the reason why no honest run sends such an output, or ``{"over"}`` with the limit. Where CPU time is
over, the process ends by a signal that nobody handles.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
from typing import IO, Any

from analysis.grading.oracle import Oracle
from analysis.grading.values import decode, short

_LARGE_BYTES = 1 << 16
_HASHED = (b'["s", ', b'["f", ', b'["d", ')  # sets and dictionaries, whose items somebody can make collide
MEMORY_BYTES = 2 << 30
PARTS = 4


def compare(about: bytes, arguments: bytes, output: bytes, expected: bytes) -> dict[str, Any]:
    """Return the answer to one request."""
    if len(output) > _LARGE_BYTES and (_hashed(output) - _hashed(expected)):
        return {
            "right": False,
            "detail": f"{len(output)} bytes of sets or dictionaries, where none are expected",
        }
    try:
        value = decode(json.loads(output))
    except MemoryError:
        return {"over": "memory"}
    except (ValueError, RecursionError) as error:
        return {"forged": str(error)}
    try:
        right_one = decode(json.loads(expected))
        right = Oracle(**json.loads(about)).accepts(json.loads(arguments), value, right_one)
        detail = "" if right else f"got {short(value)}, expected {short(right_one)}"
    except MemoryError:
        return {"over": "memory"}
    except Exception as error:  # noqa: BLE001 -- what cannot be compared is wrong, whatever it does on the way
        return {"right": False, "detail": f"cannot be compared: {type(error).__name__}"}
    return {"right": right, "detail": detail}


def _hashed(encoded: bytes) -> set[bytes]:
    return {mark for mark in _HASHED if mark in encoded}


def read_parts(stream: IO[bytes], count: int) -> list[bytes]:
    """Read that many parts, or fewer at the end of the stream."""
    parts = []
    for _ in range(count):
        head = stream.read(4)
        if len(head) < 4:
            break
        parts.append(stream.read(*struct.unpack(">I", head)))
    return parts


def with_length(part: bytes) -> bytes:
    """Return a part as it is sent."""
    return struct.pack(">I", len(part)) + part


def main() -> None:
    """Answer until nobody asks any more; the first argument is the limit of CPU seconds for each answer."""
    cpu_limit_s = float(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while len(parts := read_parts(sys.stdin.buffer, PARTS)) == PARTS:
        signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
        answer = compare(*parts)
        del parts
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(with_length(json.dumps(answer).encode()))
        sys.stdout.buffer.flush()
