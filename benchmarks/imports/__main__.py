"""``python -m benchmarks.imports``: other tools' files beside our own trace of the same requests."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.imports.capture import beside, capture, words
from benchmarks.imports.scrub import scrub
from benchmarks.imports.tools import tools


def main() -> None:
    """Drive each tool that is here, import what it wrote and what we noted, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guidellm", help="its program, where it is not on the path")
    parser.add_argument("--aiperf", help="its program, where it is not on the path")
    parser.add_argument("--keep", type=Path, help="keep the captured files here, as fixtures of tests")
    given = parser.parse_args()
    for tool in tools(given.guidellm, given.aiperf):
        with tempfile.TemporaryDirectory(prefix="starwatt-bench-") as scratch:
            folder = Path(scratch) if given.keep is None else given.keep / tool.name
            folder.mkdir(parents=True, exist_ok=True)
            captured = capture(tool, folder)
            if given.keep is not None:
                scrub(captured.requests)
            print(words(tool.name, beside(captured, Path(scratch) / "runs")))


if __name__ == "__main__":
    main()
