"""What an engine answers with, beside the same checkpoint in Transformers, unserved.

Transformers multiplies in float32 here, whatever the engine does: in bfloat16 the reference would round as coarsely
as what is compared with it, and half of a difference would be its own.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.datasets import load_dataset
from configs.loader import load_variant
from configs.prompt_format import render_prompt
from configs.schema import EngineSettings
from server.build.checkpoints import build_variant
from server.build.store import Checkpoint, Store, store_root
from server.engines.engine import Engine, free_port
from server.engines.engine_log import served_from_log
from server.engines.engine_spec import EngineSpec
from server.engines.vllm import vllm_command, vllm_environment, vllm_version
from traces.cell import Served

MODEL = "starcoder2-memorised"
TOKENS = 64
TOP = 5
_IN_ONE_PROCESS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
}
_IN_A_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class Answer:
    """To one prompt: the five likeliest first tokens with their log-probabilities, and the greedy completion."""

    first: dict[int, float]
    text: str
    tokens: list[int]


@dataclass(frozen=True)
class Agreement:
    """How far the served answers are from the unserved model's."""

    worst_logprob: float
    """The largest difference over prompts and their five likeliest first tokens, nats."""
    from_bf16: float
    """The same difference between the served format and the model in bf16."""
    equal: float
    """The share of completions that are equal, text for text."""
    parting: float
    """Where a completion first differs: how much likelier the reference's token was than the served one, in the
    reference, nats; the largest over completions, 0 where none differs."""
    bits: float
    """Stored bits a weight in the matrices of the decoder layers, without scales."""
    served: Served


def prompts() -> list[str]:
    """Every task's, as it is sent."""
    return [render_prompt(task.prompt) for task in load_dataset("starwatt-24").tasks]


def built(variant: str, model: str = MODEL) -> Checkpoint:
    """The variant's checkpoint, from the store where it has it."""
    return build_variant(model, load_variant(variant), Store(store_root()), lambda _: None)


def agreement(variant: str, log: Path) -> Agreement:
    """Serve ``variant`` and set it beside the same checkpoint in Transformers."""
    checkpoint = built(variant)
    with Engine.start(engine_spec(variant, checkpoint), log) as engine:
        engine.wait_ready()
        answers = [ask(engine.url, prompt) for prompt in prompts()]
        served = engine.served
    return set_beside(checkpoint, built("bf16"), answers, served)


def agreements(model: str, variants: tuple[str, ...], folder: Path) -> Mapping[str, Agreement]:
    """The same of several variants of a model, which vLLM serves one after another in one process."""
    checkpoints = {variant: built(variant, model) for variant in variants}
    specs = {variant: engine_spec(variant, checkpoint) for variant, checkpoint in checkpoints.items()}
    commands = {variant: vllm_command(spec) for variant, spec in specs.items()}
    jobs = [
        {
            "name": variant,
            "arguments": command[command.index(str(checkpoints[variant].path)) :],
            "prompts": prompts(),
            "tokens": TOKENS,
            "top": TOP,
        }
        for variant, command in commands.items()
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "tests.live.serving_many", str(folder / "jobs.json"), str(folder)],
        env={**vllm_environment(specs[variants[0]]), **_IN_ONE_PROCESS},
        check=True,
    )
    found = {}
    for variant in variants:
        told = json.loads((folder / f"{variant}.json").read_text(encoding="utf-8"))
        answers = [
            Answer({int(name): value for name, value in one["first"].items()}, one["text"], one["tokens"])
            for one in told
        ]
        served = served_from_log(
            folder / f"{variant}.log",
            version=vllm_version(),
            command=commands[variant],
            checkpoint=checkpoints[variant],
        )
        found[variant] = set_beside(checkpoints[variant], built("bf16", model), answers, served)
    return found


def set_beside(checkpoint: Checkpoint, bf16: Checkpoint, answers: list[Answer], served: Served) -> Agreement:
    """What was answered, beside the checkpoint and the model in bf16 in Transformers."""
    reference = Unserved(checkpoint)
    completions = [reference.completion(prompt) for prompt in prompts()]
    return Agreement(
        worst_logprob(answers, reference),
        worst_logprob(answers, Unserved(bf16)),
        equal_share(answers, reference, completions),
        worst_parting(answers, reference, completions),
        bits_a_weight(checkpoint.path, bf16.path),
        served,
    )


def engine_spec(variant: str, checkpoint: Checkpoint) -> EngineSpec:
    """What the engine of a variant is told."""
    settings = EngineSettings(max_model_len=512, max_num_seqs=64, enforce_eager=True)
    return EngineSpec(
        model="m",
        variant=load_variant(variant),
        checkpoint=checkpoint,
        settings=settings,
        port=free_port(),
    )


def ask(url: str, prompt: str) -> Answer:
    """One greedy completion of vLLM's."""
    body = {
        "model": "m", "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "logprobs": TOP,
        "return_tokens_as_token_ids": True,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        [choice] = json.load(response)["choices"]
    first = {_token(name): value for name, value in choice["logprobs"]["top_logprobs"][0].items()}
    return Answer(first, choice["text"], [_token(name) for name in choice["logprobs"]["tokens"]])


def _token(name: str) -> int:
    return int(name.removeprefix("token_id:"))


class Unserved:
    """A checkpoint in Transformers, which multiplies its weights in float32."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        # GPTBigCode begins weights by name, and packed ones have others (transformers 5.17): there is nothing to begin
        with warnings.catch_warnings():  # its module compiles at import by what torch has deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            from transformers import GPTBigCodePreTrainedModel
        with patch.object(GPTBigCodePreTrainedModel, "_init_weights"):
            self._model = AutoModelForCausalLM.from_pretrained(
                checkpoint.path, dtype=torch.float32, device_map={"": "cpu"}
            )
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)

    def logprobs(self, prompt: str, after: Sequence[int] = ()) -> torch.Tensor:
        """Log-probabilities (vocabulary,) of the token that comes after the prompt and the tokens ``after`` it."""
        ids = torch.tensor([[*self._tokenizer(prompt)["input_ids"], *after]])
        with torch.no_grad():
            logits: torch.Tensor = self._model(input_ids=ids).logits
        return logits[0, -1].float().log_softmax(-1)

    def completion(self, prompt: str) -> list[int]:
        """The tokens of the greedy completion."""
        inputs = self._tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            ids = self._model.generate(
                **inputs, max_new_tokens=TOKENS, do_sample=False, eos_token_id=0, pad_token_id=0
            )
        tokens: list[int] = ids[0, inputs["input_ids"].shape[1] :].tolist()
        return tokens

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens spell, special ones left out."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))


def worst_logprob(answers: list[Answer], reference: Unserved) -> float:
    """The largest difference of log-probabilities of the first tokens."""
    worst = 0.0
    for prompt, answer in zip(prompts(), answers, strict=True):
        logprobs = reference.logprobs(prompt)
        for token, value in answer.first.items():
            difference = abs(float(logprobs[token]) - value)
            worst = max(worst, difference if math.isfinite(difference) else math.inf)
    return worst


def equal_share(answers: list[Answer], reference: Unserved, completions: list[list[int]]) -> float:
    """The share of completions that are equal."""
    pairs = zip(answers, completions, strict=True)
    return sum(reference.text(tokens) == answer.text for answer, tokens in pairs) / len(answers)


def worst_parting(answers: list[Answer], reference: Unserved, completions: list[list[int]]) -> float:
    """The largest lead, in the reference, of its token over the served one where they first differ."""
    worst = 0.0
    for prompt, answer, tokens in zip(prompts(), answers, completions, strict=True):
        both = list(zip(tokens, answer.tokens, strict=False))
        place = next((place for place, (wanted, served) in enumerate(both) if wanted != served), None)
        if place is not None:
            logprobs = reference.logprobs(prompt, tokens[:place])
            worst = max(worst, float(logprobs[tokens[place]] - logprobs[answer.tokens[place]]))
    return worst


def bits_a_weight(folder: Path, bf16: Path) -> float:
    """Of the matrices of the decoder layers; ``bf16`` is the folder of the model as it was."""
    stored = _matrices(folder)
    weights = {name.removesuffix("_packed") for name in stored}
    whole = {name: size for name, size in _matrices(bf16).items() if name in weights}
    assert set(whole) == weights
    return 16 * sum(stored.values()) / sum(whole.values())


def _matrices(folder: Path) -> dict[str, int]:
    """Bytes of each matrix by its name."""
    sizes = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 -- no mapping
                if _IN_A_LAYER.search(name) and name.endswith((".weight", ".weight_packed")):
                    tensor = file.get_tensor(name)
                    if tensor.dim() == 2:
                        sizes[name] = tensor.numel() * tensor.element_size()
    return sizes
