"""Look a host up once, since a load must not measure the resolver, and anew where nothing is there."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Sequence
from typing import Any

_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


class Addresses:
    """The addresses of one host."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._found: Sequence[tuple[Any, ...]] | None = None  # as getaddrinfo has them

    async def connected(self) -> socket.socket:
        """Return a socket that is connected to the first address that takes us.

        Raises:
            OSError: the name has no address, no address takes us, or there is no free descriptor or port.
        """
        loop = asyncio.get_running_loop()
        if self._found is None:
            self._found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        failures: list[OSError] = []
        for family, kind, protocol, _, address in self._found:
            try:
                return await _connect(loop, socket.socket(family, kind, protocol), address)
            except OSError as error:
                failures.append(error)
        self._found = None  # it may have moved
        raise in_words(failures[0])  # a name without an address is an error of getaddrinfo


def in_words(error: OSError) -> OSError:
    """Return the same error, with its remedy where it is a limit of ours."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return OSError(error.errno, f"no file descriptor is free: raise the limit of {most} (ulimit -n)")
    if error.errno == errno.EADDRNOTAVAIL:
        return OSError(error.errno, "no local port is free (net.ipv4.ip_local_port_range)")
    if error.errno in _NOBODY_THERE:  # asyncio says of all of them that its call failed
        return OSError(error.errno, os.strerror(error.errno))
    return error


def raise_descriptor_limit() -> None:
    """Allow this process as many open files as it may have: each request in flight takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _connect(loop: asyncio.AbstractEventLoop, opened: socket.socket, address: Any) -> socket.socket:
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(opened, address)
    except BaseException:  # cancelled, too: the socket must not outlive it
        opened.close()
        raise
    return opened
