"""Addresses: every part of a good one, and words of ours for each kind of a bad one."""

from __future__ import annotations

import re

import pytest

from configs.addresses import Address, read_address, shown_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h", Address("http", "h", 80, "", "")),
        ("HTTPS://Gpu7.Example.:8000/v1/", Address("https", "gpu7.example.", 8000, "/v1/", "")),
        ("http://[2001:DB8::1]:9520/x?a=b c#d", Address("http", "2001:db8::1", 9520, "/x", "a=b%20c")),
        ("https://me:s%C3%A9@bücher.example/é", Address("https", "xn--bcher-kva.example", 443, "/%C3%A9", "", "me:sé")),
        ("http://a_service:08000", Address("http", "a_service", 8000, "", "")),
        ("http://h:/", Address("http", "h", 80, "/", "")),
    ],
)  # fmt: skip
def test_every_part_of_an_address_is_read(url: str, address: Address) -> None:
    assert read_address(url) == address
    assert read_address(address.url) == Address(
        address.scheme, address.host, address.port, address.path, address.query
    )


def test_an_address_without_a_scheme_has_the_one_that_is_usual_there() -> None:
    assert read_address("gpu7:8000", scheme="http") == read_address("http://gpu7:8000")
    with pytest.raises(ValueError, match="takes http"):
        read_address("gpu7:8000")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "takes http(s)://HOST:PORT, such as http://127.0.0.1:8000"),
        ("http://", "takes http(s)://HOST:PORT"),
        ("ftp://h", "takes http(s)://HOST:PORT"),
        ("http://me@", "takes http(s)://HOST:PORT"),
        ("http://h:0", "a port is a number from 1 to 65535, not 0"),
        ("http://h:65536", "a port is a number from 1 to 65535, not 65536"),
        ("http://h:-1", "a port is a number from 1 to 65535, not -1"),
        ("http://h:x", "a port is a number from 1 to 65535, not x"),
        ("http://h:٣", "a port is a number from 1 to 65535, not ٣"),
        ("http://h:" + "1" * 5000, "a port is a number from 1 to 65535"),
        ("http://h:1:2", "an IPv6 address stands in brackets"),
        ("http://[::1", "an IPv6 address stands in brackets"),
        ("http://::1", "an IPv6 address stands in brackets"),
        ("http://::1]", "an IPv6 address stands in brackets"),
        ("http://[::1]x", "an IPv6 address stands in brackets"),
        ("http://[::g]:1", "[::g] is no IPv6 address"),
        ("http://[127.0.0.1]", "[127.0.0.1] is no IPv6 address"),
        ("http://[]", "[] is no IPv6 address"),
        ("http://a b", "a host's name holds no blank"),
        ("http://a..b", "a..b is no host's name"),
        ("http://" + "a" * 64, "is no host's name"),
        ("http://" + "a." * 200, "is no host's name"),
        ("http://ü..b", "ü..b is no host's name"),
        ("http://a,b:1", "a,b is no host's name"),
        ("http://h\n:1", "holds a control character"),
        ("http://h/\x7f", "holds a control character"),
    ],
)  # fmt: skip
def test_each_kind_of_address_that_is_none_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        read_address(url)
    assert type(refused.value) is ValueError, "no message of Python's"


@pytest.mark.parametrize(
    "url", ["http://me:secret@h/x", "me:secret@h", "http://me:secret@h:x", "me:secret@[::1"]
)
def test_no_password_is_shown_even_of_an_address_that_is_none(url: str) -> None:
    said = [shown_url(url)]
    try:
        said.append(repr(read_address(url, scheme="http")))
    except ValueError as error:
        said.append(str(error))
    assert "secret" not in "".join(said)


def test_what_is_shown_stands_on_one_line() -> None:
    assert shown_url("http://h\n/x") == repr("http://h\n/x")
