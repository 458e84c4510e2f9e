"""The bytes of each request: of a data set's tasks made before the load starts, of a recording's when one is due."""

from __future__ import annotations

import json
from typing import Protocol

from configs.datasets import Task
from loadgen.planning.agenda import Asked, Item
from loadgen.planning.made_up import MadeUpText
from loadgen.planning.payload import Endpoint, body_of, forced, head_bytes, request_bytes
from loadgen.planning.recorded import RecordedRequest, with_lengths
from loadgen.spec import LoadSpec, Wording

_PLACE = "{text}"


class Requests(Protocol):
    """The bytes that are sent for each item of the agenda."""

    def of(self, item: Item) -> bytes:
        """Return head and body."""


def requests_of(endpoint: Endpoint, spec: LoadSpec, asked: Asked, api_key: str | None) -> Requests:
    """Return the requests of one load.

    Raises:
        UsageError: lengths are recorded, but not of a task; or no header can carry the key.
    """
    recording = with_lengths(spec.load)
    if recording is None:
        return _Prepared(
            {
                task.task_id: request_bytes(endpoint, spec, task, api_key)
                for task in asked
                if isinstance(task, Task)
            }
        )
    key = (spec.seed, spec.block, spec.load.slug)
    text = MadeUpText(spec.wording or Wording(), recording.block_tokens, *key)
    return _MadeUp(endpoint, spec, text, api_key)


class _Prepared:
    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def of(self, item: Item) -> bytes:
        return self._contents[item.task.task_id]


class _MadeUp:
    """Joins a prompt, some microseconds a thousand tokens, when it is due: all of a recording's would fill a memory."""

    def __init__(self, endpoint: Endpoint, spec: LoadSpec, text: MadeUpText, api_key: str | None) -> None:
        self._endpoint, self._spec, self._text, self._api_key = endpoint, spec, text, api_key
        head_bytes(endpoint, 0, api_key)  # raises now, and not when the first is due

    def of(self, item: Item) -> bytes:
        request = item.task
        assert isinstance(request, RecordedRequest)  # noqa: S101 -- its load replays a recording
        round_ = ("warmup" if item.role == "warmup" else "measured", item.sample)
        text = self._text.text(request.number, round_, request.lengths)
        body = json.dumps(body_of(self._spec, _PLACE) | forced(self._spec, request.lengths.output_tokens))
        before, _, behind = body.encode().partition(_PLACE.encode())
        content = b"".join((before, text, behind))  # words and blanks are their own JSON
        return head_bytes(self._endpoint, len(content), self._api_key) + content
