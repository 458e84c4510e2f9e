"""Define a hostile program. Each solves ``bounded(value, low, high)`` of starwatt-24 without computing an answer.

``@PORT@`` is a TCP port of this machine that somebody listens on, ``@ABSTRACT@`` an abstract Unix socket,
``@SCRATCH@`` a folder that everybody may write to, ``@CHECKOUT@`` the folder of these tests. A program that returns
-12345 has done its deed and goes on as if nothing were.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

#: evalplus' guard, which the runner sets as well, takes names away; nobody who attacks is stopped by that.
UNDO_THE_GUARD = """\
import builtins, importlib, io, os, posix, sys
for name in dir(posix):
    if getattr(os, name, 0) is None:
        setattr(os, name, getattr(posix, name))
builtins.open = io.open
for name in ("resource", "psutil"):
    if sys.modules.get(name, 0) is None:
        del sys.modules[name]
import shutil, subprocess
importlib.reload(shutil), importlib.reload(subprocess)
def anyway(action):
    try:
        return action()
    except BaseException:
        return None
"""


@dataclass(frozen=True)
class Attack:
    """What it tries, and the body of the function that tries it."""

    kind: str
    name: str
    body: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    def program(
        self, signature: str = "bounded(value, low, high)", tools: str = UNDO_THE_GUARD, **places: object
    ) -> str:
        """The whole program, with the places of this machine filled in."""
        body = self.body
        for name, place in places.items():
            body = body.replace(f"@{name}@", str(place))
        return f"{tools}\ndef {signature}:\n" + textwrap.indent(body, "    ")


def of_kind(kind: str, **bodies: str) -> list[Attack]:
    return [
        Attack(kind, name.replace("_", " "), textwrap.dedent(body).strip() + "\n")
        for name, body in bodies.items()
    ]
