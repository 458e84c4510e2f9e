"""What a command leaves when it is killed is ended by the reaper, stopped processes and deaf children included."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from server.process.spawn import group_alive
from tests.server.process.test_spawn import FAMILY, SLEEPER, STUBBORN
from tests.support.busy import PATIENCE_S

RUNNER = """
import subprocess, sys, time
from server.process.guard import GUARD
from server.process.spawn import spawn, stop_group
{keep}
for code in sys.argv[1:]:
    child = spawn([sys.executable, "-c", code], stdout=subprocess.PIPE)
    print(child.pid, int(child.stdout.readline() or 0) if code != sys.argv[-1] else 0, flush=True)
print(GUARD.pid, flush=True)
{then}
time.sleep(600)
"""
REPLACED = "import server.process.guard; server.process.guard._AT_ONCE_S = 0.0"
"""However young it was."""
KILLED = "old = GUARD._process; old.kill(); old.wait()"


def started(*codes: str, keep: str = "", then: str = "") -> tuple[subprocess.Popen[str], list[int], int]:
    """A runner with these children (the last one prints nothing); the children's numbers, and the reaper's."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER.format(keep=keep, then=then), *codes], stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    children = [int(runner.stdout.readline().split()[0]) for _ in codes]
    return runner, children, int(runner.stdout.readline())


def gone(pids: list[int]) -> bool:
    """Whether their groups end, soon."""
    deadline = time.monotonic() + PATIENCE_S
    while any(group_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(group_alive(pid) for pid in pids)


def killed(runner: subprocess.Popen[str]) -> None:
    runner.kill()
    runner.wait()
    assert runner.stdout is not None
    runner.stdout.close()


def test_a_killed_runner_leaves_neither_deaf_nor_stopped_children() -> None:
    runner, children, reaper = started(FAMILY, STUBBORN, SLEEPER)
    psutil.Process(children[-1]).send_signal(signal.SIGSTOP)
    killed(runner)
    assert gone([*children, reaper])


def test_one_that_was_killed_itself_is_started_again_with_all_that_it_knew() -> None:
    again = f'{KILLED}; spawn([sys.executable, "-c", "pass"], stdout=-3)'
    runner, children, _ = started(STUBBORN, SLEEPER, then=f"{again}; print(GUARD.pid, flush=True)")
    assert runner.stdout is not None
    reaper = int(runner.stdout.readline())
    killed(runner)
    assert gone([*children, reaper])


def test_one_that_was_killed_is_replaced_though_no_child_is_started_any_more(tmp_path: Path) -> None:
    keep = (
        f"{REPLACED}\nimport tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "mine = GUARD.scratch('mine'); (mine.__enter__() / 'file').write_text('x')"
    )
    then = f"{KILLED}\nwhile GUARD.pid == old.pid: time.sleep(0.01)\nwith GUARD._lock: print(GUARD.pid, flush=True)"
    runner, children, first = started(STUBBORN, SLEEPER, keep=keep, then=then)
    assert runner.stdout is not None
    reaper = int(runner.stdout.readline())
    assert reaper != first
    killed(runner)
    assert gone([*children, reaper])
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_run_is_not_started_again_and_again() -> None:
    keep, then = (
        "import server.process.guard; server.process.guard._AT_ONCE_S = 1e9",
        f"{KILLED}; time.sleep(0.5)",
    )
    runner, _, _ = started(SLEEPER, keep=keep, then=f"{then}; print(GUARD.pid == old.pid, flush=True)")
    assert runner.stdout is not None
    assert runner.stdout.readline() == "True\n"
    killed(runner)


def test_a_lock_is_held_until_the_last_child_of_a_killed_runner_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    keep = f"import fcntl; lock = open({str(lock)!r}, 'w'); fcntl.flock(lock, 2); GUARD.keep(lock.fileno())"
    runner, [child, _], reaper = started(STUBBORN, SLEEPER, keep=keep)
    killed(runner)
    order = subprocess.run(["flock", str(lock), "true"], check=False, timeout=PATIENCE_S)  # noqa: S607 -- waits for it
    assert order.returncode == 0
    assert not group_alive(child)
    assert gone([reaper])


def test_temporary_files_go_with_what_wrote_them(tmp_path: Path) -> None:
    keep = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "mine = GUARD.scratch('mine'); (mine.__enter__() / 'file').write_text('x')\n"
        "with GUARD.scratch('ended') as ended: (ended / 'file').write_text('x')"
    )
    again = f'{KILLED}; spawn([sys.executable, "-c", "pass"], stdout=-3)'
    runner, children, _ = started(STUBBORN, SLEEPER, keep=keep, then=f"{again}; print(GUARD.pid, flush=True)")
    assert runner.stdout is not None
    reaper = int(runner.stdout.readline())
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["mine"]
    killed(runner)
    assert gone([*children, reaper])
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_owns_any_more_is_removed_and_nothing_else(tmp_path: Path) -> None:
    begin = (
        f"import tempfile, os; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from server.process.scratch import owned_folder\n"
        "mine = owned_folder('engine'); (mine.__enter__() / 'file').write_text('x'); print(flush=True)\n"
    )
    command = [sys.executable, "-c"]
    with subprocess.Popen(
        [*command, f"{begin}import time; time.sleep(600)"], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        subprocess.run(
            [*command, f"{begin}os._exit(0)"], check=True, timeout=PATIENCE_S
        )  # as when the power fails
        (tmp_path / "starwatt-my-run").mkdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / ".owner-holds-a-lock").touch()
        (tmp_path / "starwatt-engine-link").symlink_to(elsewhere)
        assert len(list(tmp_path.glob("starwatt-engine-????????"))) == 2
        subprocess.run(
            [
                *command,
                f"{begin.splitlines()[0]}; from server.process.scratch import remove_ownerless; remove_ownerless()",
            ],
            check=True,
            timeout=PATIENCE_S,
        )
        assert len(list(tmp_path.glob("starwatt-engine-????????"))) == 1
        assert (tmp_path / "starwatt-my-run").is_dir()
        assert (elsewhere / ".owner-holds-a-lock").is_file()
        owner.kill()
