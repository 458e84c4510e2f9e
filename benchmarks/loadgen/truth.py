"""The server with known timing: compiled, started on a CPU of its own, and asked for the truth at its end."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SOURCE = Path(__file__).parent / "truth_server.c"
_WAIT_S = 20

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """What the server did, in order of arrival; times in nanoseconds of ``CLOCK_MONOTONIC``. Whole answers only."""

    arrival_ns: Times
    first_token_ns: Times
    last_token_ns: Times
    tokens: Times

    @property
    def ttft_ns(self) -> Times:
        """From the request's last byte to the first token."""
        return self.first_token_ns - self.arrival_ns

    @property
    def itl_ns(self) -> float:
        """Mean gap between the tokens of an answer."""
        return float(np.mean((self.last_token_ns - self.first_token_ns) / (self.tokens - 1)))

    def part(self, skip: int, count: int) -> Truth:
        """Those of ``count`` requests after the first ``skip``."""
        chosen = slice(skip, skip + count)
        return Truth(
            self.arrival_ns[chosen],
            self.first_token_ns[chosen],
            self.last_token_ns[chosen],
            self.tokens[chosen],
        )


def compile_server(folder: Path, *, tls: bool = False) -> Path:
    """The server's binary; one that speaks TLS takes OpenSSL's headers.

    Raises:
        FileNotFoundError: there is no ``cc``.
        subprocess.CalledProcessError: it does not compile.
    """
    binary = folder / ("truth_server_tls" if tls else "truth_server")
    kind, libraries = (["-DTLS"], ["-lssl", "-lcrypto"]) if tls else ([], [])
    command = ["cc", "-O2", *kind, "-o", str(binary), str(_SOURCE), *libraries]
    subprocess.run(command, check=True, timeout=120)
    return binary


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "truth server")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=1),
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    pem = folder / "truth.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return pem


class TruthServer:
    """Use as a context manager; ``truth`` is there afterwards. Options are those of ``truth_server.c``."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        options: Mapping[str, float],
        *,
        cpu: int | None = None,
        pem: Path | None = None,
    ) -> None:
        """With ``pem``, ``binary`` is one that speaks TLS."""
        self._file = folder / "truth.csv"
        pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
        flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        flags += [] if pem is None else ["--certificate", str(pem)]
        self._scheme = "http" if pem is None else "https"
        self._command = [*pinned, str(binary), str(self._file), *flags]
        self.port = 0

    @property
    def url(self) -> str:
        """Without /v1."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().removeprefix("port "))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=_WAIT_S)

    @property
    def truth(self) -> Truth:
        """All whole answers."""
        with self._file.open(encoding="ascii") as file:
            rows = [[int(value) for value in row] for row in list(csv.reader(file))[1:]]
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        whole = table[table[:, 3] == table[:, 3].max(initial=0)]
        whole = whole[np.argsort(whole[:, 0], kind="stable")]
        return Truth(*(whole[:, column] for column in range(4)))
