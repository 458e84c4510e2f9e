"""Why a machine forbids user namespaces to ordinary users, and the line that allows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Obstacle:
    """Hold what forbids namespaces, and what to do about it."""

    words: str
    remedy: str


# A file of the kernel below /proc/sys, the value that forbids, what that is, and the remedy.
_SETTINGS = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids user namespaces to programs without a profile (Ubuntu 23.10 and later)",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "the kernel forbids user namespaces to ordinary users (Debian's setting)",
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "no user namespaces are allowed on this machine",
        "sysctl user.max_user_namespaces=10000",
    ),
)
_EVERYTHING = (
    "allow unprivileged user namespaces: on Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, "
    "in Docker `--security-opt seccomp=unconfined`, elsewhere `sysctl user.max_user_namespaces=10000`"
)


def obstacles(proc: Path = Path("/proc")) -> list[Obstacle]:
    """Find everything on this machine that can be the reason; empty where nothing that we know of is."""
    there = [
        Obstacle(words, f"`{line}`")
        for name, value, words, line in _SETTINGS
        if _read(proc / "sys" / name).strip() == value
    ]
    if re.search(r"^Seccomp:\s*2$", _read(proc / "self" / "status"), re.MULTILINE):
        words = "a seccomp filter is set on this process, as Docker's, which forbids making namespaces"
        there.append(Obstacle(words, "in Docker `--security-opt seccomp=unconfined`"))
    return there


def explained(message: str, proc: Path = Path("/proc")) -> tuple[str, str]:
    """Explain what bubblewrap said by what is behind it here, and name the remedy."""
    there = obstacles(proc)
    if not there:
        return message, _EVERYTHING
    reasons = "; ".join(obstacle.words for obstacle in there)
    return f"{message} ({reasons})", " and ".join(obstacle.remedy for obstacle in there)


def may_become(user: int, proc: Path = Path("/proc")) -> bool:
    """Say whether root here may run a process as this user and group, without other groups.

    Root of a user namespace may not where the namespace has a single user, as ``unshare --map-root-user`` makes it.
    """
    if _read(proc / "self" / "setgroups").strip() == "deny":
        return False
    for name in ("uid_map", "gid_map"):
        # A line has the first id here, the first outside, and how many there are.
        ranges = [map(int, line.split()) for line in _read(proc / "self" / name).splitlines()]
        if not any(first <= user < first + count for first, _, count in ranges):
            return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # this kernel has no such setting
        return ""
