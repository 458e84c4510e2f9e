"""A certificate and its key for a service of ours; what is wrong with either is said by its flag."""

from __future__ import annotations

import ssl
from pathlib import Path

from starwatt_errors import UsageError

_MISMATCH = "KEY_VALUES_MISMATCH"


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server speaks TLS with.

    Raises:
        UsageError: a file cannot be read, or holds something else; or the key is another certificate's.
    """
    _expect(f"--certificate {certificate}", certificate, "CERTIFICATE", "certificate")
    _expect(f"--key {key}", key, "PRIVATE KEY", "private key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")  # it would ask on the terminal
    except ssl.SSLError as error:
        words = (
            "is not the key of this certificate" if error.reason == _MISMATCH else "one of both is damaged"
        )
        raise UsageError(f"--certificate {certificate}, --key {key}: {words}") from error
    return context


def _expect(flag: str, path: Path, mark: str, what: str) -> None:
    """Raise UsageError where a file holds no whole block of this kind."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise UsageError(f"{flag}: {error.strerror}") from error
    if f"{mark}-----" not in text:
        raise UsageError(f"{flag}: holds no {what} in PEM form (-----BEGIN {mark}-----)")
    if text.count("-----BEGIN") > text.count("-----END"):
        raise UsageError(f"{flag}: is cut off: a block has no end")
    if "ENCRYPTED" in text:
        raise UsageError(
            f"{flag}: has a password: write the key without one (openssl pkey -in FILE -out NEW)"
        )
