"""Read keys and tokens where a study says they are; never from a study file, never into a run."""

from __future__ import annotations

import os

from configs.files.text_files import read_text
from configs.remote import SecretSource
from loadgen.planning.payload import checked_key
from starwatt_errors import UsageError

KEY_VARIABLE = "STARWATT_API_KEY"


def read_secret(source: SecretSource | None, usual: str) -> str | None:
    """Return the secret of ``source``; where there is none, that of the environment variable ``usual``, if it is set.

    Raises:
        UsageError: the place that was named holds nothing, or what no header can carry.
    """
    if source is None:
        return checked_key(os.environ.get(usual), usual)
    if source.env is not None:
        secret = os.environ.get(source.env, "")
        where = f"the environment variable {source.env}"
    else:
        assert source.file is not None  # noqa: S101 -- configs/remote.py: one of the two
        where = str(source.file)
        try:
            secret = read_text(source.file.expanduser()).strip()
        except (UsageError, RuntimeError) as error:  # RuntimeError: ~ of a user that there is not
            raise UsageError(f"a key or token was to be read from it: {error}") from error
    if not secret or not secret.isprintable() or not secret.isascii():
        raise UsageError(f"{where} is to hold a key or token, and holds none that a header can carry")
    return secret


def api_key() -> str | None:
    """Return the key that servers are started with and that requests carry; by the environment alone.

    Raises:
        UsageError: no header can carry it.
    """
    return read_secret(None, KEY_VARIABLE)
