"""Find the processes that a front forwards to: nginx or docker-proxy answers at an address, and another one computes.

A request that a front forwards is a connection with two ends on this machine, each in the table of its own network (a
container has one of its own). Who holds the other end, or listens where it was accepted, is who is asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc")
_ESTABLISHED, _LISTEN = "01", "0A"
_MOST_FRONTS = 3  # one behind the other
_FIRST = 1  # init holds sockets for others (systemd), and is everybody's parent

Address = tuple[str, int]


@dataclass(frozen=True)
class _Socket:
    local: Address
    remote: Address
    state: str
    inode: str


def forwarded_to(pid: int, proc: Path = PROC) -> frozenset[int]:
    """Find the processes here to which a process or its descendants have TCP connections open, over more fronts too.

    Empty where it has none, where they lead to other machines, or where the other end may not be looked at.
    """
    asked: set[int] = set()
    fronts = {pid}
    for _ in range(_MOST_FRONTS):
        trees = {pid for front in fronts for pid in _tree(front)}
        fronts = _at_the_other_end(trees, proc) - trees - asked
        if not fronts:
            break
        asked |= fronts
    return frozenset(asked)


def _at_the_other_end(pids: set[int], proc: Path) -> set[int]:
    """Find the processes that hold, or listen for, the other ends of the connections that these opened."""
    wanted = _opened_by(pids, proc)
    if not wanted:
        return set()
    return {
        pid for inhabitants in _by_network(proc).values() for pid in _answering(wanted, inhabitants, proc)
    }


def _opened_by(pids: set[int], proc: Path) -> set[tuple[Address, Address]]:
    """Find the connections that processes opened, as their other ends have them: local, then remote."""
    held = {inode for pid in pids for inode in _inodes(pid, proc)}
    opened: set[tuple[Address, Address]] = set()
    for table in {_network(pid, proc): _sockets(pid, proc) for pid in pids}.values():
        held_here = [socket for socket in table if socket.inode in held]
        served = {socket.local[1] for socket in held_here if socket.state == _LISTEN}
        connected = [socket for socket in held_here if socket.state == _ESTABLISHED]
        opened |= {(socket.remote, socket.local) for socket in connected if socket.local[1] not in served}
    return opened


def _answering(wanted: set[tuple[Address, Address]], inhabitants: Sequence[int], proc: Path) -> Iterator[int]:
    """Find who of one network holds one of these ends, or listens on its port."""
    table = _sockets(inhabitants[0], proc)
    connected = [socket for socket in table if socket.state == _ESTABLISHED]
    accepted = [socket for socket in connected if (socket.local, socket.remote) in wanted]
    if not accepted:
        return
    ports, ends = {socket.local[1] for socket in accepted}, {socket.inode for socket in accepted}
    listening = {socket.inode for socket in table if socket.state == _LISTEN and socket.local[1] in ports}
    for pid in inhabitants:
        holds = set(_inodes(pid, proc))
        if holds & ends or (holds & listening and pid != _FIRST):
            yield pid


def _tree(pid: int) -> Iterable[int]:
    with suppress(psutil.Error):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return ()


def _by_network(proc: Path) -> dict[str, list[int]]:
    """Processes that may be looked at, by the network that they are in."""
    by_network: dict[str, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit() and (network := _network(int(entry.name), proc)):
            by_network.setdefault(network, []).append(int(entry.name))
    return by_network


def _network(pid: int, proc: Path) -> str:
    with suppress(OSError):
        return str((proc / str(pid) / "ns" / "net").readlink())
    return ""


def _inodes(pid: int, proc: Path) -> Iterator[str]:
    """Yield the sockets that a process holds; none where it may not be looked at."""
    with suppress(OSError):
        for link in (proc / str(pid) / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                kind, _, inode = str(link.readlink()).partition(":")
                if kind == "socket":
                    yield inode.strip("[]")


def _sockets(pid: int, proc: Path) -> list[_Socket]:
    """Return the TCP sockets of a process's network."""
    sockets = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            lines = (proc / str(pid) / "net" / name).read_text(encoding="ascii").splitlines()[1:]
            words = [line.split() for line in lines]
            sockets += [
                _Socket(_address(fields[1]), _address(fields[2]), fields[3], fields[9])
                for fields in words
                if len(fields) > 9
            ]
    return sockets


def _address(text: str) -> Address:
    """Read ``0100007F:1F90``: an address in words whose bytes are turned; IPv4 within IPv6 is the same address."""
    host, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), int(port, 16)
