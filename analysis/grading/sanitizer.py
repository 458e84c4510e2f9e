"""evalplus' sanitiser, run where candidates run: it parses what a model wrote, and parsers can be crashed.

evalplus 0.3.1 keeps the longest part of an answer that is Python, and of that the imports and the definitions that the
function needs (``evalplus/sanitize.py``). That very file runs here. Only its search for the longest part is replaced:
it tries every part, and takes seconds for an answer of 200 lines; ours tries the longest first and finds the same.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

from analysis.grading.isolation.sandbox import Job, Sandbox
from analysis.grading.isolation.traffic import Frame
from starwatt_errors import GradingError

_CPU_LIMIT_S = 20.0
_GLUE = '''
import ast, builtins, sys, types

def module(name, text="", **names):
    made = types.ModuleType(name)
    sys.modules[name] = made
    made.__dict__.update(names)
    exec(compile(text, name, "exec", dont_inherit=True), made.__dict__)
    return made

nothing = dict.fromkeys(
    ("get_human_eval_plus", "get_mbpp_plus", "load_solutions", "write_directory", "write_jsonl"))
module("tqdm", tqdm=None)
module("termcolor", colored=None)
module("evalplus")
module("evalplus.data", **nothing)
syntax_check = module("evalplus.syncheck", SYNCHECK).syntax_check
evalplus = module("evalplus.sanitize", SANITIZE)


def code_extract(text):
    """The part with the most lines that are not blank; of equal ones the first, as evalplus tries them."""
    lines = text.split("\\n")
    filled = [bool(line.strip()) for line in lines]
    before = [0]
    for one in filled:
        before.append(before[-1] + one)
    parts = {}
    for first in range(len(lines)):
        for last in range(first + 1, len(lines)):
            parts.setdefault(before[last + 1] - before[first], []).append((first, last))
    for size in sorted(parts, reverse=True):
        if size == 0:
            break
        for first, last in parts[size]:
            part = "\\n".join(lines[first : last + 1])
            if syntax_check(part):
                return part
    return lines[0]


evalplus.code_extract = code_extract


def sanitized(text, entry_point):
    """The sanitised text, and why the text as it was is no Python, or None."""
    try:
        compile(text, "<solution>", "exec", dont_inherit=True)
        problem = None
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"[:300]
    return [evalplus.sanitize(text, entry_point), problem]
'''


def sanitize(sandbox: Sandbox, program: str, entry_point: str) -> tuple[str, str | None]:
    """The sanitised program, and the syntax error of what was given, or None.

    A program on which the sanitiser fails, or is not done after 20 s of CPU time, stays as it is. Raises
    ``SandboxDiedError`` if the sandbox ended with it.
    """
    answers: list[Frame] = []

    def take(frame: Frame) -> bool:
        answers.append(frame)
        return False

    job = Job(
        code=_code(),
        entry_point="sanitized",
        inputs=json.dumps([[program, entry_point]]).encode(),
        cpu_limits_s=(_CPU_LIMIT_S,),
        output_bytes=(1 << 16) + 8 * len(program),
    )
    try:
        sandbox.run(job, take)
        if len(answers) == 1 and answers[0].is_value:
            _, (text, problem) = answers[0].content
            return str(text), None if problem is None else str(problem)
    except (ValueError, TypeError, RecursionError):
        pass
    return program, None


@cache
def _code() -> str:
    """Write what runs inside: evalplus' two files and what they need."""
    spec = importlib.util.find_spec("evalplus")
    if spec is None or spec.origin is None:
        raise GradingError("evalplus is not installed: `make setup` installs it")
    folder = Path(spec.origin).parent
    files = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ("sanitize", "syncheck")}
    return f"SANITIZE = {files['sanitize']!r}\nSYNCHECK = {files['syncheck']!r}\n{_GLUE}"
