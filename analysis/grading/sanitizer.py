"""evalplus' sanitiser, run where candidates run: it parses what a model wrote, and parsers can be crashed.

evalplus 0.3.1 keeps the longest part of an answer that is Python, and of that the imports and the definitions that the
function needs (``evalplus/sanitize.py``). That very file runs here. Only its search for the longest part is replaced:
it tries every part, and takes seconds for an answer of 200 lines; ours tries the longest first and finds the same.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from analysis.grading.isolation.sandbox import Job, Sandbox
from analysis.grading.isolation.traffic import Frame
from analysis.grading.types import Spans
from analysis.grading.values import decode
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


PARTS = {}


def code_extract(text):
    """As ``extracted``, once for each text."""
    if text not in PARTS:
        PARTS[text] = extracted(text)
    return PARTS[text][1]


def extracted(text):
    """Where it begins, and the part with the most lines that are not blank; of equal ones evalplus' first."""
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
                return sum(len(line) + 1 for line in lines[:first]), part
    return 0, lines[0]


evalplus.code_extract = code_extract


def kept(text, solution):
    """The spans of characters of the text that are in the solution, or None. evalplus joins whole statements.

    Where it has found no Python, what it gives is the first line: nothing of that is a solution.
    """
    start, code = PARTS[text]
    if not syntax_check(solution):
        return []
    if solution == code:
        return [[start, start + len(code)]]
    data, left, spans = code.encode(), solution.encode(), []
    parser = evalplus.Parser(evalplus.Language(evalplus.tree_sitter_python.language()))
    statements = parser.parse(data).root_node.children
    imports = [one for one in statements if one.type in evalplus.IMPORT_TYPE]
    others = [
        one.children[0] if one.type == evalplus.EXPRESSION_TYPE else one
        for one in statements
        if one.type in (evalplus.CLASS_TYPE, evalplus.FUNCTION_TYPE, evalplus.EXPRESSION_TYPE)
    ]
    for node in imports + others:
        piece = data[node.start_byte : node.end_byte]
        if piece and (left.startswith(piece + b"\\n") or left == piece.rstrip()):
            left = left[len(piece) + 1 :]
            spans.append([start + len(data[:end].decode()) for end in (node.start_byte, node.end_byte)])
    return None if left else sorted(spans)


def sanitized(text, entry_point):
    """The sanitised text, why the text as it was is no Python, or None, and the spans of it that were kept."""
    try:
        compile(text, "<solution>", "exec", dont_inherit=True)
        problem = None
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"[:300]
    solution = evalplus.sanitize(text, entry_point)
    try:
        spans = kept(text, solution)
    except Exception:  # what is not known of it must not change what is run
        spans = None
    return [solution, problem, spans]
'''


@dataclass(frozen=True)
class Sanitized:
    """A program as it is graded."""

    source: str
    problem: str | None = None
    """The syntax error of what was given, or None."""
    kept: Spans | None = None
    """Which characters of what was given are in it; None: not known."""


def sanitize(sandbox: Sandbox, program: str, entry_point: str) -> Sanitized:
    """Return the sanitised program.

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
            text, problem, kept = decode(answers[0].content)
            words = None if problem is None else str(problem)
            return Sanitized(str(text), words, _spans(kept, len(program)))
    except (ValueError, TypeError, RecursionError):
        pass
    return Sanitized(program)


def _spans(told: Any, length: int) -> Spans | None:
    """Spans within a text of that length, one after the other; None for anything else."""
    if told is None:
        return None
    spans = tuple((int(start), int(end)) for start, end in told)
    edges = [0, *(edge for span in spans for edge in span), length]
    return spans if all(before <= after for before, after in pairwise(edges)) else None


@cache
def _code() -> str:
    """Write what runs inside: evalplus' two files and what they need."""
    spec = importlib.util.find_spec("evalplus")
    if spec is None or spec.origin is None:
        raise GradingError("evalplus is not installed: `make setup` installs it")
    folder = Path(spec.origin).parent
    files = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ("sanitize", "syncheck")}
    return f"SANITIZE = {files['sanitize']!r}\nSYNCHECK = {files['syncheck']!r}\n{_GLUE}"
