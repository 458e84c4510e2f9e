"""Set-up installs what goes with the machine, or what it is told to, and says why."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup.sh"
PYTHON = """#!/bin/sh
# Makes an environment whose Python notes what it is asked to install.
if [ "$2" = venv ]; then
    mkdir -p "$4/bin"
    printf '#!/bin/sh\\necho "$*" >> "%s/asked"\\n' "$4" > "$4/bin/python"
    chmod +x "$4/bin/python"
fi
"""
SMI = "echo '| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05   CUDA Version: {cuda} |'"
FAILS = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"


def set_up(folder: Path, smi: str | None, target: str | None) -> tuple[subprocess.CompletedProcess[str], str]:
    """What it says, and what it installs."""
    commands = {"python3.11": PYTHON} | ({} if smi is None else {"nvidia-smi": f"#!/bin/sh\n{smi}\n"})
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "STARWATT_TARGET": target or ""}
    environment.pop("PYTHON", None)
    done = subprocess.run(
        ["bash", str(SETUP), str(folder / "venv")],  # noqa: S607
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    asked = folder / "venv" / "asked"
    return done, asked.read_text() if asked.exists() else ""


@pytest.mark.parametrize(
    ("smi", "target", "lists", "says"),
    [
        (SMI.format(cuda="13.0"), None, "gpu.txt", ""),
        (SMI.format(cuda="12.8"), None, None, "install driver 580 or newer"),
        (SMI.format(cuda="12.8"), "cpu", "cpu.txt", ""),
        (FAILS, None, "cpu.txt", "nvidia-smi is here but fails: Failed to initialize NVML"),
        (FAILS, "gpu", "gpu.txt", ""),
        ("exit 9", "both", None, "STARWATT_TARGET is gpu or cpu, not both"),
    ],
)
def test_set_up_takes_the_list_of_the_machine_or_the_one_it_is_told(
    tmp_path: Path, smi: str, target: str | None, lists: str | None, says: str
) -> None:
    done, asked = set_up(tmp_path, smi, target)
    assert (done.returncode == 0) == (lists is not None), done.stderr
    assert says in done.stderr
    assert {name for name in ("gpu.txt", "cpu.txt") if f"requirements/{name}" in asked} == ({lists} - {None})
