"""Byte-level BPE tokenizers fitted here, for models whose own cannot be had."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
FILE_SEPARATOR = "<file_sep>"


def fit_tokenizer(
    texts: Iterable[str], vocabulary: int, max_length: int, *, fill: bool = False
) -> PreTrainedTokenizerFast:
    """Fit at most ``vocabulary`` tokens; with ``fill`` exactly so many, the last of them never met in a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, FILE_SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if fill:
        missing = vocabulary - tokenizer.get_vocab_size()
        tokenizer.add_tokens([AddedToken(f"<unused-{number}>") for number in range(missing)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
