"""Chats for models that are made here: a template, and what such a model says to a task."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from configs.datasets import Task
from configs.prompt_formats.chat import render_message

END_OF_TURN = "<|im_end|>"
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Template:
    """A chat template, and the tokens that it takes."""

    text: str
    """In Jinja."""
    tokens: tuple[str, ...]
    """Of the vocabulary, each one token."""


TEMPLATES = {"chatml": Template(_CHATML, ("<|im_start|>", END_OF_TURN))}
"""ChatML is Qwen's."""


def render_chat(task: Task, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return what a server makes of a task that the user asks, by the tokenizer's template."""
    turn = {"role": "user", "content": render_message(task.prompt)}
    text: str = tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
    return text


def render_answer(task: Task) -> str:
    """Render an answer as models give it: words, and the program in a fence, without what the user has sent."""
    tree = ast.parse(task.prompt + task.canonical_solution)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None and len(node.body) > 1:
            del node.body[0]
    return f"Here is a solution:\n\n```python\n{ast.unparse(tree)}\n```\n"
