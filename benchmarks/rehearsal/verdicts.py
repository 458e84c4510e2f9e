"""What vLLM did with a variant on a board, beside what ``server/engines/hardware.py`` says; and the tables of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.loader import load_variant, variant_names
from configs.schema import EngineSettings
from server.engines.hardware import Board, Machine, why_not

SERVED, REFUSED, ANOTHER = "served", "refused", "another format"
CAPABILITIES = ("7.0", "7.5", "8.0", "8.9", "9.0", "10.0", "12.0")
REHEARSED = CAPABILITIES[1:]
"""The wheels have no code for 7.0, which no choice of kernels shows."""
BEGIN, END = "<!-- served: begin -->", "<!-- served: end -->"


@dataclass(frozen=True)
class Asked:
    """One variant of one model on so many boards."""

    model: str
    variant: str
    folder: str
    boards: int
    has_weights: bool = False


@dataclass(frozen=True)
class Seen(Asked):
    """How far it came."""

    capability: str = ""
    ours: str | None = None
    """Why it is refused before anything starts; None where it is not."""
    verdict: str = ""
    stage: str = ""
    """vLLM's, that came last."""
    why: str | None = None
    kernels: Sequence[str] = ()
    attention: str | None = None
    dtype: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether we refuse exactly what vLLM does not serve as what it is called."""
        return (self.ours is None) == (self.verdict == SERVED)

    @property
    def compiles_attention(self) -> bool:
        """Whether its attention's kernels would be compiled or fetched as it starts."""
        return self.attention is not None and "FLASHINFER" in self.attention


def differing(seen: Iterable[Seen]) -> list[str]:
    """A line for each field in which vLLM and we differ, or that would compile as it starts."""
    lines = []
    for one in seen:
        place = f"{one.model} {one.variant} at {one.capability} on {one.boards}"
        if not one.agrees:
            lines.append(
                f"{place}: vLLM: {one.verdict} ({one.stage}: {one.why}); hardware.py: {one.ours or SERVED}"
            )
        elif one.ours is None and one.compiles_attention:
            lines.append(f"{place}: attention {one.attention} is compiled as it starts")
    return lines


def served_table() -> list[str]:
    """Which presets are served at which compute capability, by ``hardware.py``: for docs/variants.md."""
    names = [name for name in variant_names() if load_variant(name).quantization.kind != "ready-made"]
    rows = [
        f"| `{name}` | {' | '.join(_word(name, capability) for capability in CAPABILITIES)} |"
        for name in names
    ]
    return [f"| variant | {' | '.join(CAPABILITIES)} |", "|---|" + "---|" * len(CAPABILITIES), *rows]


def _word(name: str, capability: str) -> str:
    major, minor = map(int, capability.split("."))
    machine = Machine((Board("board", (major, minor)),))
    return "yes" if why_not(load_variant(name), EngineSettings(), machine) is None else "–"


def kernels_table(seen: Sequence[Seen]) -> list[str]:
    """By variant and capability, on one board: what multiplies, or why it is not served; the same for all models."""
    alone = [one for one in seen if one.boards == 1]
    capabilities = list(dict.fromkeys(one.capability for one in alone))
    lines = [f"| variant | {' | '.join(capabilities)} |", "|---|" + "---|" * len(capabilities)]
    for variant in dict.fromkeys(one.variant for one in alone):
        cells = [
            " / ".join(
                dict.fromkeys(_cell(one) for one in alone if (one.variant, one.capability) == (variant, at))
            )
            for at in capabilities
        ]
        lines.append(f"| `{variant}` | {' | '.join(cells)} |")
    return lines


def _cell(one: Seen) -> str:
    if one.verdict != SERVED:
        return f"{one.verdict} ({one.stage})"
    kernels = [kernel.removesuffix("LinearKernel").removesuffix("ScaledMM") for kernel in one.kernels]
    return ", ".join([*kernels, one.attention or "no attention"])


def shared_table(seen: Sequence[Seen]) -> list[str]:
    """By model and number of boards: the variants that vLLM does not share so, at every capability that serves them."""
    lines = ["| model | boards | refused |", "|---|---|---|"]
    on_one = {
        (one.model, one.variant, one.capability) for one in seen if one.boards == 1 and one.verdict == SERVED
    }
    for model, boards in dict.fromkeys((one.model, one.boards) for one in seen if one.boards > 1):
        refused = [
            one.variant
            for one in seen
            if (one.model, one.boards) == (model, boards)
            and one.verdict != SERVED
            and (model, one.variant, one.capability) in on_one
        ]
        lines.append(f"| {model} | {boards} | {', '.join(dict.fromkeys(refused)) or 'none'} |")
    return lines


def write_between(page: Path, lines: Sequence[str]) -> bool:
    """Put lines between a page's two marks; whether that changed it.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} and {END}")
    changed = "\n".join([before + BEGIN, *lines, END + after])
    page.write_text(changed, "utf-8")
    return changed != text
