"""Another distribution's ``pynvml`` in the place of nvidia-ml-py's: said in words, by the commands that ask a GPU."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from server.power.nvidia import binding
from server.power.nvidia.binding import BindingError
from tests.support.command import starwatt


def installed(folder: Path, name: str, version: str) -> None:
    """What pip leaves of a distribution."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(("name", "version"), [("pynvml", "11.5.3"), ("nvidia-ml-py3", "7.352.0")])
def test_a_module_of_another_distribution_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    installed(tmp_path, name, version)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", ModuleType("pynvml"))
    library = binding.load()
    with pytest.raises(BindingError, match=f"is of {name} {version}, and has no ") as raised:
        library.nvmlInit()
    assert f"pip uninstall {name} && " in raised.value.remedy
    assert "install --force-reinstall --no-deps nvidia-ml-py==" in raised.value.remedy


def test_a_module_that_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(BindingError, match="pynvml cannot be imported") as raised:
        _ = binding.load().NVML_SUCCESS
    assert "uninstall" not in raised.value.remedy


def test_the_newer_pynvml_which_brings_no_module_is_no_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "pynvml", "13.0.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(binding.load(), ModuleType)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An old pynvml before everything else, for the commands that are started from here."""
    folder = tmp_path / "site"
    installed(folder, "pynvml", "11.5.3")
    (folder / "pynvml").mkdir()
    (folder / "pynvml" / "__init__.py").write_text("class NVMLError(Exception): pass\ndef nvmlInit(): pass\n")
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"), str(Path.cwd()))))
    monkeypatch.setenv("PYTHONPATH", path)
    return folder


@pytest.mark.usefixtures("old")
def test_doctor_says_it_once_and_goes_on() -> None:
    done = starwatt("doctor", "--json")
    checks = {check["what"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 1
    assert checks["GPUs"]["state"] == "failed"
    assert "pynvml 11.5.3" in checks["GPUs"]["detail"]
    assert "pip uninstall pynvml" in checks["GPUs"]["remedy"]
    assert [check["detail"] for check in checks.values()].count("not known: see GPUs") == 4
    assert checks["starwatt-24"]["state"] == "ok"
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("old")
def test_a_command_that_asks_a_gpu_says_it_and_one_that_asks_none_runs(tmp_path: Path) -> None:
    done = starwatt("meter", "--out", tmp_path / "out", "--pid", os.getpid())
    assert done.returncode == 1
    assert "pip uninstall pynvml" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    done = starwatt("build", "--list")
    assert done.returncode == 0, done.stderr
