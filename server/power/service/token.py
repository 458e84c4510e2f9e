"""Draw or take the token of the sidecar's service, and name its variable, which is all that a client needs of it."""

from __future__ import annotations

import os
import secrets

from starwatt_errors import UsageError

TOKEN_VARIABLE = "STARWATT_METER_TOKEN"  # noqa: S105 -- its name, not its value
_SHORTEST_TOKEN = 16


def token_of_the_service() -> tuple[str, bool]:
    """Return the token that STARWATT_METER_TOKEN gives, or a new one that is drawn; and whether it was drawn.

    Raises:
        UsageError: the one that was given is too short to keep anyone out, or no header can carry it.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if not given:
        return secrets.token_urlsafe(32), True
    if len(given) < _SHORTEST_TOKEN or not (given.isascii() and given.isprintable()) or " " in given:
        raise UsageError(f"{TOKEN_VARIABLE}: takes {_SHORTEST_TOKEN} or more ASCII characters without spaces")
    return given, False
