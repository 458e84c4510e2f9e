"""Temporary folders of servers are short enough for their sockets."""

from __future__ import annotations

import socket
import tempfile
import uuid
from pathlib import Path

import pytest

from server.process.guard import GUARD
from server.process.scratch import owned_folder


@pytest.mark.parametrize("length", [20, 45, 46, 47, 90, 200])
def test_a_servers_sockets_fit_however_long_the_path_of_temporary_files_is(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    wanted = Path(str(short).ljust(length, "x")[:length]) if length > len(str(short)) else short
    wanted.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(wanted))
    with owned_folder("engine", sockets=True) as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / str(uuid.uuid4())))  # what zmq calls those of vLLM
        assert (folder.parent == wanted) == (len(str(wanted)) <= 44)
    assert not folder.exists()
    for made in {wanted, short}:
        made.rmdir()


def test_what_has_no_sockets_stays_where_the_user_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / ("x" * 60)
    wanted.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(wanted))
    with GUARD.scratch("meter") as folder:
        assert folder.parent == wanted
