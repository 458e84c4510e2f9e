"""A host with ROCm whose boards a file describes: the real package, on a library compiled here."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.power.amd import library
from tests.support.busy import PATIENCE_S

_SOURCE = Path(__file__).with_name("fake_amd_smi.c")
_NONE = 65535


def line(
    *, bdf: int = 0xC100, status: int = 0, current: int = 700, average: int = _NONE, energy: int = 1_000_000,
    resolution: float = 15.3, temperature: int = 55, clock: int = 2100, cap: int = 750_000_000, uuid: str = "aaff-1",
    serial: str = "0",
) -> str:  # fmt: skip
    """One board."""
    fields = (status, current, average, energy, resolution, temperature, clock, cap, uuid, serial)
    return f"{bdf:x} " + " ".join(map(str, fields))


@pytest.fixture(scope="session")
def rocm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ROCm installs: the package, and the library that fits it."""
    found = importlib.util.find_spec("amdsmi")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the package amdsmi (requirements/dev.txt)")
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    home = tmp_path_factory.mktemp("rocm")
    package = home / "share" / "amd_smi" / "amdsmi"
    shutil.copytree(found.submodule_search_locations[0], package)
    wrapper = (package / "amdsmi_wrapper.py").read_text(encoding="utf-8")
    names = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper))
    ours = set(re.findall(r"^int (amdsmi_\w+)\(", _SOURCE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert ours < names
    stubs = "\n".join(f"int {name}(void) {{ return NOT_SUPPORTED; }}" for name in sorted(names - ours))
    (home / "lib").mkdir()
    (home / "stubs.h").write_text(stubs)
    library_file = home / "lib" / "libamd_smi.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wall", "-Werror", f"-I{home}", "-o", library_file, _SOURCE],  # noqa: S607
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return home


@pytest.fixture
def host(rocm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes the boards of this host; none are there, and no driver, before."""
    file = tmp_path / "boards"
    monkeypatch.setenv("ROCM_PATH", str(rocm))
    for variable in ("ROCM_HOME", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("FAKE_AMD_BOARDS", str(file))

    def forget() -> None:
        library._package.cache_clear()
        for name in [module for module in sys.modules if module.partition(".")[0] == "amdsmi"]:
            del sys.modules[name]

    forget()

    def describe(*lines: str) -> None:
        file.write_text("\n".join(lines) + "\n")

    yield describe
    forget()
