"""Hostile programs win nothing, change nothing, leave nothing behind, and do not harm the next candidate."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.grading import Limits, grade_samples
from configs.datasets import load_dataset

DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]
QUICK = Limits(wall_factor=1.0)

# Each is the body of ``def bounded(value, low, high)``; none of them computes the answer.
ATTACKS = {
    "read a file of this machine": "return open('/etc/passwd').read()",
    "read the grader's own files": "return open('{here}').read()",
    "write where the grader can write": "open('{scratch}/written', 'w').write('x'); return 0",
    "write into the system": "open('/usr/lib/written', 'w').write('x'); return 0",
    "replace the interpreter": "open('/runtime/bin/python3', 'w').write('x'); return 0",
    "connect to a local server": "import socket; socket.create_connection(('127.0.0.1', {port}), 1); return 0",
    "read the environment": "import os; return dict(os.environ)",
    "fork bomb": "import os\n    while True:\n        os.fork()",
    "memory bomb": "return len([bytearray(1 << 26) for _ in range(10000)])",
    "memory bomb in a value": "return 'x' * (1 << 30)",
    "endless loop": "while True:\n        pass",
    "endless loop that catches everything": (
        "import signal\n    [signal.signal(s, signal.SIG_IGN) for s in range(1, 32) if s not in (9, 19)]\n"
        "    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass"
    ),
    "endless loop in C": "return sum(range(10 ** 14))",
    "sleep": "import time\n    time.sleep(10 ** 6)",
    "stop itself": "import os, signal\n    os.kill(os.getpid(), signal.SIGSTOP)",
    "endless printing": "while True:\n        print('x' * 10000, flush=True)",
    "endless results": (
        "import os\n    while True:\n        for fd in range(3, 9):\n            try:\n"
        "                os.write(fd, bytes(65536))\n            except OSError:\n                pass"
    ),
    "one result without end": (
        "import os\n    while True:\n        for fd in range(3, 9):\n            try:\n"
        "                os.write(fd, b'\\xff' * 65536)\n            except OSError:\n                pass"
    ),
    "leave successfully": "import sys\n    sys.exit(0)",
    "leave at once": "import os\n    os._exit(0)",
    "raise what is no Exception": "raise BaseException",
    "equal to everything": (
        "return type('A', (), dict(__eq__=lambda s, o: True, __ne__=lambda s, o: False, __hash__=lambda s: 0))()"
    ),
    "a number that is equal to everything": "return type('A', (int,), dict(__eq__=lambda s, o: True))(123456)",
    "a type that claims to be another": (
        "return type('M', (type,), dict(__eq__=lambda s, o: True, __hash__=lambda s: hash(int)))('A', (), {{}})()"
    ),
    "forged verdicts on every descriptor": (
        "import os\n    for fd in range(64):\n"
        '        for text in (b\'{{"why": "ended", "status": 0, "clean": true}}\\n\','
        " b'passed\\n',"
        " b'\\0\\0\\0\\x13' + b'{{\"verdict\":\"passed\"}}'):\n            try:\n"
        "                os.write(fd, text)\n            except OSError:\n                pass\n    os._exit(0)"
    ),
    "patched json": "import json\n    json.dumps = lambda *a, **k: '{{\"passed\": true}}'\n    return -12345",
    "patched builtins": (
        "import builtins, os\n    builtins.type = lambda x: int\n    builtins.len = lambda x: 0\n"
        "    builtins.isinstance = lambda *a: True\n    os._exit = lambda *a: None\n    return 'nothing'"
    ),
    "a pickle": "return type('P', (), dict(__reduce__=lambda s: (print, ('unpickled',))))()",
    "look for the answers in the frames": (
        "import gc, sys\n    frame, seen = sys._getframe(), []\n    while frame:\n"
        "        seen += list(frame.f_locals) + list(frame.f_globals)\n        frame = frame.f_back\n"
        "    return sorted(set(map(str, seen)))"
    ),
    "threads that outlive": (
        "import threading, time\n    threading.Thread(target=time.sleep, args=(1000,)).start()\n    return -12345"
    ),
    "a process that outlives": (
        "import os, time\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
        "            time.sleep(1000)\n        os._exit(0)\n    return -12345"
    ),
    "kill every process": "import os\n    os.kill(1, 9)\n    os.kill(-1, 9)\n    os.kill(os.getpid(), 9)",
    "write into process 1": "return open('/proc/1/mem', 'r+b').write(b'x')",
    "trace process 1": "import ctypes\n    return ctypes.CDLL(None).ptrace(16, 1, 0, 0) + 10 ** 9",
    "starve process 1": (
        "import resource\n    [resource.prlimit(1, r, (1 << 16, 1 << 16)) for r in (resource.RLIMIT_AS,"
        " resource.RLIMIT_DATA)]\n    return -12345"
    ),
    "starve process 1 of processor time": (
        "import resource\n    resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))\n    return -12345"
    ),
    "leave shared memory behind": "import ctypes\n    return ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) - 10 ** 9",
    "fill the disk": (
        "for n in range(1000):\n        open(f'/tmp/{{n}}', 'wb').write(b'x' * (1 << 20))\n    return -12345"
    ),
    "links and locked folders": (
        "import os\n    os.symlink('/usr', '/tmp/link')\n    os.makedirs('/tmp/a/b')\n    os.chmod('/tmp/a', 0)\n"
        "    return -12345"
    ),
    "close every descriptor": "import os\n    os.closerange(0, 100)\n    return -12345",
    "values that collide": "return {{n * (2 ** 61 - 1) for n in range(1, 20000)}}",
    "nested beyond every depth": "x = []\n    for _ in range(100000):\n        x = [x]\n    return x",
    "become root": "import os\n    os.setuid(0)\n    return 0",
    "a namespace of its own": "import ctypes\n    return ctypes.CDLL(None).unshare(0x10000000) - 10 ** 9",
}


def grade_sources(path: Path, sources: list[str], cache: Path) -> list[dict[str, Any]]:
    """Grade whole programs for the task in one sandbox, one after the other."""
    lines = [json.dumps({"task_id": TASK.task_id, "solution": source}) for source in sources]
    path.write_text("\n".join(lines))
    grades = grade_samples(path, DATASET, workers=1, cache_dir=cache, limits=QUICK)["grades"]
    assert isinstance(grades, list)
    return grades


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.usefixtures("sandbox")
def test_an_attack_fails_and_the_next_candidate_is_graded_as_ever(
    name: str,
    tmp_path: Path,
    answers_cache: Path,
    sandboxed_processes: Callable[[], set[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STARWATT_TEST_SECRET", "not-for-candidates")
    before = sandboxed_processes()
    tmp_path.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        body = ATTACKS[name].format(here=__file__, scratch=tmp_path, port=server.getsockname()[1])
        attack = f"def bounded(value, low, high):\n    {body}\n"
        honest = f"{TASK.prompt}{TASK.canonical_solution}# after: {name}\n"
        hostile, next_one = grade_sources(tmp_path / "samples.jsonl", [attack, honest], answers_cache)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert (hostile["base"], hostile["plus"]) == (False, False), hostile
    assert hostile["reason"] != "passed"
    assert "not-for-candidates" not in hostile["detail"]
    assert (next_one["base"], next_one["plus"]) == (True, True), next_one
    assert [path.name for path in tmp_path.iterdir()] == ["samples.jsonl"]
    assert not Path("/usr/lib/written").exists()
    deadline = time.monotonic() + 10
    while sandboxed_processes() - before and time.monotonic() < deadline:
        pass
    assert not sandboxed_processes() - before
