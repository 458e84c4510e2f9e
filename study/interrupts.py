"""Ctrl-C and SIGTERM end a command in order, wherever they strike.

Python can't raise a KeyboardInterrupt inside a fork hook or a destructor: it prints "Exception ignored" and continues,
and a study that starts processes all the time would now and then run on as if nobody had pressed Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

_AGAIN_S = 0.05
_struck = False


def install() -> None:
    """Let SIGTERM act as SIGINT does; an interrupt that could not be raised is raised again a moment later."""
    signal.signal(signal.SIGINT, _interrupt)  # also where a script started us with SIGINT ignored
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    report = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            report(unraisable)

    sys.unraisablehook = hook


def struck() -> bool:
    """Say whether an interrupt has come: an extension that is being imported makes an ImportError of it."""
    return _struck


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    global _struck  # noqa: PLW0603 -- signals are the process's
    _struck = True
    raise KeyboardInterrupt
