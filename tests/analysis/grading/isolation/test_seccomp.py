"""The filter of system calls refuses what its list says, on both machines, and nothing that honest programs need."""

from __future__ import annotations

import errno
import platform
import re
import struct
from pathlib import Path

import pytest

from analysis.grading.isolation.sandbox import Job, Sandbox
from analysis.grading.isolation.seccomp import RULES, Rule, filter_program
from analysis.grading.isolation.traffic import Frame
from analysis.grading.values import decode

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = 0
I386, X32 = 0x40000003, 0x40000000
CLONE_NEWUSER, CLONE_THREAD = 0x10000000, 0x3D0F00


def refusal(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """The error that the filter answers a call with, 0 if it lets it pass: as the kernel runs it."""
    program = filter_program(machine)
    assert program is not None
    shown = struct.pack(
        "<iIQ6Q", number, architecture or MACHINES[machine], 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6]
    )
    steps = list(struct.iter_unpack("<HBBI", program))
    at = held = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            (held,) = struct.unpack_from("<I", shown, value)
        elif code == 0x06:
            return value & 0xFFFF if value >> 16 == 5 else ALLOWED
        else:
            holds = {0x15: held == value, 0x25: held > value, 0x45: bool(held & value)}[code]
            at += yes if holds else no


def number(rule: Rule, machine: str) -> int | None:
    return rule.x86_64 if machine == "x86_64" else rule.aarch64


def numbered(name: str, machine: str) -> int:
    rule_number = next(number(rule, machine) for rule in RULES if rule.name == name)
    assert rule_number is not None
    return rule_number


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_always_refused_is_refused_whatever_its_arguments(machine: str) -> None:
    always = [rule for rule in RULES if not (rule.only or rule.bits or rule.values)]
    assert len(always) > 80
    for rule in always:
        if (call := number(rule, machine)) is not None:
            assert refusal(machine, call, 1, 2, 3) == refusal(machine, call) == rule.error, rule.name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("socket", (1, 1), ALLOWED), ("socket", (2, 1), errno.EAFNOSUPPORT), ("socket", (40, 1), errno.EAFNOSUPPORT),
        ("socketpair", (1, 1), ALLOWED), ("socketpair", (16, 3), errno.EAFNOSUPPORT),
        ("clone", (CLONE_THREAD,), ALLOWED), ("clone", (17,), ALLOWED), ("clone", (CLONE_NEWUSER | 17,), errno.EPERM),
        ("clone", (0x8000 | 17,), errno.EPERM), ("clone3", (1 << 40, 88), errno.ENOSYS),
        ("keyctl", (1, 0), ALLOWED), ("keyctl", (1, 1 << 40), errno.EPERM), ("keyctl", (1, 5), errno.EPERM),
        ("keyctl", (11, 0), errno.EPERM),
        ("fcntl", (3, 4, 0o4000), ALLOWED), ("fcntl", (3, 6), ALLOWED), ("fcntl", (3, 1024), errno.EPERM),
        ("fcntl", (3, 1026), errno.EPERM),
        ("prlimit64", (0, 7), ALLOWED), ("prlimit64", (1, 7), errno.EPERM),
        ("setpriority", (0, 0, 5), ALLOWED), ("setpriority", (0, 1, 5), errno.EPERM),
        ("setpriority", (2, 0, 5), errno.EPERM),
        ("sched_setaffinity", (0, 8), ALLOWED), ("sched_setaffinity", (1, 8), errno.EPERM),
        ("ioprio_set", (1, 0, 4), ALLOWED), ("ioprio_set", (3, 0, 4), errno.EPERM), ("ioprio_set", (1, 1), errno.EPERM),
        ("prctl", (15, 0), ALLOWED), ("prctl", (22, 2), errno.EPERM),
        ("ioctl", (3, 0x5413), ALLOWED), ("ioctl", (3, 0x40086602), errno.EPERM),
    ],
)  # fmt: skip
def test_what_depends_on_arguments_is_refused_for_some_alone(
    machine: str, name: str, arguments: tuple[int, ...], error: int
) -> None:
    assert refusal(machine, numbered(name, machine), *arguments) == error


@pytest.mark.parametrize("machine", MACHINES)
def test_newer_calls_and_calls_of_other_machines_are_unknown(machine: str) -> None:
    assert refusal(machine, 456) == ALLOWED
    assert refusal(machine, 457) == refusal(machine, X32 + 1) == refusal(machine, -1) == errno.ENOSYS
    other = next(value for name, value in MACHINES.items() if name != machine)
    assert refusal(machine, 1, architecture=I386) == refusal(machine, 1, architecture=other) == errno.ENOSYS


def test_on_a_machine_whose_numbers_are_not_known_there_is_no_filter() -> None:
    assert filter_program("riscv64") is None


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    if not Path(header).is_file():
        pytest.skip("the kernel's headers are not here")
    text = Path(header).read_text()
    known = {name: int(at) for name, at in re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)\s*$", text, re.M)}
    assert {rule.name: number(rule, machine) for rule in RULES if rule.name in known} == {
        name: at for name, at in known.items() if name in {rule.name for rule in RULES}
    }


def only_frame(job: Job) -> Frame:
    frames: list[Frame] = []

    def take(frame: Frame) -> bool:
        frames.append(frame)
        return True

    with Sandbox() as sandbox:
        sandbox.run(job, take)
    (frame,) = frames
    return frame


HONEST = """
def everything(x):
    import asyncio, collections, ctypes, datetime, decimal, fcntl, mmap, os, posix, queue, random, select, signal
    import socket, sqlite3, statistics, tempfile, threading, time, zoneinfo, concurrent.futures
    import numpy
    posix.nice(1)
    posix.sched_setaffinity(0, posix.sched_getaffinity(0))
    done = [numpy.linalg.inv(numpy.eye(30)).sum(), numpy.fft.fft(numpy.ones(64)).real.sum()]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        done.append(sum(pool.map(abs, range(-3, 3))))
    async def later():
        await asyncio.sleep(0.001)
        return x
    done.append(asyncio.run(later()))
    with sqlite3.connect("/tmp/own.db") as database:
        done.append(database.execute("select 2 + 2").fetchone()[0])
        database.execute("create table t (a)")
    one, other = socket.socketpair()
    one.sendall(b"x")
    done.append(len(select.select([other], [], [], 1)[0]))
    child = posix.fork()
    if child == 0:
        posix.execv("/usr/bin/env", ["env", "true"])
    done.append(posix.waitpid(child, 0)[1])
    with mmap.mmap(-1, 4096) as room:
        done.append(len(room))
    return done
"""


@pytest.mark.usefixtures("sandbox")
def test_honest_programs_do_what_they_did() -> None:
    frame = only_frame(Job(HONEST, "everything", b"[[5]]", (10.0,)))
    assert frame.is_value, frame
    assert [float(value) for value in decode(frame.content)] == [30, 64, 9, 5, 4, 1, 0, 4096]


TRIED = """
def tried(calls):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for number, *arguments in calls:
        ctypes.set_errno(0)
        found.append([libc.syscall(number, *map(ctypes.c_long, arguments)), ctypes.get_errno()])
    return found
"""


@pytest.mark.skipif(platform.machine() not in MACHINES, reason="no filter here")
@pytest.mark.usefixtures("sandbox")
def test_the_kernel_refuses_them_inside() -> None:
    machine = platform.machine()
    rules = [
        rule for rule in RULES if number(rule, machine) is not None and not rule.values and not rule.bits
    ]
    calls = ", ".join(str([number(rule, machine), 77, 77, 77, 77, 77]) for rule in rules)
    answers = decode(only_frame(Job(TRIED, "tried", f"[[[{calls}]]]".encode(), (10.0,))).content)
    assert [
        (rule.name, answer) for rule, answer in zip(rules, answers, strict=True) if answer != [-1, rule.error]
    ] == []
