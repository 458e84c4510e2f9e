"""A task as what the user of a chat says, in evalplus' words, and the program out of the answer: frozen.

evalplus 0.3.1 (``codegen.py``: ``instruction_prefix``; ``provider/utility.py``: ``make_raw_chat_prompt``) asks models
with a chat template so. It then begins their answer for them and stops it at the end of its code; here the model
answers as it does to anybody, since what it writes around its code costs joules too (docs/decisions/0110).
"""

from __future__ import annotations

VERSION = 1

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem"
    " in a markdown code block:"
)


def render_message(prompt: str) -> str:
    """What the user says."""
    return f"{INSTRUCTION}\n```\n{prompt.strip()}\n```\n"


def assemble_solution(_prompt: str, answer: str) -> str:
    """The answer itself: evalplus' sanitiser finds the program in it."""
    return answer
