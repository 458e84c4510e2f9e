"""What the pages show: fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {
    "sh": "commands", "console": "commands behind a prompt", "yaml": "a file", "json": "prompts of one's own",
    "text": "not typed", "yml": "a file of another program", "csv": "a recording", "python": "run by test_library.py",
}  # fmt: skip
_FENCE = re.compile(r"^ *(`{3,})([^\n`]*)\n(.*?)^ *\1 *$", flags=re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^## (.*)$", flags=re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROMPT = re.compile(r"^[\w-]*[$#] ", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str  # relative to the checkout
    section: str  # its heading; empty above the first
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What is typed, a whole command each; of a file or of output nothing."""
        if self.language == "console":
            return list(_commands(_PROMPT.sub("", self.text)))
        return list(_commands(self.text)) if self.language == "sh" else []


def blocks(page: Path) -> list[Block]:
    """In the page's order."""
    name, whole = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
    shown = []
    for fence in _FENCE.finditer(whole):
        headings = _HEADING.findall(_FENCE.sub("", whole[: fence.start()]))
        section = headings[-1] if headings else ""
        shown.append(Block(name, section, fence[2].strip(), fence[3]))
    return shown


def all_blocks() -> list[Block]:
    """Of every page."""
    return [block for page in PAGES for block in blocks(page)]


def own_prompts() -> str:
    """The file ``prompts.jsonl`` that the pages have a reader write."""
    return next(block.text for block in all_blocks() if block.language == "json")


def recording() -> str:
    """The file ``azure.csv`` that the pages show."""
    return next(block.text for block in all_blocks() if block.language == "csv")


def inline(page: Path) -> list[str]:
    """What stands between single backticks, outside the blocks."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return _INLINE.findall(text)


def _commands(text: str) -> Iterator[str]:
    """Lines are joined until the shell takes them for a whole."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        whole = "\n".join(lines)
        if line.endswith("\\") or not _is_whole(whole):
            continue
        if not line.lstrip().startswith("#") and whole.strip():
            yield whole
        lines = []
    assert not lines, f"the shell takes this for no command: {lines}"


def _is_whole(text: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0  # noqa: S607
