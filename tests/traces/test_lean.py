"""A process that writes traces does without what is slow to import and it has no use for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.busy import PATIENCE_S
from traces.schemas import TRACES
from traces.streams import read_trace

WRITES = """
import json, sys
from pathlib import Path
from traces.lean import keep_pandas_out
if sys.argv[2] == "lean":
    keep_pandas_out()
from traces.streams import TraceWriter
writer = TraceWriter(Path(sys.argv[1]), "power")
writer.append(json.loads(sys.argv[3]))
writer.close()
print(*sorted({"pandas", "pyarrow.compute"} & sys.modules.keys()))
"""
ROW = {"t_ns": 1, "device": "0", "source": "nvml", "metric": "power_w", "value": 1.5}


@pytest.mark.parametrize(("how", "imported"), [("lean", ""), ("plain", "pandas pyarrow.compute")])
def test_only_a_lean_process_writes_traces_without_importing_what_it_has_no_use_for(
    tmp_path: Path, how: str, imported: str
) -> None:
    row = {name: value for name, value in ROW.items() if name in TRACES["power"].names}
    command = [sys.executable, "-c", WRITES, str(tmp_path), how, json.dumps(row)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.strip() == imported
    [written] = read_trace(tmp_path, "power").to_pylist()
    assert {name: written[name] for name in row} == row
