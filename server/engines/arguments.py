"""Check a variant's own engine arguments by vLLM's own parser before anything is built or started.

Importing vLLM takes seconds, so a process of its own answers, once for all variants of a study, and what vLLM takes is
remembered: by version, machine and arguments.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from pydantic import JsonValue

from server.engines.hardware import this_machine
from server.process.spawn import last_lines, spawn, stop_group
from starwatt_errors import EngineError, UsageError

_PATIENCE_S = 600.0
_LAST_LINES = 8
_STOP_S = 2.0
_TAKES = "takes"
_known: dict[str, str | None] = {}
"""Refusals by digest, null where there is none: what this process has asked."""


@dataclass(frozen=True)
class Asked:
    """A question to vLLM about its arguments."""

    args: Mapping[str, JsonValue]
    """The arguments that a variant has of its own."""
    flags: tuple[str, ...]
    """Its whole command line behind the checkpoint."""
    version: str
    """Of vLLM, with its distribution."""

    @property
    def digest(self) -> str:
        """Digest what the answer depends on."""
        text = json.dumps([asdict(self), repr(this_machine())], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def check_arguments(asked: Asked, name: str) -> None:
    """See that vLLM takes the arguments of the variant ``name``.

    Raises:
        UsageError: it does not; each that is wrong is named.
        EngineError: its parser did not answer.
    """
    ask_parser([asked])
    refusal = _known[asked.digest]
    if refusal is not None:
        raise UsageError(f"{name}: engine_args: {asked.version} does not take them: {refusal}")


def ask_parser(every: Iterable[Asked]) -> None:
    """Ask vLLM about all of these at once, but for what is known.

    Raises:
        EngineError: its parser did not answer.
    """
    new = {probe.digest: probe for probe in every if not _is_known(probe.digest)}
    if not new:
        return
    answers = _answers(list(new.values()))
    _known.update(zip(new, answers, strict=True))
    with suppress(OSError):  # a home that cannot be written: the next process asks again
        for digest in new:
            if _known[digest] is None:  # a refusal may be another one once something else is installed
                _remembered(digest).parent.mkdir(parents=True, exist_ok=True)
                _remembered(digest).touch()


def _is_known(digest: str) -> bool:
    if digest not in _known and _remembered(digest).exists():
        _known[digest] = None
    return digest in _known


def _remembered(digest: str) -> Path:
    return platformdirs.user_cache_path("starwatt") / "engine-args" / f"{digest}.{_TAKES}"


def _answers(every: list[Asked]) -> list[str | None]:
    with tempfile.TemporaryDirectory() as scratch:
        job, out, log = (Path(scratch) / name for name in ("job.json", "out.json", "log"))
        job.write_text(json.dumps([asdict(probe) for probe in every]), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "server.engines.argument_probe", str(job), str(out)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        with log.open("wb") as output:
            process = spawn(command, stdout=output, stderr=output, environment=environment)
        try:
            code = process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"vLLM's parser did not answer within {_PATIENCE_S:g} s") from error
        finally:
            stop_group(process, grace_s=_STOP_S)
        if code != 0:
            said = last_lines(log, _LAST_LINES)
            raise EngineError(f"vLLM's parser failed (exit code {code}); its last lines:\n{said}")
        answers: list[str | None] = json.loads(out.read_text(encoding="utf-8"))
        return answers
