"""The process of one candidate: reads its request, runs it, sends what it returned. Standard library only.

Neither this file nor ``process1.py`` is imported by the grader: their text is handed to a bare interpreter under
bubblewrap. The process is a fork of process 1. It reads its request (two messages: the job, and its inputs) from one
pipe and sends what the function returned, as data, into another; both are its own. No expected answer is ever in here.
"""

from __future__ import annotations

import array
import base64
import collections
import collections.abc
import ctypes
import gc
import hashlib
import io
import json
import os
import resource
import signal
import struct
import sys
import time
import types
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

#: Whether this began as process 1 of a PID namespace: a fact, not a flag, since everything else is killed if it is.
CONTAINED = os.getpid() == 1
MAX_DEPTH = 64
NUMPY_NUMBERS, NUMPY_OTHERS = "?biufc", "USO"
PRELOADED = (
    "bisect", "copy", "datetime", "functools", "hashlib", "heapq", "itertools", "math", "operator",
    # evalplus has these loaded. Behind the guard the first two can't be imported, and the next three do not work: a
    # traceback through a file of the library needs tokenize.
    "multiprocessing", "numpy", "tarfile", "tempfile", "tokenize", "random", "re", "site", "statistics", "string",
    "subprocess", "typing",
)  # fmt: skip

#: What evalplus 0.3.1 takes away from candidates (``reliability_guard``). It protects nothing; it is here because a
#: program that needs one of these names fails there, and so must fail here.
GUARDED = {
    "builtins": "exit quit open help",
    "os": (
        "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace "
        "unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
    ),
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}
ABSENT = ("ipdb", "joblib", "resource", "psutil", "tkinter")


def encode(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 (one case, one line)
    """Encode a value as JSON that keeps Python's types apart; decided by its exact type.

    A hostile value can only spoil its own encoding: whoever decodes it trusts nothing and knows what to expect.
    """
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int:
        return value if -(2**53) < value < 2**53 else ["i", hex(value)]
    if depth >= MAX_DEPTH:
        return ["o", "too deep"]
    if kind is list and (kinds := set(map(type, value))) <= SHORT_KINDS:
        packed = pack(value) if len(value) >= LONG and kinds <= NUMBERS else None
        if packed or int not in kinds or fits(value):
            return packed or ["l", value]
    if kind is tuple and set(map(type, value)) <= SHORT_KINDS and fits(value):
        return ["t", list(value)]
    if kind in SEQUENCES:
        return [SEQUENCES[kind], [encode(item, depth + 1) for item in value]]
    if kind is dict:
        return ["d", [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in value.items()]]
    if kind in (bytes, bytearray):
        return ["b" if kind is bytes else "B", value.hex()]
    if kind is complex:
        return ["c", value.real, value.imag]
    if kind is range:
        return ["r", encode(value.start), encode(value.stop), encode(value.step)]
    if kind is Fraction:
        return ["q", encode(value.numerator), encode(value.denominator)]
    if kind is Decimal:
        return ["D", str(value)]
    return encode_other(value, kind, depth)


def untagged(value: Any) -> Any:
    """Decode an argument from what ``encode`` made of it: of the types that arguments have, and no others."""
    if type(value) is not list:
        return value
    tag, content = value[0], value[1]
    if tag == "d":
        return {untagged(key): untagged(item) for key, item in content}
    if tag == "i":
        return int(content, 16)
    if tag == "c":
        return complex(content, value[2])
    if tag == "p":
        return unpacked(content, value[2])
    return {"l": list, "t": tuple, "s": set}[tag](map(untagged, content))


def unpacked(content: str, places: list[int]) -> list[float | int]:
    """Return the list of numbers that ``pack`` was given."""
    numbers: list[float | int] = array.array("d", base64.b64decode(content)).tolist()
    for place in places:
        numbers[place] = int(numbers[place])
    return numbers


def in_form(value: Any, form: str) -> Any:
    """Return what is sent of a result, in the form that ``Job.results`` names."""
    if form == "not none":
        return value is not None
    return set(value) if form == "items" and type(value) not in PLAIN else value


def encode_result(value: Any) -> Any:
    """Encode what a call returned: whole, or by its digest where that would be too long to send and to keep."""
    kind = type(value)
    if kind in (list, tuple) and len(value) >= MANY and len(value) * len(packed(encode(value[0], 1))) > HUGE:
        digest, size = hashlib.sha256(), 0
        for start in range(0, len(value), PART):
            part = packed([encode(item, 1) for item in value[start : start + PART]])
            digest.update(part)
            size += len(part)
        return ["#", kind.__name__, size, digest.hexdigest()]
    return encode(value)


#: Items, and bytes of all of them, from which on a digest is sent. Mbpp/255 returns a gigabyte.
MANY, HUGE, PART = 1 << 17, 100_000_000, 4096


def fits(numbers: Any) -> bool:
    """Say whether all whole numbers of a list or tuple can be written as they are."""
    whole = [number for number in numbers if type(number) is int]
    return not whole or (max(whole) < 2**53 and min(whole) > -(2**53))


def pack(numbers: list[Any]) -> Any:
    """Encode a long list of floats, and few whole numbers, as bytes, ten times as fast as digits; None with a nan."""
    kinds = list(map(type, numbers))
    places: list[int] = []
    at = -1
    for _ in range(kinds.count(int)):
        if len(places) == MOST_WHOLE:
            return None
        at = kinds.index(int, at + 1)
        places.append(at)
    if not fits([numbers[at] for at in places]):
        return None
    total = sum(numbers)
    if total != total:  # noqa: PLR0124 -- a nan: the one number that is not itself
        return None
    return ["p", base64.b64encode(array.array("d", numbers).tobytes()).decode(), places]


LONG, MOST_WHOLE = 1000, 16
NUMBERS: frozenset[Any] = frozenset({int, float})
SHORT_KINDS: frozenset[Any] = frozenset({int, float, bool, str, type(None)})
SEQUENCES: dict[Any, str] = {list: "l", tuple: "t", set: "s", frozenset: "f"}


def encode_other(value: Any, kind: type, depth: int) -> Any:
    """Encode numpy's scalars and arrays, and what compares as the plain type that it wraps or descends from."""
    ancestor: Any
    for ancestor in type.mro(kind):
        of_numpy = is_of_numpy(ancestor)
        if not of_numpy and ancestor not in PLAIN and ancestor not in WRAPPERS:
            continue
        if kind.__eq__ not in (ancestor.__eq__, *SAME_EQUALITY):
            break
        if of_numpy:
            return encode_numpy(value, kind, depth)
        if ancestor in WRAPPERS:
            plain = WRAPPERS[ancestor](value)
        elif ancestor is dict:
            plain = dict(dict.items(value))
        elif ancestor in SEQUENCES:
            plain = ancestor(ancestor.__iter__(value))
        else:
            plain = ancestor.__getnewargs__(value)[0]
        return ["u", kind.__name__, encode(plain, depth + 1)]
    return ["o", kind.__name__]


def is_of_numpy(kind: type) -> bool:
    """Say whether a class is one of numpy's own types of scalars and arrays."""
    # A class that was made in the candidate's bare namespace has no __module__.
    return str(getattr(kind, "__module__", None)).partition(".")[0] == "numpy" and hasattr(kind, "dtype")


def encode_numpy(value: Any, kind: type, depth: int) -> Any:
    """Encode a scalar or an array of numpy; items of other kinds, or masked, are equal to nothing."""
    numpy = sys.modules["numpy"]
    masked = hasattr(value, "mask") and numpy.any(value.mask)
    if masked or value.dtype.kind not in NUMPY_NUMBERS + NUMPY_OTHERS:
        return ["o", kind.__name__]
    array = numpy.asarray(value)
    if array.dtype.kind not in NUMPY_NUMBERS and isinstance(value, numpy.generic):  # a text
        return ["u", kind.__name__, encode(array.item(), depth + 1)]
    kind_of_items = array.dtype.str if array.dtype.kind in NUMPY_NUMBERS else "O"
    items = array.reshape(-1).tolist()
    if kind_of_items[1:] in ("f16", "c32"):  # Python has nothing as long: as text
        as_text = numpy.format_float_scientific
        plain = [[as_text(item.real), as_text(item.imag)] for item in items]
    else:
        plain = [encode(item, depth + 1) for item in items]
    encoded = ["n", kind_of_items, list(array.shape), plain]
    plain_kind = numpy.ndarray if isinstance(value, numpy.ndarray) else type(array[()])
    return encoded if kind is plain_kind else ["u", kind.__name__, encoded]


PLAIN: frozenset[Any] = frozenset({int, float, str, list, tuple, set, frozenset, dict})
SAME_EQUALITY: tuple[Any, ...] = (collections.Counter.__eq__, collections.OrderedDict.__eq__)
#: Compare as the plain value that these find in them.
WRAPPERS: dict[Any, Any] = {
    collections.UserList: lambda value: value.data,
    collections.UserString: lambda value: value.data,
    collections.abc.Mapping: lambda value: dict(value.items()),
    collections.abc.Set: set,
    types.MappingProxyType: lambda value: dict(value.items()),
    type({}.keys()): set,
    type({}.items()): set,
    memoryview: lambda value: value.tobytes() if (value.format, value.ndim) == ("B", 1) else object(),
}


def read_exactly(fd: int, size: int) -> bytes:
    """Read that many bytes, or fewer at the end of the stream."""
    parts = []
    while size > 0 and (part := os.read(fd, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(fd: int, kind: bytes, content: Any) -> None:
    """Write one frame: its kind (``v`` a value, ``e`` an end before the last one), four bytes of length, then JSON.

    Before the first call there is one without JSON, of the kind ``b``: from there on the time of calls is counted.
    """
    body = packed(content)
    frame = FRAME.pack(kind, len(body)) + body
    sent = os.write(fd, frame)
    while sent < len(frame):
        sent += os.write(fd, memoryview(frame)[sent:])


def packed(content: Any) -> bytes:
    """Return JSON whose characters stand as they are: two halves of one, as escapes, would be read as that one."""
    return TO_JSON(content).encode("utf-8", "surrogatepass")


TO_JSON, FRAME = json.JSONEncoder(ensure_ascii=False).encode, struct.Struct(">cI")


def limit_resources(limits: dict[str, int]) -> None:
    """Set soft and hard limits of this process and of what it forks."""
    wanted = {
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_STACK: limits["memory_bytes"],
        resource.RLIMIT_CPU: limits["cpu_s"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if CONTAINED:  # elsewhere it would count everything that this user runs
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for which, value in wanted.items():
        # A signal that has a name first, then the one that kills.
        spare = 1 if which == resource.RLIMIT_CPU else 0
        hard = resource.getrlimit(which)[1]
        new_hard = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
        resource.setrlimit(which, (min(value, new_hard), new_hard))


def describe(error: BaseException) -> dict[str, Any]:
    """Return an exception as data; its text is the candidate's own code, so it may raise as well."""
    try:
        text = str(error)[:300]
    except BaseException:  # noqa: BLE001 (hostile code; process 1 and the time limits stand behind this)
        text = ""
    return {"raised": type(error).__name__[:100], "text": text, "memory": isinstance(error, MemoryError)}


class Silent(io.StringIO):
    """Stand in for the standard streams, as evalplus has it: it swallows, and cannot be read."""

    def read(self, *_: Any) -> NoReturn:
        """Raise OSError: there is never anything to read."""
        raise OSError

    readline = readlines = read

    def readable(self) -> bool:
        """Say that it cannot be read."""
        return False


def set_guard() -> None:
    """Take away what evalplus takes away."""
    for module, names in GUARDED.items():
        for name in names.split():
            setattr(__import__(module), name, None)
    for module in ABSENT:
        sys.modules[module] = None  # type: ignore[assignment]


def read_message(requests: int) -> Any:
    """Read one message of the request."""
    (size,) = struct.unpack(">I", read_exactly(requests, 4))
    return json.loads(read_exactly(requests, size))


#: evalplus (0.3.1, its own command line) calls a function that much deeper: what recurses too deeply there does here.
DEEPER = 25


def call_deeper(frames: int, run: Callable[[], None]) -> None:
    """Call a function with that many more frames on the stack."""
    if frames > 1:
        call_deeper(frames - 1, run)
    else:
        run()


def join_new_keyring() -> None:
    """Leave the session's keyring for an empty one. Where it cannot be left, the kernel has none."""
    numbers = {"x86_64": 250, "aarch64": 219}
    join_session_keyring = 1
    if (number := numbers.get(os.uname().machine)) is not None:
        LIBC.syscall(number, join_session_keyring, None)


LIBC = ctypes.CDLL(None)


def be_candidate(requests: int, results: int) -> None:
    """Read one request, run it, and send what it returns. Whatever happens here is the candidate's own doing."""
    gc.disable()  # what is read here stays: the collector need not look at it, now or later
    request, inputs = read_message(requests), read_message(requests)
    os.close(requests)
    if request["tagged"]:
        inputs = untagged(["l", inputs])
    gc.freeze()
    gc.enable()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    limit_resources(request["limits"])
    set_guard()
    timer, prof, real = signal.setitimer, signal.ITIMER_PROF, signal.ITIMER_REAL
    wall_factor, clock, timed = request["wall_factor"], time.process_time, request["timed"]
    cpu_s: list[float] = []
    form = request["results"]
    try:
        # As evalplus' exec of a text: under the name <string>, and not under this file's own future imports.
        program = compile(request["code"], "<string>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        send(results, b"e", {"syntax": f"{type(error).__name__}: {error}"[:300]})
        return
    try:
        names: dict[str, Any] = {}
        sys.stdin = sys.stdout = sys.stderr = Silent()
        exec(program, names)  # noqa: S102 (this is what the sandbox is for)
        function = names[request["entry_point"]]
        os.write(results, FRAME.pack(b"b", 0))
        for arguments, cpu_limit_s in zip(inputs, request["cpu_limits_s"], strict=True):
            sys.stdin = sys.stdout = sys.stderr = Silent()
            # Nobody handles these two signals: they end the process, whatever the candidate catches.
            timer(real, cpu_limit_s * wall_factor)
            timer(prof, cpu_limit_s)
            if timed:
                began = clock()
                value = function(*arguments)
                cpu_s.append(clock() - began)
            else:
                value = function(*arguments)
            value = value if form == "value" else in_form(value, form)
            timer(prof, 0)
            timer(real, 0)
            send(results, b"v", encode_result(value))
        if timed:
            send(results, b"e", {"cpu_s": cpu_s})
    except BaseException as error:  # noqa: BLE001 (SystemExit and KeyboardInterrupt are failures too, as in evalplus)
        send(results, b"e", describe(error))
