"""``starwatt load --meter URL``: the load here, power there, and two clocks between them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from server.power.service.token import TOKEN_VARIABLE
from starwatt_errors import UsageError
from study.cli.meter import record
from tests.server.power.conftest import busy_pid  # noqa: F401 -- a fixture
from tests.support.busy import PATIENCE_S, says
from tests.support.command import COMMAND, starwatt
from tests.support.metering import TOKEN, served
from tests.support.server import Answer, Asked, TruthServer
from traces.cell import read_cell
from traces.clock import boot_id
from traces.layout import RunDir
from traces.streams import read_trace

HOUR_NS = 3600 * 1_000_000_000
SHIFTED = str(Path(__file__).parents[2] / "support" / "shifted_clock")


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)


def loaded(url: str, meter: str, out: Path, duration: float = 2) -> subprocess.CompletedProcess[str]:
    """A load test with two requests in flight."""
    return starwatt(
        "load", "--url", url, "--model", "m", "--concurrency", 2, "--duration", duration, "--meter", meter,
        "--out", out, "--json",
    )  # fmt: skip


@pytest.mark.parametrize("shift_ns", [HOUR_NS, -HOUR_NS])
def test_power_of_a_host_whose_clock_is_an_hour_apart_is_joined_with_the_load(
    tmp_path: Path,
    busy_pid: int,  # noqa: F811
    shift_ns: int,
) -> None:
    out = tmp_path / "out"
    path = os.pathsep.join(filter(None, (SHIFTED, os.environ.get("PYTHONPATH"), str(Path.cwd()))))
    apart = {"PYTHONPATH": path, "TEST_CLOCK_SHIFT_NS": str(shift_ns)}
    with (
        served("--pid", busy_pid, environment=apart) as (meter, _),
        TruthServer(lambda _: Answer(gap_s=0.01)) as server,
    ):
        done = loaded(server.url, meter, out)
    assert done.returncode in (0, 3), done.stderr
    run = RunDir(out)
    [key] = run.finished_cells()
    folder = run.cell(key)
    clock = read_cell(folder).power_clock
    assert clock is not None
    assert clock.end is not None
    for offset in (clock.start, clock.end):
        assert offset.lowest_ns <= shift_ns <= offset.highest_ns
    power_ns = read_trace(folder, "power").column("t_ns").to_pylist()
    sent_ns = read_trace(folder, "requests").column("sent_ns").to_pylist()
    assert power_ns[0] < min(sent_ns) + shift_ns < max(sent_ns) + shift_ns < power_ns[-1]
    result = analyse_cell(run, key, read_context(run)[0])
    assert result.primary is not None
    assert result.primary.samples > 0
    assert result.primary.energy_j is not None
    assert result.primary.energy_j > 0
    assert says(result.energy_reasons), result.energy_reasons
    manifest = json.loads(run.manifest.read_text())
    assert manifest["meter_host"]["boot_id"] == boot_id()
    assert [mark["phase"] for mark in manifest["meters"]["marks"]] == ["idle_before", "load", "idle_after"]
    for file in out.rglob("*.*"):
        assert TOKEN.encode() not in file.read_bytes()


def test_a_service_that_dies_under_the_load_leaves_an_invalid_run_with_all_its_requests(
    tmp_path: Path,
    busy_pid: int,  # noqa: F811
) -> None:
    out = tmp_path / "out"
    with served("--pid", busy_pid) as (meter, process):

        def behave(asked: Asked) -> Answer:
            if asked.number == 5:
                process.send_signal(signal.SIGKILL)
            return Answer(gap_s=0.01)

        with TruthServer(behave) as server:
            done = loaded(server.url, meter, out, duration=4)
    assert done.returncode == 3, done.stderr
    assert "the power record is not whole" in " ".join(done.stderr.split())
    run = RunDir(out)
    [key] = run.finished_cells()
    result = analyse_cell(run, key, read_context(run)[0])
    assert "clock_uncertain" in result.codes
    assert result.primary is not None
    assert "power_gap" in result.energy_codes(result.primary)
    assert result.measured is not None
    assert result.measured.window.seconds > 3
    power_ns = read_trace(run.cell(key), "power")["t_ns"].to_pylist()
    assert power_ns[0] < result.measured.window.start_ns, "what came before it died is kept"


def test_a_sidecar_here_that_dies_under_the_load_is_told_at_once_and_costs_no_request(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def behave(asked: Asked) -> Answer:
        if asked.number == 5:
            [sidecar] = [
                child
                for child in psutil.Process().children(recursive=True)
                if "server.power" in child.cmdline()
            ]
            sidecar.kill()
        return Answer(gap_s=0.01)

    with TruthServer(behave) as server:
        done = loaded(server.url, "local", out)
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stderr.split())
    assert said.index("power is not recorded any more") < said.index("the power record is not whole")
    assert "the power sidecar was killed (signal 9)" in said
    run = RunDir(out)
    [key] = run.finished_cells()
    assert read_trace(run.cell(key), "requests").num_rows > 5
    assert "killed" in json.loads(run.manifest.read_text())["meters"]["problem"]
    assert json.loads((out / "summary.json").read_text())["metrics"]


@pytest.mark.parametrize("left", ["power.parquet", "power.arrows"])
def test_a_folder_that_holds_a_recording_takes_no_other(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_bytes(b"a recording")
    with pytest.raises(UsageError, match=rf"holds a recording \({left}\) .*: take a new folder"):
        record(tmp_path, os.getpid(), 20.0)
    assert (tmp_path / left).read_bytes() == b"a recording"


def test_a_meter_that_can_not_be_reached_or_refuses_the_token_starts_no_load(
    tmp_path: Path,
    busy_pid: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unused, TruthServer() as server:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = loaded(server.url, nobody, tmp_path / "out")
        assert done.returncode == 1
        assert f"--meter {nobody}: cannot be reached: Connection refused" in json.loads(done.stdout)["error"]
        with served("--pid", busy_pid) as (meter, _):
            monkeypatch.setenv(TOKEN_VARIABLE, "another-token-0123456789")
            done = loaded(server.url, meter, tmp_path / "out")
        assert done.returncode == 1
        assert "refuses the token" in json.loads(done.stdout)["error"]
        monkeypatch.delenv(TOKEN_VARIABLE)
        done = loaded(server.url, meter, tmp_path / "out")
        assert done.returncode == 2
        assert f"set {TOKEN_VARIABLE}" in json.loads(done.stdout)["error"]
        assert server.asked == []
    assert not (tmp_path / "out").exists()


def test_a_drawn_token_is_printed_to_stderr_alone_and_the_service_ends_on_ctrl_c(busy_pid: int) -> None:  # noqa: F811
    process = subprocess.Popen(
        [*COMMAND, "meter", "--serve", "--port", "0", "--pid", str(busy_pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=PATIENCE_S)
    assert url.startswith("http://127.0.0.1:")
    assert process.returncode == 130, said
    assert [line for line in said.splitlines() if line.startswith(f"{TOKEN_VARIABLE}=")]
    assert TOKEN_VARIABLE not in url + rest
    assert "Traceback" not in said
