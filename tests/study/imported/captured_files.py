"""Files that the tools really wrote (``python -m benchmarks.imports --keep``), each with our trace of its requests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from study.imported.calendar import Stated
from study.imported.run import ImportOrder

FOLDER = Path(__file__).parent / "captured"


@dataclass(frozen=True)
class CapturedFiles:
    """Of one tool: what it wrote, a board's log beside it, and what the endpoint noted."""

    name: str
    file: str
    version: str | None

    @property
    def requests(self) -> Path:
        """The tool's own file."""
        return FOLDER / self.name / self.file

    @property
    def power(self) -> Path:
        """The board's log, in nvidia-smi's form; its times are UTC."""
        return FOLDER / self.name / "smi.csv"

    @property
    def noted(self) -> Path:
        """Our own trace of the same requests, as CSV."""
        return FOLDER / self.name / "noted.csv"

    @property
    def truth(self) -> dict[str, float]:
        """Joules of the board over the load, and when it began."""
        truth: dict[str, float] = json.loads((FOLDER / self.name / "truth.json").read_text(encoding="ascii"))
        return truth

    def stated(self) -> Stated:
        """What has to be said of its clock: that of `vllm bench serve` began anywhere."""
        return Stated(zone="UTC", at_s=self.truth["start_s"] if self.name == "vllm_bench" else None)


VLLM = CapturedFiles("vllm_bench", "vllm-bench.json", None)
GUIDELLM = CapturedFiles("guidellm", "guidellm.json", "0.8.1")
AIPERF = CapturedFiles("aiperf", "profile_export.jsonl", "0.13.0")
ALL = (VLLM, GUIDELLM, AIPERF)


def order(captured: CapturedFiles, out: Path, **changed: object) -> ImportOrder:
    """Import what a tool wrote, with its clocks known to 10 ms."""
    fields = {
        "files": (captured.requests,),
        "out": out,
        "power": (str(captured.power),),
        "clock_uncertainty_s": 0.01,
        "stated": captured.stated(),
        **changed,
    }
    return ImportOrder(**fields)  # type: ignore[arg-type]
