"""The command that takes the README's pictures, and the pictures that are there."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from scripts.screenshots import HEIGHT, IMAGES, MOST_BYTES, THEMES, WIDTH
from tests.golden.world import World
from tests.support.busy import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = {f"{name}-{theme}.png" for name in ("report", "report-figures", "comparison") for theme in THEMES}


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, from the header (PNG, 11.2.2)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def colours_in(png: bytes) -> int:
    """How many different bytes the picture is made of: a blank one has a handful."""
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return len(set(zlib.decompress(data)))


def check(folder: Path) -> None:
    """Every picture, of its size, small, and with something in it; light ones differ from dark ones."""
    assert {path.name for path in folder.glob("*.png")} == NAMES
    for name in NAMES:
        png = (folder / name).read_bytes()
        width, height = size_of(png)
        assert (width, 300 < height <= HEIGHT) == (WIDTH, True), name
        assert 10_000 < len(png) < MOST_BYTES, name
        assert colours_in(png) > 100, name
        other = name.replace("-light", "-dark")
        assert name == other or png != (folder / other).read_bytes()


@pytest.mark.usefixtures("browser")  # for its word on a missing Chromium
def test_the_command_takes_every_picture(tmp_path: Path) -> None:
    run = World(tmp_path / "run", variants=("bf16", "int8-bnb"), blocks=1).build().run
    done = subprocess.run(
        [sys.executable, "-m", "scripts.screenshots", run.root, "--out", tmp_path / "images"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(NAMES)
    assert not run.report.exists()
    check(tmp_path / "images")


def test_the_pictures_that_are_shown_are_those_and_said_to_be_simulated() -> None:
    check(IMAGES)
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "docs" / "tutorial.md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"images/([\w-]+\.png)", text):
            assert name in NAMES, page
            assert "simulated" in text, page
    assert "images/report-figures-light.png" in (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
