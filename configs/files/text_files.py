"""Read the text of a file that a person wrote: with a bound, and whatever is odd about it becomes a sentence."""

from __future__ import annotations

import codecs
import gzip
import io
import stat
import zlib
from pathlib import Path

from starwatt_errors import UsageError

CONFIG_BYTES = 2**18
"""The largest file of a study, a variant or an architecture."""
TABLE_BYTES = 2**26
"""The largest table of arrivals or lengths."""
PROMPTS_BYTES = 2**29
"""The largest file of prompts, unpacked."""


def own_path(named: str) -> Path:
    """Return a path that a person gave in the environment; ``~`` is the home folder, as in a shell.

    Raises:
        UsageError: it names the home of a user that there is not.
    """
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{named}: there is no such user, or no home folder") from error


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Read a regular file.

    Raises:
        UsageError: there is none, it cannot be read, it is no regular file (a pipe gives its content once, a device
            gives it for ever), or it is longer than ``most_bytes``.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UsageError(
                f"{path}: cannot be read: takes a file, which a pipe, a socket or a device is not"
            )
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name with a NUL in it
        raise UsageError(f"{str(path)!r}: cannot be read: no file has such a name") from error
    if len(raw) > most_bytes:
        raise UsageError(f"{path}: cannot be read: is longer than {most_bytes // 1024} KiB")
    return raw


def read_packed(path: Path, most_bytes: int) -> bytes:
    """Read a file, and unpack it where its name ends in .gz.

    Raises:
        UsageError: as ``read_bytes``, it is no gzip file or torn, or unpacked it is longer than ``most_bytes``.
    """
    raw = read_bytes(path, most_bytes)
    if path.suffix != ".gz":
        return raw
    try:
        with gzip.open(io.BytesIO(raw)) as file:
            unpacked = file.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be read: is no whole gzip file ({error})") from error
    if len(unpacked) > most_bytes:
        raise UsageError(f"{path}: cannot be read: is longer than {most_bytes // 1024} KiB when unpacked")
    return unpacked


def read_text(path: Path, most_bytes: int = CONFIG_BYTES) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Raises:
        UsageError: as ``read_bytes``, or it is no UTF-8 text (with its line).
    """
    return decoded(path, read_bytes(path, most_bytes))


def read_table(path: Path, most_bytes: int = TABLE_BYTES) -> str:
    """Return the text of a table or a log that a program wrote, unpacked where its name ends in .gz.

    It is UTF-8, or UTF-16 with its byte order mark, as PowerShell's > and Excel write.

    Raises:
        UsageError: as ``read_packed``, or it is no such text (with its line).
    """
    raw = read_packed(path, most_bytes)
    try:
        return raw.decode(encoding_of(raw))
    except UnicodeDecodeError:
        return decoded(path, raw)  # which says where


def encoding_of(raw: bytes) -> str:
    """Return UTF-16 for lines that begin with its byte order mark, UTF-8 for whatever else."""
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if marked and (b"\n\0" in raw or b"\0\n" in raw) else "utf-8-sig"


def decoded(path: Path, raw: bytes) -> str:
    """Return ``raw``, which ``path`` holds, as text.

    Raises:
        UsageError: it is no UTF-8 text.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}:{line}: is not UTF-8 text (byte 0x{raw[error.start]:02x}): save it as UTF-8"
        ) from error
