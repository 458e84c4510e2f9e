"""No child outlives its parent, and no grandchild its group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import psutil
import pytest

from server.process.spawn import group_alive, last_lines, spawn, stop_group
from tests.support.busy import PATIENCE_S

SLEEPER = "import time; time.sleep(600)"
FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(0, flush=True); time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""  # noqa: E501
LEAVING = f"""
import subprocess, sys
from server.process.spawn import spawn, stop_children
for code in ({FAMILY!r}, {STUBBORN!r}):
    child = spawn([sys.executable, "-c", code], stdout=subprocess.PIPE)
    print(child.pid, int(child.stdout.readline()), flush=True)
stop_children(grace_s=1)
print("left", flush=True)
sys.stdin.read()
"""
PARENT = f"""
import subprocess, sys, time
from server.process.spawn import spawn
child = spawn([sys.executable, "-c", {SLEEPER!r}], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("environment", [None, {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}])
def test_every_child_counts_boards_as_nvml_does(environment: dict[str, str] | None) -> None:
    ask = "import os; print(os.environ['CUDA_DEVICE_ORDER'])"
    process = spawn([sys.executable, "-c", ask], stdout=PIPE, environment=environment)
    assert process.communicate(timeout=PATIENCE_S)[0] == b"PCI_BUS_ID\n"
    stop_group(process, grace_s=5)


def test_stopping_a_group_ends_grandchildren_too() -> None:
    process = spawn([sys.executable, "-c", FAMILY], stdout=PIPE)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    assert group_alive(process.pid)
    stop_group(process, grace_s=10)
    assert gone(grandchild)
    assert not group_alive(process.pid)
    process.stdout.close()


def test_a_command_that_leaves_takes_every_child_and_their_groups_along() -> None:
    command = subprocess.Popen([sys.executable, "-c", LEAVING], stdin=PIPE, stdout=PIPE, text=True)
    assert command.stdout is not None
    *families, left = [command.stdout.readline() for _ in range(3)]
    still_there = [pid for family in families for pid in family.split() if not gone(int(pid))]
    command.communicate()
    assert (left, still_there, command.returncode) == ("left\n", [], 0)


def test_what_ignores_sigterm_is_killed_after_its_grace() -> None:
    process = spawn([sys.executable, "-c", STUBBORN], stdout=PIPE)
    assert process.stdout is not None
    printed = sorted(int(process.stdout.readline()) for _ in range(2))
    stop_group(process, grace_s=0.2)
    assert process.returncode == -signal.SIGKILL
    assert gone(printed[1])
    process.stdout.close()


def test_grandchildren_of_a_child_that_died_by_itself_are_ended() -> None:
    process = spawn([sys.executable, "-c", FAMILY], stdout=PIPE)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    process.kill()
    process.wait(timeout=PATIENCE_S)
    stop_group(process, grace_s=10)
    assert gone(grandchild)
    process.stdout.close()


def test_a_child_ends_when_its_parent_is_killed_outright() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert gone(child.pid)


def test_ctrl_c_on_the_terminal_does_not_reach_a_spawned_child() -> None:
    process = spawn([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    stop_group(process, grace_s=10)


def test_a_child_and_what_it_starts_run_on_the_cpus_they_were_given() -> None:
    cpu = min(os.sched_getaffinity(0))
    inner = "import os; print(os.sched_getaffinity(0))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    process = spawn([sys.executable, "-c", code], stdout=PIPE, cpus=(cpu,))
    said, _ = process.communicate()
    assert said.decode().strip() == f"{{{cpu}}}"


@pytest.mark.parametrize(
    ("content", "shown"), [(b"a\nb\nc\n", "  b\n  c"), (b"", "  (it printed nothing)"), (b"\xff", "  \ufffd")]
)
def test_the_last_lines_of_a_log_are_shown_whatever_it_holds(
    tmp_path: Path, content: bytes, shown: str
) -> None:
    (tmp_path / "log").write_bytes(content)
    assert last_lines(tmp_path / "log", 2) == shown
    assert last_lines(tmp_path / "none", 2) == "  (it printed nothing)"
