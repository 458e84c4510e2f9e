"""Define how a task becomes a prompt, when generation stops, and how a completion becomes a program: frozen.

Completions are only comparable when all three are the same, so they live in one versioned place. Any change
here raises ``VERSION``, which is part of the grader's cache key.
"""

from __future__ import annotations

VERSION = 1

#: evalplus 0.3.1 for direct completion of HumanEval (``provider/utility.py``: ``EOS`` and
#: ``extra_eos_for_direct_completion``), and ``<file_sep>``, which StarCoder2 writes after a solution.
STOP_STRINGS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|endofmask|>",
    "</s>",
    "\nif __name__",
    "\ndef main(",
    "\nprint(",
    "\ndef ",
    "\nclass ",
    "\nimport ",
    "\nfrom ",
    "\nassert ",
    "<file_sep>",
)


def render_prompt(prompt: str) -> str:
    """Return the text that is sent to the model: the task's prompt without its trailing white space.

    In the tokenizers of code models the newline and the indentation of the next line form one token. A prompt
    that ends in a newline of its own takes that token away from the model, and its score falls to the floor.
    """
    return prompt.rstrip()


def assemble_solution(prompt: str, completion: str) -> str:
    """Return the whole program of a completion: the rendered prompt, then what the model wrote up to a stop string.

    A model that continues the rendered prompt begins with the newline itself. One that does not (a chat
    template, a server that strips) gets the newline that ``render_prompt`` took away. Nothing
    else is repaired.
    """
    body = truncate_at_stop(completion)
    newline = "" if body.lstrip(" \t\r").startswith("\n") else "\n"
    return render_prompt(prompt) + newline + body


def truncate_at_stop(completion: str, stops: tuple[str, ...] = STOP_STRINGS) -> str:
    """Return the completion up to the first of ``stops``, as a server that was given them returns it.

    Servers return the text without the stop string; generation of a fixed length runs past it.
    """
    ends = (completion.find(stop) for stop in stops)
    return completion[: min((end for end in ends if end >= 0), default=len(completion))]
