"""A sidecar's helpers: a busy process, and NVML of two boards behind the real loader path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BUSY = "import sys\nprint('busy', flush=True)\nwhile True: sum(range(1000))"


@pytest.fixture
def busy_pid() -> Iterator[int]:
    """A process that uses one CPU."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.fixture(scope="session")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our ``libnvidia-ml.so.1``."""
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("fake_nvml.c")
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def nvml(nvml_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes started from here find two boards."""
    paths = [str(nvml_folder), os.environ.get("LD_LIBRARY_PATH", "")]
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(filter(None, paths)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
