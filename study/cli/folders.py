"""Folders that are named on the command line, to be written into."""

from __future__ import annotations

from pathlib import Path

from starwatt_errors import StarwattError, UsageError


def make_folder(flag: str, folder: Path) -> None:
    """Make a folder where it is not there.

    Raises:
        UsageError: it is a file, or lies in one.
        StarwattError: the system does not let it be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{flag} {folder}: takes a folder, and a file is in its place") from error
    except OSError as error:
        raise StarwattError(f"{flag} {folder}: cannot be made: {error.strerror}") from error
