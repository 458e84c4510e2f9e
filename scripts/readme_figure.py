"""Copies the first figure of a report into a file of its own: ``readme_figure.py REPORT.html OUT.svg``."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> int:
    """Cut out the figure and give it a white ground, as pages in dark mode show it too."""
    report, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = re.search(r"<svg\b.*?</svg>", report.read_text(encoding="utf-8"), flags=re.DOTALL)
    if not found:
        sys.stderr.write(f"{report} has no figure\n")
        return 1
    svg = found.group(0)
    if "xmlns=" not in svg:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    svg = svg.replace("<svg", '<svg style="background:white"', 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(svg + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
