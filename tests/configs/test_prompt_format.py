"""A prompt and its completion meet in the right place, and stop strings cut where evalplus cuts."""

from __future__ import annotations

import pytest
from evalplus.provider.utility import EOS, extra_eos_for_direct_completion

from configs.datasets import Task, load_dataset
from configs.prompt_format import STOP_STRINGS, assemble_solution, render_prompt, truncate_at_stop

TASKS = load_dataset("starwatt-24").tasks


def test_the_stop_strings_are_evalplus_own_and_the_separator_of_starcoder2() -> None:
    assert set(STOP_STRINGS) == {*EOS, *extra_eos_for_direct_completion("humaneval"), "<file_sep>"}
    assert len(STOP_STRINGS) == len(set(STOP_STRINGS))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
def test_a_rendered_prompt_ends_at_its_docstring_and_loses_nothing_else(task: Task) -> None:
    rendered = render_prompt(task.prompt)
    assert rendered.endswith('"""')
    assert rendered + "\n" == task.prompt


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
@pytest.mark.parametrize("newline", ["\n", "", "\n\n", " \n"])
def test_a_completion_compiles_whether_or_not_it_begins_with_the_newline(task: Task, newline: str) -> None:
    solution = assemble_solution(task.prompt, newline + task.canonical_solution)
    compile(solution, task.task_id, "exec")
    assert solution.endswith(task.canonical_solution)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
def test_no_canonical_solution_holds_a_stop_string(task: Task) -> None:
    assert truncate_at_stop("\n" + task.canonical_solution) == "\n" + task.canonical_solution


@pytest.mark.parametrize("stop", STOP_STRINGS)
def test_whatever_follows_a_stop_string_is_left_out(stop: str) -> None:
    assert truncate_at_stop(f"\n    return 1{stop}x{STOP_STRINGS[0]}") == "\n    return 1"


def test_the_first_stop_string_in_the_text_counts_not_the_first_in_the_list() -> None:
    assert truncate_at_stop("\n    return 1\nclass A:\n<|endoftext|>") == "\n    return 1"


def test_indentation_that_the_model_got_wrong_is_not_repaired() -> None:
    assert assemble_solution('def f():\n    """ d """\n', "return 1") == 'def f():\n    """ d """\nreturn 1'
