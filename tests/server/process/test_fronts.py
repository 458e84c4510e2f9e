"""Whoever a front forwards to is found by the two ends of its connections."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.process.fronts import forwarded_to
from tests.support.fronts import fronted

LOOPBACK = "0100007F:1F90"
MAPPED = "0000000000000000FFFF00000100007F:1F90"  # ::ffff:127.0.0.1
FROM = {LOOPBACK: "0100007F:C350", MAPPED: "0000000000000000FFFF00000100007F:C350"}


def test_the_engine_behind_two_fronts_is_found_while_it_is_asked() -> None:
    with fronted(2) as served:
        inner, outer = served.fronts
        assert forwarded_to(outer) == frozenset(), "nothing was forwarded yet"
        with served.ask():
            assert forwarded_to(outer) == {inner, served.engine}
            assert forwarded_to(inner) == {served.engine}
            assert forwarded_to(served.engine) == frozenset(), "it is asked, and asks nobody"


def test_a_process_that_has_ended_forwards_to_nobody() -> None:
    assert forwarded_to(4_194_001) == frozenset()


@pytest.mark.parametrize("at", [LOOPBACK, MAPPED])
def test_the_other_end_is_found_in_another_network_and_init_only_where_it_holds_the_connection(
    tmp_path: Path, at: str
) -> None:
    """A front and, in a container's network, an engine that took a listening socket over from process 1."""
    front, engine, held = os.getpid(), 70_002, {70_002: "33", 1: "44"}
    family = "tcp6" if at == MAPPED else "tcp"
    client = f"0: {FROM[LOOPBACK]} {LOOPBACK} 01 0:0 0:0 0 0 0 22\n"
    accepted = f"0: {at} {FROM[at]} 01 0:0 0:0 0 0 0 33\n1: {at} 00000000:0000 0A 0:0 0:0 0 0 0 44\n"
    for pid, network, table, name in (
        (front, "net:[1]", client, "tcp"), (engine, "net:[2]", accepted, family), (1, "net:[2]", accepted, family),
    ):  # fmt: skip
        process = tmp_path / str(pid)
        for folder in ("fd", "ns", "net"):
            (process / folder).mkdir(parents=True)
        (process / "ns" / "net").symlink_to(network)
        (process / "net" / name).write_text("sl local_address rem_address st\n" + table)
        (process / "fd" / "3").symlink_to(f"socket:[{held.get(pid, '22')}]")
    assert forwarded_to(front, tmp_path) == {engine}
