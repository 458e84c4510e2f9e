"""Byte-level BPE tokenizers fitted here, for models whose own cannot be had."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
FILE_SEPARATOR = "<file_sep>"


def fit_tokenizer(
    texts: Iterable[str], vocabulary: int, max_length: int, *, fill: bool = False, special: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Fit at most ``vocabulary`` tokens; with ``fill`` exactly so many, the last of them never met in a text.

    ``special`` are tokens of their own beside those that end a text and a file.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, FILE_SEPARATOR, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if fill:
        tokenizer = _filled(tokenizer, vocabulary)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def _filled(tokenizer: Tokenizer, vocabulary: int) -> Tokenizer:
    """Add tokens that no merge leads to. As added tokens a hundred thousand of them would take 15 s to load."""
    said = json.loads(tokenizer.to_str())
    words = said["model"]["vocab"]
    fitted = len(words)
    words |= {f"<unused-{number - fitted}>": number for number in range(fitted, vocabulary)}
    return Tokenizer.from_str(json.dumps(said))
