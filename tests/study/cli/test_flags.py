"""What the command line has wrong is refused by its flag, before anything is built, and a script hears it as JSON."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from starwatt_errors import EngineError, StarwattError, UsageError
from study.cli.app import app
from tests.support.command import starwatt

OF_A_SERVICE = ("--host", "--port", "--certificate", "--key", "--allow-plain-http")
IN_SILENCE = {
    **{f"meter --out o {flag}": f"{flag} goes with --serve" for flag in OF_A_SERVICE},
    "meter --calibrate --key": "--key goes with --serve",
    "meter --out o --json": "--json goes with --calibrate or -- COMMAND",
    "meter --serve --json": "--json goes with --calibrate or -- COMMAND",
    "meter --out o --estimate": "--estimate goes with -- COMMAND",
    "meter --serve -- true": "--serve says nothing beside a COMMAND",
    "meter --serve --no-load": "--load/--no-load goes with --calibrate",
    "meter --calibrate --hz": "--hz goes with --out or --serve",
    "meter --calibrate --pid": "--pid goes with --out or --serve",
    "build --list --model": "--model goes with VARIANT",
}
VALUES = {
    "--host": "h",
    "--port": "1",
    "--certificate": "c",
    "--key": "k",
    "--hz": "1",
    "--pid": "1",
    "--model": "m",
}


@pytest.mark.parametrize(("words", "message"), IN_SILENCE.items(), ids=IN_SILENCE)
def test_a_flag_that_would_say_nothing_is_refused(words: str, message: str) -> None:
    arguments = words.split()
    value = VALUES.get(arguments[-1])
    refused = CliRunner().invoke(app, [*arguments, *([value] if value else [])]).exception
    assert isinstance(refused, UsageError)
    assert message in str(refused)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "--host '': takes a host's name or an address"),
        ("a\nb", r"--host 'a\nb': holds a control character"),
        ("a b", "--host a b: a host's name holds no blank"),
        ("::g", "--host ::g: [::g] is no IPv6 address"),
        ("192.0.2.1", "192.0.2.1:8000 cannot be listened on: Cannot assign"),  # of no machine (RFC 5737)
    ],
)
@pytest.mark.parametrize("command", [("serve", "bf16", "--model", "./nowhere"), ("meter", "--serve")])
def test_an_address_that_cannot_be_listened_on_is_refused_before_anything_else(
    command: tuple[str, ...], host: str, message: str
) -> None:
    refused = CliRunner().invoke(app, [*command, "--host", host]).exception
    assert isinstance(refused, StarwattError)
    assert "\n" not in str(refused)
    if command[0] == "meter" and host.startswith("192"):
        message = "--host 192.0.2.1 can be reached from other machines"
    assert message in str(refused)


def test_a_port_that_is_taken_is_known_before_anything_is_built() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = CliRunner().invoke(app, ["serve", "bf16", "--port", port]).exception
    assert isinstance(refused, EngineError)
    assert f"port {port} on 127.0.0.1 is in use" in str(refused)


@pytest.mark.parametrize("command", ["build", "serve"])
@pytest.mark.parametrize(
    ("model", "message"),
    [("", "takes an architecture, a folder"), ("./nowhere", "there is no folder ./nowhere")],
)
def test_what_is_wrong_with_a_model_is_said_of_its_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    place = ["--port", port] if command == "serve" else []
    refused = CliRunner().invoke(app, [command, "bf16", "--model", model, *place]).exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith(f"--model: {message}")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate, its key, and what people give in their place; ``none`` is not there."""
    folder = tmp_path_factory.mktemp("pem")
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "starwatt test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    contents = {
        "cert": certificate,
        "key": _written(key),
        "other": _written(other),
        "locked": _written(key, serialization.BestAvailableEncryption(b"abc")),
        "text": b"hello",
        "half": certificate[: len(certificate) // 2],
    }
    for kind, content in contents.items():
        (folder / f"{kind}.pem").write_bytes(content)
    return {kind: folder / f"{kind}.pem" for kind in (*contents, "none")}


def _written(
    key: ec.EllipticCurvePrivateKey,
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption(),  # noqa: B008 -- it has no state
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("cert", "other", "is not the key of this certificate"),
        ("cert", "locked", "has a password"),
        ("cert", "text", "--key {key}: holds no private key in PEM form"),
        ("text", "key", "--certificate {certificate}: holds no certificate in PEM form"),
        ("cert", "cert", "--key {key}: holds no private key"),
        ("half", "key", "--certificate {certificate}: is cut off"),
        ("none", "key", "--certificate {certificate}: No such file"),
        ("cert", "none", "--key {key}: No such file"),
    ],
)
def test_what_is_wrong_with_a_certificate_or_its_key_is_said_of_its_flag(
    pem: dict[str, Path], certificate: str, key: str, message: str
) -> None:
    arguments = ["meter", "--serve", "--certificate", str(pem[certificate]), "--key", str(pem[key])]
    refused = CliRunner().invoke(app, arguments).exception
    assert isinstance(refused, UsageError)
    assert message.format(certificate=pem[certificate], key=pem[key]) in str(refused)
    assert "_ssl.c" not in str(refused)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("load", "--seed", 2**32), "'--seed': takes a number up to 4294967295"),
        (("doctor", "--nope"), "No such option: --nope"),
        (("compare",), "Missing argument 'RUN RUN...'"),
        (("nope",), "No such command 'nope'"),
    ],
)
def test_a_script_hears_of_a_wrong_command_line_as_json(arguments: tuple[object, ...], message: str) -> None:
    done = starwatt(*arguments, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["exit_code"]) == (2, 2)
    assert message in said["error"]
    assert "Usage:" in done.stderr
