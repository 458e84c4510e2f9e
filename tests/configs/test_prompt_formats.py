"""Tasks are asked in evalplus' words, and what of an answer is the program is what evalplus takes for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evalplus.provider.utility import EOS, extra_eos_for_direct_completion, make_raw_chat_prompt

from configs import prompt_format
from configs.datasets import Task, load_dataset
from configs.prompt_formats import format_of

FUNCTION = load_dataset("starwatt-24").tasks[0]
DOCSTRING = Task(
    "Mbpp/0", '"""\nAdd.\nassert add(1, 2) == 3\n"""\n', "add", "\ndef add(a, b):\n    return a + b\n",
    ([1, 2],), (), 0.0, suite="mbpp",
)  # fmt: skip
OWN = Task("own/0", "  say it \n", "", "", (), (), 0.0, stop=("END",))


class Template:
    """A tokenizer that shows what the user of a chat says."""

    chat_template = "any"

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return messages[0]["content"]


@pytest.mark.parametrize("task", [FUNCTION, DOCSTRING], ids=["function", "docstring"])
def test_the_user_of_a_chat_says_what_evalplus_says(task: Task) -> None:
    instruction = (
        "Please provide a self-contained Python script that solves the following problem"
        " in a markdown code block:"
    )
    theirs = make_raw_chat_prompt(task.prompt, instruction, "", Template())
    asked = format_of(task, "chat")
    assert asked.render(task.prompt) == theirs
    assert (asked.name, asked.stop) == ("chat-1", ())
    assert asked.assemble(task.prompt, "Sure.\n```python\nx = 1\n```\n") == "Sure.\n```python\nx = 1\n```\n"


def test_an_answer_is_begun_and_ended_as_evalplus_does() -> None:
    begun = format_of(DOCSTRING, "chat", begun=True)
    prefix = (
        "Below is a Python script with a self-contained function that solves the problem and passes corresponding"
        " tests:"
    )
    said: list[str] = []

    class Listening(Template):
        def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
            said.append(messages[1]["content"])
            return messages[1]["content"]

    assert make_raw_chat_prompt(DOCSTRING.prompt, "any", prefix, Listening()) == begun.beginning
    assert set(begun.stop) == {*EOS, "\n```\n"}
    assert begun.name == "chat-begun-1"
    assert format_of(DOCSTRING, begun=True).beginning == ""


def test_a_docstring_is_completed_as_evalplus_has_it() -> None:
    asked = format_of(DOCSTRING)
    assert asked.name == "docstring-1"
    assert asked.render(DOCSTRING.prompt) == DOCSTRING.prompt.strip() + "\n"
    assert set(asked.stop) == {*EOS, *extra_eos_for_direct_completion("mbpp"), "<file_sep>"}
    answer = f'{DOCSTRING.canonical_solution}\nassert add(1, 2) == 3\n"""'
    program = asked.assemble(DOCSTRING.prompt, answer)
    assert program == DOCSTRING.prompt + DOCSTRING.canonical_solution
    compile(program, "mbpp", "exec")


def test_a_function_is_completed_as_it_was() -> None:
    asked = format_of(FUNCTION)
    assert (asked.name, asked.stop) == (f"function-{prompt_format.VERSION}", prompt_format.STOP_STRINGS)
    assert asked.render(FUNCTION.prompt) == prompt_format.render_prompt(FUNCTION.prompt)
    assert asked.assemble(FUNCTION.prompt, "\n    return 1\ndef g(") == prompt_format.assemble_solution(
        FUNCTION.prompt, "\n    return 1\ndef g("
    )


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_a_prompt_without_tests_is_sent_as_it_stands(endpoint: Any) -> None:
    asked = format_of(OWN, endpoint)
    assert asked.render(OWN.prompt) == OWN.prompt
    assert asked.stop == ("END",)
    assert format_of(replace(OWN, stop=()), endpoint).stop == ()
