"""Ask a task whose prompt is a docstring, which a base model continues with the whole function: MBPP+. Frozen."""

from __future__ import annotations

from configs.prompt_format import truncate_at_stop

VERSION = 1

#: evalplus 0.3.1 for direct completion of MBPP (``provider/utility.py``: ``EOS`` and
#: ``extra_eos_for_direct_completion``), and ``<file_sep>``, which StarCoder2 writes after a solution.
STOP_STRINGS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|endofmask|>",
    "</s>",
    "\nif __name__",
    "\ndef main(",
    "\nprint(",
    '\n"""',
    "\nassert",
    "<file_sep>",
)


def render_prompt(prompt: str) -> str:
    """Return the text that is sent, as evalplus has it (``codegen.py``): the docstring, and the end of its line.

    What follows is a statement of its own, so that no token spans the end of the prompt.
    """
    return prompt.strip() + "\n"


def assemble_solution(prompt: str, completion: str) -> str:
    """Return the whole program: the docstring, then what the model wrote up to a stop string."""
    return render_prompt(prompt) + truncate_at_stop(completion, STOP_STRINGS)
