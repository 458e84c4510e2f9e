"""The other end of the sidecar's service: requests over one connection, and the offset of its clock."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Self

from configs.addresses import read_address, shown_url
from starwatt_errors import MeterError, UsageError
from traces.clock import now_ns
from traces.remote import PowerClock, Told

EXCHANGES = 50
_TIMEOUT_S = 10.0
_STARTING_S = 60.0
_LONGEST_ANSWER = 16 << 20


class MeterUnreachableError(MeterError):
    """Nothing answered, or not in time: it may do so later."""


class ServiceClient:
    """One connection, opened anew where it was lost. Not thread-safe."""

    def __init__(self, url: str, token: str) -> None:
        """Raises UsageError where ``url`` is none."""
        shown = shown_url(url)
        if not (token.isascii() and token.isprintable()):
            raise UsageError(
                "STARWATT_METER_TOKEN: takes ASCII characters that can be printed: no header can carry it"
            )
        try:
            address = read_address(url)
        except ValueError as error:
            raise UsageError(
                f"--meter {shown}: takes local, or the URL of a `starwatt meter --serve`: {error}"
            ) from error
        if address.query or address.credentials is not None:
            raise UsageError(
                f"--meter {shown}: takes local, or http(s)://HOST:PORT of `starwatt meter --serve`"
            )
        self.url, self._path = url, address.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection: http.client.HTTPConnection
        if address.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(address.host, address.port, timeout=_TIMEOUT_S)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object that it answers.

        Raises:
            MeterUnreachableError: nothing answers there.
            MeterError: it refuses, in its own words, or is no such service.
        """
        answer = self.fetch(method, path, body)
        try:
            answered = json.loads(answer)
        except ValueError as error:
            raise self.is_no_service() from error
        if not isinstance(answered, dict):
            raise self.is_no_service()
        return answered

    def is_no_service(self) -> MeterError:
        """Make the error that what answers there is something else."""
        return MeterError(f"--meter {self.url}: answers, but is no `starwatt meter --serve`")

    def fetch(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Return the bytes that it answers; errors as of ``ask``."""
        payload = None if body is None else json.dumps(body).encode()
        try:
            status, answer = self._exchange(method, path, payload)
        except ssl.SSLCertVerificationError as error:  # it answers, and time changes nothing
            self._connection.close()
            raise MeterError(
                f"--meter {self.url}: its certificate is not trusted: {error.verify_message}"
            ) from error
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            self._connection.close()
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise MeterUnreachableError(f"--meter {self.url}: cannot be reached: {words}") from error
        if status >= 300:
            raise MeterError(f"--meter {self.url}: {_refusal(status, answer)}")
        return answer

    def _exchange(self, method: str, path: str, payload: bytes | None) -> tuple[int, bytes]:
        """Status and body; once more on a new connection where a kept one had been closed in the meantime."""
        kept = self._connection.sock is not None
        try:
            self._connection.request(method, self._path + path, payload, self._headers)
            response = self._connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            self._connection.close()
            if not kept:
                raise
            self._connection.request(method, self._path + path, payload, self._headers)
            response = self._connection.getresponse()
        return response.status, response.read(_LONGEST_ANSWER)

    def patient(self) -> Self:
        """Wait longer for answers: opening meters and ending a recording take their time."""
        self._connection.timeout = _STARTING_S
        if self._connection.sock is not None:
            self._connection.sock.settimeout(_STARTING_S)
        return self

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure_clock(client: ServiceClient) -> PowerClock:
    """Measure the service's clock minus ours, by the quickest of ``EXCHANGES`` questions (as NTP does it)."""

    def ask() -> Told:
        told = client.ask("GET", "/v1/clock")
        had_ns = now_ns()
        try:
            return Told(str(told["boot_id"]), int(told["received_ns"]), int(told["sent_ns"]), had_ns)
        except (KeyError, TypeError, ValueError) as error:
            raise client.is_no_service() from error

    return PowerClock.measured(ask, EXCHANGES)


def _refusal(status: int, answer: bytes) -> str:
    if status == 401:
        return "refuses the token: STARWATT_METER_TOKEN must be the one that the service was started with, or printed"
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    words = told.get("error") if isinstance(told, dict) else None
    return str(words) if words else f"answers with HTTP status {status}"
