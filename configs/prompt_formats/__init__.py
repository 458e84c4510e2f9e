"""Say how a task is asked and what of the answer is its program, by task and endpoint: frozen, each by its name.

Completions are only comparable when all of it is the same. What changes gets a new name beside the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from configs import prompt_format
from configs.datasets import Task
from configs.prompt_formats import chat, docstring

EndpointKind = Literal["completions", "chat"]

__all__ = ["EndpointKind", "PromptFormat", "format_of"]


@dataclass(frozen=True)
class PromptFormat:
    """One way of asking."""

    name: str
    """With its version."""
    stop: tuple[str, ...]
    """Strings that end an answer."""
    render: Callable[[str], str]
    """A task's prompt as the text that is sent: the prompt of a completion, or what the user of a chat says."""
    assemble: Callable[[str, str], str]
    """A task's prompt and the answer as a whole program, which evalplus' sanitiser then cuts to what is needed."""
    beginning: str = ""
    """Of a chat's answer: what the model is made to have said already."""


_FUNCTION = PromptFormat(
    f"function-{prompt_format.VERSION}",
    prompt_format.STOP_STRINGS,
    prompt_format.render_prompt,
    prompt_format.assemble_solution,
)
_DOCSTRING = PromptFormat(
    f"docstring-{docstring.VERSION}",
    docstring.STOP_STRINGS,
    docstring.render_prompt,
    docstring.assemble_solution,
)
_CHAT = PromptFormat(f"chat-{chat.VERSION}", (), chat.render_message, chat.assemble_solution)
_CHAT_BEGUN = PromptFormat(
    f"chat-begun-{chat.VERSION}",
    chat.STOP_STRINGS,
    chat.render_message,
    chat.assemble_solution,
    chat.BEGINNING,
)


def format_of(task: Task, endpoint: EndpointKind = "completions", *, begun: bool = False) -> PromptFormat:
    """Return the format of a task; prompts without tests are sent as they stand, with stop strings of their own.

    Args:
        task: what is asked.
        endpoint: which API.
        begun: by chat, whether the answer is begun for the model, as evalplus does.
    """
    if not task.has_tests:
        return PromptFormat("own", task.stop, str, chat.assemble_solution)
    if endpoint == "chat":
        return _CHAT_BEGUN if begun else _CHAT
    return _DOCSTRING if task.suite == "mbpp" else _FUNCTION
