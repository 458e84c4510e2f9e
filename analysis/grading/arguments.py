"""The arguments of a task's calls as the sandbox takes them: JSON, or tagged where JSON has no such type."""

from __future__ import annotations

import json
from typing import Any

from analysis.grading.isolation.inner import encode
from configs.datasets import Task
from starwatt_errors import GradingError


def are_tagged(task: Task) -> bool:
    """Say whether the arguments are of types that JSON lacks: MBPP+ has tuples, sets and complex numbers."""
    return task.suite == "mbpp"


def encoded_arguments(task: Task, inputs: tuple[list[Any], ...]) -> bytes:
    """Return a JSON list of the inputs, each a list of arguments; tagged as ``inner.encode`` does where ``are_tagged``.

    Raises:
        GradingError: evalplus, which knows the types of MBPP+, is missing.
    """
    if not are_tagged(task):
        return json.dumps(inputs).encode()
    try:
        from evalplus.data.mbpp import mbpp_deserialize_inputs  # slow to import
    except ImportError as error:
        raise GradingError("evalplus is not installed: `make setup` installs it") from error
    typed = mbpp_deserialize_inputs(task.task_id, list(inputs))
    return json.dumps([encode(list(arguments)) for arguments in typed]).encode()
