"""A machine that cannot sandbox says why, and what helps; it never grades without."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.grading import sandbox_status
from analysis.grading.isolation.namespaces import explained, may_become
from tests.support.busy import PATIENCE_S


@pytest.mark.usefixtures("sandbox")
def test_a_sandbox_that_holds_is_reported_as_usable() -> None:
    status = sandbox_status()
    assert (status.ok, status.reason, status.remedy) == (True, "", "")
    assert "in sum" in status.note


def test_without_bubblewrap_the_line_that_installs_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    status = sandbox_status()
    assert not status.ok
    assert "not installed" in status.reason
    assert status.remedy == "apt-get install bubblewrap"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the unprivileged user who starts bubblewrap can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    ("file", "value", "remedy"),
    [
        (
            "sys/kernel/apparmor_restrict_unprivileged_userns",
            "1\n",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
        ("sys/user/max_user_namespaces", "0\n", "max_user_namespaces=10000"),
        ("self/status", "Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n", "seccomp=unconfined"),
    ],
)
def test_what_forbids_user_namespaces_is_named_with_its_remedy(
    file: str, value: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(value)
    reason, line = explained("bwrap: no", tmp_path)
    assert reason.startswith("bwrap: no (")
    assert remedy in line


def test_where_nothing_known_forbids_them_every_remedy_is_given(tmp_path: Path) -> None:
    reason, line = explained("bwrap: no", tmp_path)
    assert reason == "bwrap: no"
    assert all(words in line for words in ("apparmor", "seccomp=unconfined", "max_user_namespaces"))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            "bwrap: No permissions to create a new namespace, likely because the kernel does not allow it",
            "apparmor",
        ),
        ("bwrap: setting up uid map: Permission denied", "apparmor"),
        ("bwrap: Creating new namespace failed: Operation not permitted", "seccomp=unconfined"),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer"),
    ],
)
def test_what_bubblewrap_says_when_it_cannot_start_is_passed_on_with_a_remedy(
    words: str, remedy: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bwrap = open_folder / "bwrap"
    bwrap.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", str(open_folder))
    monkeypatch.setattr("analysis.grading.isolation.namespaces.obstacles", lambda _: [])
    status = sandbox_status()
    assert not status.ok
    assert words in status.reason
    assert remedy in status.remedy


@pytest.mark.parametrize(
    ("groups", "uids", "gids", "may"),
    [
        ("allow", "0 0 4294967295", "0 0 4294967295", True),
        ("allow", "0 1000 1\n1 100000 65536", "0 1000 1\n1 100000 65536", True),
        ("deny", "0 1000 1", "0 1000 1", False),
        ("allow", "0 0 1", "0 0 4294967295", False),
        ("allow", "0 0 65536", "0 0 1", False),
        ("deny", "0 0 65536", "0 0 65536", False),
    ],
)
def test_root_of_a_namespace_takes_another_user_where_there_is_one(
    groups: str, uids: str, gids: str, may: bool, tmp_path: Path
) -> None:
    (tmp_path / "self").mkdir()
    for name, text in (("setgroups", groups), ("uid_map", uids), ("gid_map", gids)):
        (tmp_path / "self" / name).write_text(text + "\n")
    assert may_become(61184, tmp_path) is may


_STATUS = """
from analysis.grading import sandbox_status
status = sandbox_status()
print("holds" if status.ok else f"{status.reason} ({status.remedy})")
"""


@pytest.mark.usefixtures("sandbox")
def test_root_of_a_namespace_with_one_user_has_a_sandbox() -> None:
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _STATUS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("no user namespaces for this user")
    assert done.stdout == "holds\n", done.stderr
