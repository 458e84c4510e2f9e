"""``python -m analysis.cells.worker RUN TERMS``: makes parts of the tables of cells, in a process of its own.

Reads a line of JSON a batch on stdin (cells as lists of model, variant, load, block), and answers each on stdout with
the length of what follows (8 bytes) and the cells' parts as an Arrow stream. It ends with its stdin.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from analysis.cells.bearing import bearing_on_cells, digest_of
from analysis.cells.context import Context, read_context
from analysis.cells.parts import PARTS, parts_of
from analysis.cells.tabulate import tabulated_cell
from traces.layout import CellKey, RunDir

LENGTH = struct.Struct("<q")


def parts_of_cells(run: RunDir, keys: Sequence[CellKey], context: Context) -> pa.Table:
    """Read finished cells and put what is made of them into columns (``PARTS``)."""
    return parts_of([tabulated_cell(run, key, context) for key in keys])


def main(arguments: Sequence[str]) -> int:
    """Answer until stdin ends; 2 where the run is not what the caller read."""
    pa.set_cpu_count(1)  # a process a core
    run, terms = RunDir(Path(arguments[0])), arguments[1]
    context = bearing_on_cells(read_context(run)[0])
    if digest_of(context) != terms:
        return 2
    for line in sys.stdin:
        keys = [CellKey(*key) for key in json.loads(line)]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, PARTS) as stream:
            stream.write_table(parts_of_cells(run, keys, context))
        answer = sink.getvalue()
        sys.stdout.buffer.write(LENGTH.pack(answer.size))
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
