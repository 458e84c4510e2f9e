"""HTTPS: with a certificate that is trusted, and with those that are not."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from starwatt_errors import LoadError
from tests.support.driving import TASKS, closed, constant, drive, make_spec
from tests.support.server import Answer, TruthServer

CLIENTS = ("auto", "httptools", "aiohttp")


def certified(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for an IP address, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "starwatt test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return pem, context


@pytest.mark.parametrize("client", CLIENTS)
def test_a_load_over_https_is_a_load_and_carries_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    pem, context = certified(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(lambda _: Answer(tokens=3), tls=context) as server:
        driven = drive(make_spec(server.url, closed(2), client=client), tmp_path / "run", api_key="sk-1")
    assert [(row["status"], row["output_tokens"]) for row in driven.of("measured")] == [("ok", 3)] * TASKS
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer sk-1"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_a_certificate_that_does_not_hold_is_no_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, address: str, trusted: bool
) -> None:
    pem, context = certified(tmp_path, address)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(tls=context) as server:
        spec = make_spec(server.url, constant(100), client=client)
        with pytest.raises(LoadError, match=r"https://127\.0\.0\.1:\d+ cannot be reached: .*certificate"):
            drive(spec, tmp_path / "run")
    assert server.asked == []
