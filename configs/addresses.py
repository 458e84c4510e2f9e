"""Read the addresses of engines, meters and proxies; refuse them in words, and show them without a password."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_REST = re.compile(r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL)
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_LONGEST_NAME = 254
_MOST_DIGITS = 5
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?"


@dataclass(frozen=True)
class Address:
    """An http(s) URL in its parts, all of them ASCII."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """In lower case; an IPv6 address without its brackets."""
    port: int
    """The scheme's usual one where the URL names none."""
    path: str
    """Percent-encoded, with its slashes; empty where there is none."""
    query: str
    """Percent-encoded, without the question mark."""
    credentials: str | None = field(default=None, repr=False)
    """``user:password``, where the URL has them; never shown."""

    @property
    def url(self) -> str:
        """Return the whole again, without credentials."""
        place = authority(self.scheme, self.host, self.port)
        return f"{self.scheme}://{place}{self.path}{'?' if self.query else ''}{self.query}"


def read_address(url: str, *, scheme: str | None = None) -> Address:
    """Return the parts of ``url``; ``scheme`` is that of an address without one.

    Raises:
        ValueError: it is no http(s) URL; the message says what it takes, and shows no credentials.
    """
    if not url.isprintable():
        raise ValueError("holds a control character")
    parts = _matched(_PARTS, url)
    named = (parts["scheme"] or f"{scheme or ''}://").removesuffix("://").lower()
    user, at, place = parts["authority"].rpartition("@")
    if named not in PORTS or not place:
        raise ValueError("takes http(s)://HOST:PORT, such as http://127.0.0.1:8000")
    rest = _matched(_REST, parts["rest"])
    host, port = _host_and_port(place)
    return Address(
        scheme=named,
        host=host,
        port=PORTS[named] if port is None else port,
        path=quote(rest["path"], safe=_SAFE_IN_PATH),
        query=quote(rest["query"] or "", safe=_SAFE_IN_QUERY),
        credentials=unquote(user) if at else None,
    )


def checked_host(host: str) -> str:
    """Check a host as a flag names it: a name or an address; one of IPv6 without brackets, with its zone if it has one.

    Raises:
        ValueError: it is none.
    """
    if not host.isprintable():
        raise ValueError("holds a control character")
    if ":" in host:
        _ipv6(host.partition("%")[0])
    else:
        _name(host)
    return host


def authority(scheme: str, host: str, port: int) -> str:
    """Return host and port as the Host header has them: without the port that is usual."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port == PORTS[scheme] else f"{bracketed}:{port}"


def shown_url(url: str) -> str:
    """Return a URL as it may be printed and kept, or what should be one: on one line, without user and password."""
    parts = _matched(_PARTS, url)
    shown = f"{parts['scheme'] or ''}{parts['authority'].rpartition('@')[2]}{parts['rest']}"
    return shown if shown.isprintable() else repr(shown)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    assert match is not None  # noqa: S101 -- these take any text
    return match


def _host_and_port(place: str) -> tuple[str, int | None]:
    match = _PLACE.fullmatch(place)
    if match is None or (place.count(":") > 1 and not place.startswith("[")):
        raise ValueError("an IPv6 address stands in brackets: http://[::1]:8000")
    host, port = match["host"], match["port"]
    return (_ipv6(host[1:-1]) if host.startswith("[") else _name(host)), _port(port) if port else None


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, not {text}")
    return number


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise ValueError(f"[{text}] is no IPv6 address") from error


def _name(text: str) -> str:
    """Return a host's name, or an IPv4 address, as the resolver takes it."""
    try:
        name = (text if text.isascii() else text.encode("idna").decode()).lower()
    except UnicodeError as error:
        raise ValueError(f"{text} is no host's name") from error
    if not name:
        raise ValueError("takes a host's name or an address")
    if " " in name:
        raise ValueError("a host's name holds no blank")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"{text} is no host's name")
    return name
