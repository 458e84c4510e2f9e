"""Find evalplus' data sets: what an environment variable names, what evalplus has fetched before, or fetches."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import socket
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from configs.datasets.rows import MbppRow, Row, read_rows
from configs.files.text_files import own_path
from starwatt_errors import UsageError

_DOWNLOAD_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class EvalplusFile:
    """One data set of evalplus 0.3.1."""

    name: str
    """What a study calls it."""
    suite: str
    """What evalplus calls it."""
    override: str
    """The environment variable that names its file."""
    kept: str
    """Its name in evalplus' cache folder."""
    release: str
    module: str
    ready: str
    """The function of that module that fetches it, and says where it is."""
    row: type[Row]

    @property
    def file_name(self) -> str:
        """Return its name in evalplus' releases."""
        return f"{self.kept.partition('-')[0]}.jsonl.gz"

    def find(self) -> Path | None:
        """Find it on this machine.

        Raises:
            UsageError: the variable names no file.
        """
        override = os.environ.get(self.override)
        if override:
            if not own_path(override).is_file():
                raise UsageError(
                    f"{self.override} is {override!r}, which is no file: it takes a {self.file_name}"
                )
            return own_path(override)
        kept = Path(platformdirs.user_cache_dir("evalplus"), self.kept)
        return kept if kept.is_file() else None

    def records(self) -> list[dict[str, Any]]:
        """Return its tasks as they stand in it, downloaded where it is not on this machine.

        Raises:
            UsageError: it cannot be read or downloaded; the message says what to set.
        """
        try:
            return read_rows(self.find() or self._download(), self.row)
        except (
            UsageError,
            ImportError,  # a load host has no evalplus
            OSError,
            EOFError,
            ValueError,
            zlib.error,
            http.client.HTTPException,
        ) as error:
            raise UsageError(
                f"cannot read the dataset {self.name} ({error}): set {self.override} to a "
                f"{self.file_name} of evalplus' release {self.release}, or go online once so that evalplus can "
                "download it into its cache"
            ) from error

    def _download(self) -> Path:
        """Let evalplus fetch it, in limited time and with its chatter off stdout; where it then is."""
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(self.module)  # slow

            # wget has no time limit of its own.
            before = getattr(module, self.override), socket.getdefaulttimeout()
            setattr(module, self.override, None)
            socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)
            try:
                return Path(getattr(module, self.ready)())
            finally:
                setattr(module, self.override, before[0])
                socket.setdefaulttimeout(before[1])


HUMAN_EVAL_PLUS = EvalplusFile(
    name="humaneval+", suite="humaneval", override="HUMANEVAL_OVERRIDE_PATH", kept="HumanEvalPlus-v0.1.10.jsonl",
    release="v0.1.10", module="evalplus.data.humaneval", ready="_ready_human_eval_plus_path", row=Row,
)  # fmt: skip
MBPP_PLUS = EvalplusFile(
    name="mbpp+", suite="mbpp", override="MBPP_OVERRIDE_PATH", kept="MbppPlus-v0.2.0.jsonl",
    release="v0.2.0", module="evalplus.data.mbpp", ready="_ready_mbpp_plus_path", row=MbppRow,
)  # fmt: skip
EVALPLUS_FILES = {file.name: file for file in (HUMAN_EVAL_PLUS, MBPP_PLUS)}
