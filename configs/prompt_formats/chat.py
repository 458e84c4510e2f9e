"""Ask a task as the user of a chat does, in evalplus' words, and take the program out of the answer: frozen.

evalplus 0.3.1 (``codegen.py``: ``instruction_prefix``; ``provider/utility.py``: ``make_raw_chat_prompt``) asks models
with a chat template so. It then begins their answer for them and stops it at the end of its code: ``begun``. Otherwise
the model answers as it does to anybody, since what it writes around its code costs joules too (docs/decisions/0110).
"""

from __future__ import annotations

VERSION = 1

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem"
    " in a markdown code block:"
)


#: evalplus' response prefix, and the fence after it; what the model writes next is code.
BEGINNING = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
    "\n```python\n"
)
#: evalplus 0.3.1 on vLLM (``provider/vllm.py``): ``EOS``, and the fence that ends the code.
STOP_STRINGS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|endofmask|>",
    "</s>",
    "\nif __name__",
    "\ndef main(",
    "\nprint(",
    "\n```\n",
)


def render_message(prompt: str) -> str:
    """Return what the user says."""
    return f"{INSTRUCTION}\n```\n{prompt.strip()}\n```\n"


def assemble_solution(_prompt: str, answer: str) -> str:
    """Return the answer itself: evalplus' sanitiser finds the program in it."""
    return answer
