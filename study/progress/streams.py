"""Make standard output and standard error print on every terminal; what they cannot take ends in words."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO

_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def open_what_was_closed() -> None:
    """Put nothing in place of a standard stream that was closed before we were started, as ``>&-`` and some daemons do.

    Otherwise the next file that is opened would take its number, and what a child prints would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the least that is free, and so its own
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 -- as long as we run


def make_printable() -> None:
    """Print as its escape a character that the terminal's encoding lacks, or half of one in a file's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def in_words(error: OSError) -> str:
    """Say what the system refused, and why; an error of writing that names no file may be that of standard output."""
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(error.filename, str | bytes):  # else none, or the number of an open one
        return f"{os.fsdecode(error.filename)}: {reason}"
    if error.errno in _OF_WRITING:
        try:
            print(flush=True)  # noqa: T201 -- what failed was not kept, so that an empty line shows whether it was this
        except OSError:
            return f"standard output cannot be written: {reason}"
    return reason


def why_not_flushed() -> str | None:
    """Write what is still buffered; why the system does not take it, where it does not and somebody should know.

    That nobody reads any more (``| head``) is no reason. What fails is pointed at nothing, for the interpreter would
    try again when it ends, and fail with a traceback.
    """
    reasons = [_flushed(stream, name) for stream, name in ((sys.stdout, "output"), (sys.stderr, "error"))]
    return next(filter(None, reasons), None)


def _flushed(stream: TextIO | None, name: str) -> str | None:
    if stream is None:  # it was closed before we were started
        return None
    try:
        stream.flush()
    except BrokenPipeError:
        _point_at_nothing(stream)
    except (OSError, ValueError) as error:  # ValueError: it was closed
        _point_at_nothing(stream)
        return f"standard {name} cannot be written: {getattr(error, 'strerror', None) or error}"
    return None


def _point_at_nothing(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:  # noqa: PTH123 -- a device
        os.dup2(nothing.fileno(), stream.fileno())
