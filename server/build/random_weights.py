"""Architectures without weights: N(0, initializer_range) really written, tensor by tensor.

vLLM's dummy loader would leave int4 weights as they lie in memory and fp8 mostly zeros, and hardware draws less power
on zeros; here every format quantises real numbers. The model knows nothing, so that it has no pass@1.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from configs.architecture import Architecture, RandomWeights
from configs.shapes import positions_of
from server.build.calibration_text import library_texts
from server.build.families.loading import made_config, meta_model
from server.build.tokenizer import fit_tokenizer
from traces.atomic import write_json

TOKENIZER_MODULES = (
    "argparse", "ast", "calendar", "cmd", "configparser", "csv", "datetime", "decimal", "difflib", "doctest",
    "fractions", "functools", "heapq", "inspect", "ipaddress", "locale", "mailbox", "optparse", "pdb", "pickle",
    "platform", "random", "shutil", "smtplib", "statistics", "subprocess", "tarfile", "textwrap", "threading",
    "tokenize", "traceback", "turtle", "typing", "uuid", "zipfile", "_pydecimal",
)  # fmt: skip
_BYTES = 2  # of a bfloat16


def build_random(architecture: Architecture, weights: RandomWeights, out: Path) -> None:
    """Write weights in bfloat16, configuration and tokenizer; never more than one file of weights in memory.

    As such models themselves begin: matrices N(0, initializer_range), norms 1, biases 0. Each tensor is drawn from
    (seed, its name), so that shards and order do not matter.
    """
    family = architecture.family
    config = made_config(
        family,
        vocab_size=weights.vocabulary,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        dtype="bfloat16",
        architectures=[MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]],
        **architecture.settings,
    )
    shapes = tensor_shapes(config)
    shards = plan_shards(shapes, round(weights.shard_gib * 2**30))
    index: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with ThreadPoolExecutor() as threads:  # each tensor has a generator of its own
            drawn = threads.map(
                lambda name: draw(name, shapes[name], config.initializer_range, weights.seed), names
            )
            tensors = dict(zip(names, drawn, strict=True))
        save_file(tensors, out / file, metadata={"format": "pt"})
        del drawn, tensors
        index |= dict.fromkeys(names, file)
        print(f"{file}: {len(names)} tensors", flush=True)  # noqa: T201 -- the builder's log
    total = sum(shape.numel() * _BYTES for shape in shapes.values())
    write_json(out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})
    config.save_pretrained(out)
    GenerationConfig.from_model_config(config).save_pretrained(out)
    longest = positions_of(architecture.config)
    texts = library_texts(TOKENIZER_MODULES)
    fit_tokenizer(texts, weights.vocabulary, longest, fill=True).save_pretrained(out)


def tensor_shapes(config: PreTrainedConfig) -> dict[str, torch.Size]:
    """Return every tensor of the checkpoint by its name; a head that is tied to the embedding is none."""
    model = meta_model(config)
    shapes = {name: parameter.shape for name, parameter in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    return shapes


def plan_shards(shapes: dict[str, torch.Size], most_bytes: int) -> list[list[str]]:
    """Cut names, in their order, into files of at most so many bytes (a larger tensor has one of its own)."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = shape.numel() * _BYTES
        if shards[-1] and filled + size > most_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def draw(name: str, shape: torch.Size, deviation: float, seed: int) -> torch.Tensor:
    """Draw one tensor in bfloat16."""
    if name.endswith(".bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return (torch.randn(shape, generator=generator) * deviation).to(torch.bfloat16)
