"""What an engine answers with, beside the same checkpoint in Transformers, unserved."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Starcoder2ForCausalLM

from configs.datasets import load_dataset
from configs.loader import load_variant
from configs.prompt_format import render_prompt
from configs.schema import EngineSettings
from server.build.checkpoints import build_variant
from server.build.store import Checkpoint, Store, store_root
from server.engines.engine import Engine, free_port
from server.engines.engine_spec import EngineSpec
from traces.cell import Served

MODEL = "starcoder2-memorised"
TOKENS = 64
TOP = 5


@dataclass(frozen=True)
class Answer:
    """To one prompt: the five likeliest first tokens with their log-probabilities, and the greedy completion."""

    first: dict[int, float]
    text: str


@dataclass(frozen=True)
class Agreement:
    """How far the served answers are from the unserved model's."""

    worst_logprob: float
    """The largest difference over prompts and their five likeliest first tokens, nats."""
    from_bf16: float
    """The same difference between the served format and the model in bf16."""
    equal: float
    """The share of completions that are equal, text for text."""
    bits: float
    """Stored bits a weight in the matrices of the decoder layers, without scales."""
    served: Served


def prompts() -> list[str]:
    """Every task's, as it is sent."""
    return [render_prompt(task.prompt) for task in load_dataset("starwatt-24").tasks]


def built(variant: str) -> Checkpoint:
    """The variant's checkpoint, from the store where it has it."""
    return build_variant(MODEL, load_variant(variant), Store(store_root()), lambda _: None)


def agreement(variant: str, log: Path) -> Agreement:
    """Serve ``variant`` and set it beside the same checkpoint in Transformers."""
    checkpoint = built(variant)
    with start(variant, checkpoint, log) as engine:
        engine.wait_ready()
        answers = [ask(engine.url, prompt) for prompt in prompts()]
        served = engine.served
    dtype = getattr(torch, load_variant(variant).dtype)
    own = compared(answers, unserved(checkpoint, dtype))
    other = compared(answers, unserved(built("bf16"), torch.bfloat16))
    return Agreement(own[0], other[0], own[1], bits_a_weight(checkpoint.path), served)


def start(variant: str, checkpoint: Checkpoint, log: Path) -> Engine:
    """The engine of a variant, started."""
    settings = EngineSettings(max_model_len=512, max_num_seqs=64, enforce_eager=True)
    spec = EngineSpec(
        model="m",
        variant=load_variant(variant),
        checkpoint=checkpoint,
        settings=settings,
        port=free_port(),
    )
    return Engine.start(spec, log)


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
    first = choice["logprobs"]["top_logprobs"][0]
    return Answer(
        {int(name.removeprefix("token_id:")): value for name, value in first.items()}, choice["text"]
    )


def unserved(checkpoint: Checkpoint, dtype: torch.dtype) -> Callable[[str], tuple[torch.Tensor, str]]:
    """The checkpoint in Transformers: log-probabilities (vocabulary,) of the first token, and the completion."""
    model = Starcoder2ForCausalLM.from_pretrained(checkpoint.path, dtype=dtype, device_map={"": "cpu"})
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)

    def answer(prompt: str) -> tuple[torch.Tensor, str]:
        inputs = tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0, -1].float().log_softmax(-1)
            ids = model.generate(
                **inputs, max_new_tokens=TOKENS, do_sample=False, eos_token_id=0, pad_token_id=0
            )
        return logits, tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def compared(
    answers: list[Answer], reference: Callable[[str], tuple[torch.Tensor, str]]
) -> tuple[float, float]:
    """The largest difference of log-probabilities, and the share of equal completions."""
    worst, equal = 0.0, 0
    for prompt, answer in zip(prompts(), answers, strict=True):
        logprobs, text = reference(prompt)
        for token, value in answer.first.items():
            difference = abs(float(logprobs[token]) - value)
            worst = max(worst, difference if math.isfinite(difference) else math.inf)
        equal += text == answer.text
    return worst, equal / len(answers)


def bits_a_weight(folder: Path) -> float:
    """Of the matrices of the decoder layers."""
    stored = _matrices(folder)
    weights = {name.removesuffix("_packed") for name in stored}
    whole = {name: size for name, size in _matrices(built("bf16").path).items() if name in weights}
    assert set(whole) == weights
    return 16 * sum(stored.values()) / sum(whole.values())


def _matrices(folder: Path) -> dict[str, int]:
    """Bytes of each matrix by its name."""
    sizes = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 -- no mapping
                if ".layers." in name and name.endswith((".weight", ".weight_packed")):
                    tensor = file.get_tensor(name)
                    if tensor.dim() == 2:
                        sizes[name] = tensor.numel() * tensor.element_size()
    return sizes
