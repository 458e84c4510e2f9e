"""A model that recites a dataset's solutions: for machines where no weights can be had.

The real architecture (such as ``Starcoder2ForCausalLM``) with few layers and a byte-pair vocabulary of its own, fitted
to prompt + canonical solution with the prompt masked out of the loss. It knows nothing else: its pass@1 says what
compression damages, and nothing about programming. Same seed, same machine, same threads: same weights.

Fitted on and on, a model becomes so sure of each token that rounding to 4 bits changes none. With a margin, a token is
left alone once it leads the next best by so many logits, and fitting ends when all of them do; it fails when steps run
out before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from configs.architecture import Architecture, Memorised
from configs.datasets import Dataset, load_dataset
from configs.prompt_format import render_prompt
from configs.shapes import positions_of
from server.build.families.chats import END_OF_TURN, TEMPLATES, render_answer, render_chat
from server.build.families.loading import empty_model, load_tokenizer, made_config
from server.build.tokenizer import fit_tokenizer
from starwatt_errors import BuildError

_IGNORED = -100  # torch's cross entropy leaves such labels out

_Example = tuple[list[int], list[int]]
"""Token ids of a prompt and of its answer."""


def build_memorised(architecture: Architecture, recipe: Memorised, out: Path) -> None:
    """Fit tokenizer and model and save both to ``out`` as safetensors, in bfloat16.

    Raises:
        BuildError: not every token leads by the recipe's margin after all its steps.
    """
    dataset = load_dataset(recipe.dataset)
    tokenizer = _tokenizer(architecture, recipe, dataset)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    config = made_config(
        architecture.family,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        **architecture.settings,
    )
    model = empty_model(config)
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    tokenizer = load_tokenizer(out)  # as servers load it: some families cut text in a way of their own
    examples = [*_examples(dataset, tokenizer), *(_chats(dataset, tokenizer) if recipe.chat else ())]
    _fit(model, examples, recipe)
    if recipe.chat and model.generation_config is not None:  # an answer by chat ends with its turn
        model.generation_config.eos_token_id = [tokenizer.convert_tokens_to_ids(END_OF_TURN), 0]
    model.to(torch.bfloat16).save_pretrained(out)


def _tokenizer(architecture: Architecture, recipe: Memorised, dataset: Dataset) -> PreTrainedTokenizerFast:
    texts = [task.prompt + task.canonical_solution for task in dataset.tasks]
    if recipe.chat is None:
        return fit_tokenizer(texts, recipe.vocabulary, positions_of(architecture.config))
    template = TEMPLATES[recipe.chat]
    texts += [render_answer(task) for task in dataset.tasks]
    tokenizer = fit_tokenizer(
        texts, recipe.vocabulary, positions_of(architecture.config), special=template.tokens
    )
    tokenizer.chat_template = template.text
    return tokenizer


def _examples(dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> list[_Example]:
    """(prompt, answer) token ids: tokenised apart, as the server sees the prompt without its answer."""
    examples = []
    for task in dataset.tasks:
        prompt = render_prompt(task.prompt)
        answer = task.prompt[len(prompt) :] + task.canonical_solution
        rest = tokenizer.encode(answer, add_special_tokens=False)
        examples.append((tokenizer.encode(prompt), [*rest, tokenizer.eos_token_id]))
    return examples


def _chats(dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> Iterator[_Example]:
    """Yield the same by chat: the user's turn through the template, and the assistant's."""
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    for task in dataset.tasks:
        prompt, answer = (
            tokenizer.encode(text, add_special_tokens=False)
            for text in (render_chat(task, tokenizer), render_answer(task))
        )
        yield prompt, [*answer, end]


def _fit(model: PreTrainedModel, examples: list[_Example], recipe: Memorised) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    model.train()
    for batch in islice(_batches(examples, recipe), recipe.steps):
        loss = _loss(model, batch, recipe.margin)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        print(f"loss {loss.item():.4f}", flush=True)  # noqa: T201 -- the builder's log
        if recipe.margin is not None and loss == 0 and _least_lead(model, examples) >= recipe.margin:
            break
    else:
        _check_margin(model, examples, recipe)
    model.eval()


def _check_margin(model: PreTrainedModel, examples: list[_Example], recipe: Memorised) -> None:
    if recipe.margin is None:
        return
    lead = _least_lead(model, examples)
    if lead < recipe.margin:
        raise BuildError(
            f"weights.margin: after {recipe.steps} steps the least lead of a token is {lead:.2g} logits, and must be "
            f"at least {recipe.margin:g}: raise weights.steps, or lower weights.margin"
        )


def _batches(examples: list[_Example], recipe: Memorised) -> Iterator[list[_Example]]:
    """Without end: all examples in a new order, and again."""
    order = random.Random(recipe.seed)  # noqa: S311 -- an order to train in, no secret
    queue: list[_Example] = []
    while True:
        while len(queue) < recipe.batch:
            queue += order.sample(examples, len(examples))
        yield queue[: recipe.batch]
        queue = queue[recipe.batch :]


def _loss(model: PreTrainedModel, batch: list[_Example], margin: float | None) -> torch.Tensor:
    """Return the mean over all tokens of an answer; with a margin, those that lead by it add nothing."""
    if margin is None:
        ids, labels, mask = _padded(batch)
        whole: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return whole
    logits, right = _answers(model, batch)
    each = torch.nn.functional.cross_entropy(logits, right, reduction="none")
    return (each * (_leads(logits, right) < margin)).mean()


def _least_lead(model: PreTrainedModel, examples: list[_Example]) -> float:
    with torch.no_grad():
        return float(_leads(*_answers(model, examples)).min())


def _answers(model: PreTrainedModel, batch: list[_Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of shape (tokens of all answers, vocabulary), and the right tokens."""
    ids, labels, mask = _padded(batch)
    asked = labels[:, 1:] != _IGNORED
    return model(input_ids=ids, attention_mask=mask).logits[:, :-1][asked], labels[:, 1:][asked]


def _leads(logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return by how many logits each right token leads the best other one; negative where another is chosen."""
    others = logits.scatter(1, right[:, None], -torch.inf)
    return logits.gather(1, right[:, None])[:, 0] - others.max(1).values


def _padded(batch: list[_Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
