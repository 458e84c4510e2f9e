"""Ends what a command started when the command itself could not: it was killed, and no ``finally`` ran.

A process of its own, which does nothing but read a pipe whose other end the command holds. ``watch PID`` and
``forget PID`` are lines of that pipe; a child writes its ``watch`` itself between fork and exec, so that no kill finds
it unknown. When the pipe ends, the command has ended, however it did: every session that is still watched is asked to
end (SIGTERM), then made to (SIGKILL, which reaches a stopped process too); then every command that was named by
``afterwards JSON`` and not taken back by ``spare JSON`` is run to its end, and every folder that was named by
``sweep FOLDER`` and not taken back by ``swept FOLDER`` is removed. Files handed over at the start (the lock of
a run directory) stay open until then: the next runner finds it claimed for as long as an engine of the last one lives.

Started with ``python -I -S``: it takes the standard library alone, some milliseconds, and no part in what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

GRACE_S = 5.0
LONGEST_S = 120.0
"""So long may a command take that is run afterwards."""
_POLL_S = 0.02


def main() -> None:
    """Read until the pipe ends, then clear up."""
    for deaf_to in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(deaf_to, signal.SIG_IGN)
    watched: dict[int, str | None] = {}
    folders: set[str] = set()
    commands: dict[str, None] = {}
    with os.fdopen(0, "rb", closefd=False) as orders:
        for line in orders:
            order, _, what = os.fsdecode(line).strip().partition(" ")
            if order == "sweep":
                folders.add(what)
            elif order == "swept":
                folders.discard(what)
            elif order == "afterwards":
                commands[what] = None
            elif order == "spare":
                commands.pop(what, None)
            elif order == "watch" and what.isdigit():
                watched[int(what)] = _started(int(what))
            elif order == "forget" and what.isdigit():
                watched.pop(int(what), None)
    _end([leader for leader, started in watched.items() if _started(leader) in (started, None)])
    for command in commands:
        _run(command)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(sessions: list[int]) -> None:
    for leader in sessions:
        _signal(leader, signal.SIGTERM)
        _signal(leader, signal.SIGCONT)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and _members(sessions):
        if not any(_started(leader) for leader in sessions):
            break  # only their children are left, which nobody asked: their turn is now
        time.sleep(_POLL_S)
    pause_s = _POLL_S
    while members := _members(sessions):
        for member in members:
            _signal(member, signal.SIGKILL)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)  # one that waits for its device ends when the device lets it


def _run(order: str) -> None:
    """Run a command; where it cannot be, or takes too long, the next one has its turn."""
    import subprocess

    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        told = json.loads(order)
        subprocess.run(
            told["command"], cwd=told["cwd"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=LONGEST_S, check=False, start_new_session=True,
        )  # fmt: skip


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _members(sessions: list[int]) -> list[int]:
    """Processes of these sessions, but for zombies."""
    wanted = {str(leader) for leader in sessions}
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat(folder)
        if fields and fields[3] in wanted and fields[0] not in "ZX":
            members.append(int(folder.name))
    return members


def _started(pid: int) -> str | None:
    """Say when a process began, in the kernel's ticks; None where there is none, or a zombie."""
    fields = _stat(Path(f"/proc/{pid}"))
    return fields[19] if fields and fields[0] not in "ZX" else None


def _stat(folder: Path) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name, from the state on."""
    try:
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


if __name__ == "__main__":
    main()
