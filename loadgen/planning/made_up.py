"""Text of so many tokens: common words, drawn; equal where a recording says that prompts begin alike.

No words of a recorded prompt are known. What is written here stands for them by its length alone: no answer to it means
anything, and what depends on meaning (speculation, experts) may do other work than it did for the recorded prompts.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate

from configs.recordings import Lengths
from loadgen.planning.prompts import seeded
from loadgen.spec import Wording

ANCHOR = b"#"
"""Every text begins so, so that its first word is told from what stands before it as every other one is."""
_DRAWN = 1 << 16
_LABEL = 12
"""Words at the beginning of each block that no other block has: about 60 bits where there are 32 words."""


class MadeUpText:
    """Texts of one load: drawn from what ``key`` names, the same wherever they are made."""

    def __init__(self, wording: Wording, block_tokens: int, *key: object) -> None:
        self._wording, self._block_tokens = wording, block_tokens
        self._key = hashlib.blake2b(":".join(map(str, key)).encode()).digest()
        self._longest = wording.words_of(block_tokens) + 1
        self._words = [b" " + word.encode() for word in wording.words]
        places = seeded(*key, "made up").integers(len(self._words), size=_DRAWN).tolist()
        drawn = [self._words[place] for place in places]
        self._text = b"".join(drawn)
        self._starts = list(accumulate(map(len, drawn), initial=0))

    def text(self, request: object, round_: object, lengths: Lengths) -> bytes:
        """Write the prompt of a request of that round; its first blocks are those of all that name the same ids."""
        parts, written = [ANCHOR], 0
        total = self._wording.words_of(lengths.prompt_tokens - self._wording.overhead_tokens)
        while written < total:
            place = len(parts) - 1
            end = min(self._wording.words_of((place + 1) * self._block_tokens), total)
            is_shared = place < len(lengths.block_ids)
            name = (
                (round_, "shared", lengths.block_ids[place]) if is_shared else (round_, "own", request, place)
            )
            parts.append(self._block(name, end - written))
            written = end
        return b"".join(parts)

    def _block(self, name: tuple[object, ...], words: int) -> bytes:
        """So many words that begin with a label of this block: of two lengths the shorter is how the longer begins."""
        digest = hashlib.blake2b(repr(name).encode(), key=self._key, digest_size=16).digest()
        number, label = int.from_bytes(digest, "big"), []
        for _ in range(min(words, _LABEL)):
            number, place = divmod(number, len(self._words))
            label.append(self._words[place])
        rest = words - len(label)
        first = int.from_bytes(digest[-4:], "big") % (_DRAWN - self._longest)
        return b"".join(label) + self._text[self._starts[first] : self._starts[first + rest]]
