"""A StarCoder2 that recites a dataset's solutions: for machines where no weights can be had.

The real architecture (``Starcoder2ForCausalLM``) with few layers and a byte-pair vocabulary of its own, fitted to
prompt + canonical solution with the prompt masked out of the loss. It knows nothing else: its pass@1 says what
compression damages, and nothing about programming. Same seed, same machine, same threads: same weights.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Starcoder2Config, Starcoder2ForCausalLM

from configs.architecture import Architecture, Memorised
from configs.datasets import Dataset, load_dataset
from configs.prompt_format import render_prompt
from server.build.tokenizer import fit_tokenizer

_IGNORED = -100  # torch's cross entropy leaves such labels out


def build_memorised(architecture: Architecture, recipe: Memorised, out: Path) -> None:
    """Fit tokenizer and model and save both to ``out`` as safetensors, in bfloat16."""
    dataset = load_dataset(recipe.dataset)
    texts = (task.prompt + task.canonical_solution for task in dataset.tasks)
    longest = int(architecture.config["max_position_embeddings"] or 0)
    tokenizer = fit_tokenizer(texts, recipe.vocabulary, longest)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    config = Starcoder2Config(
        vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=None, **architecture.config
    )
    model = Starcoder2ForCausalLM(config)
    _fit(model, _examples(dataset, tokenizer), recipe)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _examples(dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) token ids: tokenised apart, as the server sees the prompt without its answer."""
    examples = []
    for task in dataset.tasks:
        prompt = render_prompt(task.prompt)
        answer = task.prompt[len(prompt) :] + task.canonical_solution
        examples.append((tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id]))
    return examples


def _fit(
    model: Starcoder2ForCausalLM, examples: list[tuple[list[int], list[int]]], recipe: Memorised
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    order = random.Random(recipe.seed)  # noqa: S311 -- an order to train in, no secret
    queue: list[tuple[list[int], list[int]]] = []
    model.train()
    for _ in range(recipe.steps):
        while len(queue) < recipe.batch:
            queue += order.sample(examples, len(examples))
        batch, queue = queue[: recipe.batch], queue[recipe.batch :]
        ids, labels, mask = _padded(batch)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        print(f"loss {loss.item():.4f}", flush=True)  # noqa: T201 -- the builder's log
    model.eval()


def _padded(batch: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, labels and mask, each of shape (batch, longest)."""
    longest = max(len(prompt) + len(answer) for prompt, answer in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full((len(batch), longest), _IGNORED, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, (prompt, answer) in enumerate(batch):
        length = len(prompt) + len(answer)
        ids[row, :length] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : length] = torch.tensor(answer)
        mask[row, :length] = 1
    return ids, labels, mask
