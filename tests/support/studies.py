"""Study files for tests."""

from __future__ import annotations

from pathlib import Path

STUDY = """\
name: small
models: [starcoder2-memorised]
baseline: bf16
variants: [bf16, int8-bnb]
loads:
  - {kind: single_stream}
  - {kind: closed, concurrency: 8}
  - kind: open
    qps: 6
prompts:
  dataset: starwatt-24
  max_tokens: 64
engine: {max_num_seqs: 64}
seed: 20
"""


def write_study(folder: Path, *changes: tuple[str, str]) -> Path:
    """The study above with texts replaced; every one of them must be there."""
    text = STUDY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path
