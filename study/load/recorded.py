"""Prepare a load test that replays a recording with lengths, and say what came of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.accuracy.grades import completed
from configs.datasets import Dataset
from configs.loads import Load, Open
from configs.recordings import Recording
from loadgen.planning.payload import Endpoint
from loadgen.planning.recorded import with_lengths
from loadgen.spec import LoadSpec
from server.engines.remote import RemoteEngine
from starwatt_errors import EngineError, UsageError
from study.measure.one_request import goes_by_proxy
from study.measure.wording import with_wording, wording_words
from study.progress.display import tell


def prepared(spec: LoadSpec, key: str | None) -> LoadSpec:
    """Return the load, with what its prompts are made of where it replays a recording with lengths.

    Raises:
        UsageError: the server says how much context it has, and a request has more tokens.
    """
    recording = with_lengths(spec.load)
    if recording is None:
        return spec
    for remark in recording.remarks:
        tell(remark)
    limit = _context_of(spec, key)
    if limit is not None:
        refuse_beyond(recording, limit)
    spec = with_wording(spec, key)
    assert spec.wording is not None  # noqa: S101 -- with_wording has set it
    tell(wording_words(spec.wording))
    return spec


def refuse_beyond(recording: Recording, limit: int) -> None:
    """Raise UsageError where a request has no room in the server's context."""
    words = recording.beyond(limit)
    if words is not None:
        raise UsageError(
            f"--trace: {words} (max_model_len of the server): --most-tokens {limit} leaves them out"
        )


def _context_of(spec: LoadSpec, key: str | None) -> int | None:
    """Return the tokens of prompt and answer together; None where the server does not say."""
    root = Endpoint.parse(spec.url, spec.endpoint).root
    engine = RemoteEngine(root, spec.model, key, by_proxy=goes_by_proxy(spec.client))
    try:
        engine.wait_ready(0)
    except EngineError:
        return None
    return engine.served.max_model_len


LENGTH_COLUMNS = (
    "role",
    "status",
    "prompt_tokens",
    "output_tokens",
    "asked_prompt_tokens",
    "asked_output_tokens",
)


def lengths_kept(requests: pa.Table) -> dict[str, Any] | None:
    """Count the completed requests with other lengths than asked for, and by how much; None where none were asked for.

    ``largest`` is in tokens, of the server's count less what was asked; None where the server counts nothing.
    """
    done = completed(requests)
    if requests["asked_prompt_tokens"].null_count == len(requests):
        return None
    kept: dict[str, Any] = {}
    for name in ("prompt", "output"):
        apart = pc.drop_null(pc.subtract(done[f"{name}_tokens"], done[f"asked_{name}_tokens"])).to_pylist()
        kept[f"{name}s"] = {
            "counted": len(apart),
            "other": sum(difference != 0 for difference in apart),
            "largest": max(apart, key=abs, default=None),
        }
    return kept


def stand_in(load: Load, recording: Recording) -> Dataset:
    """Return what the manifest says was asked, in place of a data set: the file's name, and a digest of its lengths."""
    assert isinstance(load, Open) and load.trace is not None  # noqa: S101, PT018 -- it has a recording
    asked = [
        (lengths.prompt_tokens, lengths.output_tokens, lengths.block_ids)
        for lengths in recording.lengths or ()
    ]
    digest = hashlib.sha256(json.dumps([recording.offsets_ns, asked]).encode()).hexdigest()
    return Dataset(name=load.trace.name, sha256=digest, tasks=())
