"""Where our verdicts differ from evalplus', as docs/sandbox.md lists them; evalplus itself is asked."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest
from evalplus.eval import PASS, untrusted_check

from analysis.grading.grader import Program, judge_programs
from analysis.grading.types import Verdict
from configs.datasets import Dataset, Task

TASK = Task("t/0", "def add(x, y):\n", "add", "    return x + y\n", ([2, 3], [0, 1]), ([5, 6],), 0.0)
DATASET = Dataset("own", "4" * 64, (TASK,))


def adding(before: str = "", inside: str = "", result: str = "x + y") -> str:
    """A right program but for what is done before, in it, or with its result."""
    return f"{before}\ndef add(x, y):\n    {inside or 'pass'}\n    return {result}\n"


_OWN_EQUALITY = "class {}({}):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n"

#: Programs that evalplus passes and we do not, by the words of the list in docs/sandbox.md.
PASS_THERE = {
    "catches its time limit": adding(
        "done = []",
        "if not done:\n        done.append(1)\n        try:\n            while True:\n                pass\n"
        "        except Exception:\n            pass",
    ),
    "Packages": adding("import evalplus"),
    "Packages: what describes them": adding("import importlib.metadata\nimportlib.metadata.version('numpy')"),
    "Packages: parts of the standard library": adding("import pydoc_data.topics"),
    "Memory": adding(inside="import mmap; held = mmap.mmap(-1, 2000 << 20)"),
    "Threads": adding(
        "import threading, time",
        "crew = [threading.Thread(target=time.sleep, args=(0.1,)) for _ in range(16)]\n"
        "    _ = [one.start() for one in crew], [one.join() for one in crew]",
    ),
    "equality of its own": adding(_OWN_EQUALITY.format("Equal", "int"), result="Equal(x + y)"),
    "equality of its own: of a wrapper": adding(
        "import collections\n" + _OWN_EQUALITY.format("Equal", "collections.UserList"),
        result="Equal([x + y])",
    ),
    "equality of its own: times of numpy": adding("import numpy", result="numpy.timedelta64(x + y)"),
    "equality of its own: iterators of numpy": adding("import numpy", result="numpy.array([x + y]).flat"),
    "takes away: a builtin": adding("import builtins\nbuiltins.isinstance = lambda *_: True"),
    "takes away: descriptors": adding("import os\nos.closerange(3, 99)"),
    "takes away: numpy": adding("import numpy, sys\ndel sys.modules['numpy']", result="numpy.int64(x + y)"),
    "the machine: its environment": adding("import os\nos.environ['PATH']"),
    "the machine: its users": adding("import getpass\ngetpass.getuser()"),
    "the machine: its names": adding("import socket\nsocket.gethostbyname('localhost')"),
    "the machine: its files": adding("import os\nassert os.path.exists('/etc/passwd')"),
    "the machine: its processes": adding("import os\nassert os.path.exists('/proc/self')"),
    "the machine: shared memory": adding("import multiprocessing\nmultiprocessing.Lock()"),
    "the machine: sockets of a network": adding("import socket\nsocket.socket().close()"),
    "the machine: locks of files": adding("import fcntl\nfcntl.flock(0, fcntl.LOCK_UN)"),
    "its own process: the order of sets": adding("import sys\nassert sys.flags.hash_randomization"),
}
#: Programs that we pass and evalplus does not.
PASS_HERE = {
    "sleeps": adding("import time\nslept = []", "slept or time.sleep(1.3) or slept.append(1)"),
    "its own process: its name": adding(
        "import multiprocessing\nassert multiprocessing.current_process().name == 'MainProcess'"
    ),
}


@pytest.fixture(scope="module")
def ours(sandbox: None) -> dict[str, Verdict]:
    """All of them, graded at once."""
    programs = {**PASS_THERE, **PASS_HERE}
    verdicts = judge_programs(DATASET, [Program("t/0", source) for source in programs.values()])
    return dict(zip(programs, verdicts, strict=True))


#: These are about the limit of a second; all others have as long as a busy machine takes.
TIMED = frozenset({"catches its time limit", "sleeps"})


@pytest.fixture(scope="module")
def apart() -> Iterator[Executor]:
    """A fresh process: a candidate of evalplus' begins with its parent's memory, and a limit on the whole."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        yield fresh


def evalplus_passes(name: str, program: str) -> bool:
    times = [0.1 if name in TIMED else 9.0] * 2
    status, _ = untrusted_check(
        "humaneval", program, [[2, 3], [0, 1]], "add", [5, 1], 0, times, fast_check=True
    )
    return bool(status == PASS)


@pytest.mark.parametrize("name", PASS_THERE)
def test_what_evalplus_passes_and_we_do_not_is_as_listed(
    name: str, ours: dict[str, Verdict], apart: Executor
) -> None:
    assert not ours[name].base
    assert apart.submit(evalplus_passes, name, PASS_THERE[name]).result()


@pytest.mark.parametrize("name", PASS_HERE)
def test_what_we_pass_and_evalplus_does_not_is_as_listed(
    name: str, ours: dict[str, Verdict], apart: Executor
) -> None:
    assert ours[name].plus, ours[name].detail
    assert not apart.submit(evalplus_passes, name, PASS_HERE[name]).result()


def test_a_limit_that_was_caught_is_a_timeout(ours: dict[str, Verdict]) -> None:
    assert ours["catches its time limit"].reason == "timeout"


@pytest.mark.usefixtures("sandbox")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the depth was measured on Python 3.11")
def test_a_recursion_fails_at_the_depth_at_which_it_does_under_evalplus_command_line() -> None:
    down = "def down(n):\n    return 0 if n == 0 else down(n - 1)"
    programs = [Program("t/0", adding(down, f"down({depth})")) for depth in (969, 970)]
    deepest, deeper = judge_programs(DATASET, programs)
    assert (deepest.plus, deepest.detail) == (True, "")
    assert "RecursionError" in deeper.detail
