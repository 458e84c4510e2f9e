"""The sidecar over HTTP: who may ask, what is recorded, and what becomes of a recording whose client is gone."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from server.power.service import client as power_client
from server.power.service import remote
from server.power.service.client import MeterUnreachableError, ServiceClient, measure_clock
from server.power.service.listen import Listening
from server.power.service.remote import RemoteMeter
from server.power.service.token import TOKEN_VARIABLE, token_of_the_service
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError, UsageError
from tests.golden.nvml.world import LOST, GoldenBoards
from tests.server.power.conftest import A, B
from tests.server.power.test_sidecar import wait_for
from tests.support.busy import PATIENCE_S
from tests.support.certificates import certified
from tests.support.metering import MODELLED, TOKEN, served, serving
from traces.clock import boot_id
from traces.streams import read_trace

ADDRESSES = (
    ("GET", "/v1/host"), ("GET", "/v1/clock"), ("POST", "/v1/sessions"), ("POST", "/v1/sessions/x/stop"),
    ("GET", "/v1/sessions/x/power.arrows"), ("GET", "/metrics"), ("GET", "/nowhere"),
)  # fmt: skip


CLIENTS: list[ServiceClient] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the connections of a test."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def client_of(url: str, token: str = TOKEN) -> ServiceClient:
    """A patient client, closed when the test ends."""
    CLIENTS.append(ServiceClient(url, token).patient())
    return CLIENTS[-1]


@pytest.fixture
def url(busy_pid: int) -> Iterator[str]:
    """A service that models the power of a busy process."""
    with serving(busy_pid) as address:
        yield address


def test_no_address_answers_without_the_token(url: str) -> None:
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
        client = client_of(url, token)
        for method, path in ADDRESSES:
            with pytest.raises(MeterError, match="refuses the token: STARWATT_METER_TOKEN must be"):
                client.fetch(method, path)


def test_a_recording_is_the_sidecars_own_trace_with_the_phases_that_were_marked(
    url: str, tmp_path: Path
) -> None:
    with RemoteMeter.start(url, TOKEN, tmp_path / "cell") as meter:
        meter.mark("load")
        wait_for((tmp_path / "cell" / "power.arrows").is_file)
        meter.mark("idle_after")
    assert meter.problem is None
    table = read_trace(tmp_path / "cell", "power")
    rows = table.to_pylist()
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["power.parquet"]
    assert table.schema.metadata[b"boot_id"].decode() == boot_id()
    assert len(rows) == meter.summary["samples"] > 20
    assert {(row["source"], row["boundary"]) for row in rows} == {("modelled", "cpu")}
    assert [mark["phase"] for mark in meter.marks] == ["load", "idle_after"]
    assert rows[0]["t_ns"] < meter.marks[1]["t_ns"] < rows[-1]["t_ns"]
    for offset in (meter.clock.start, meter.clock.end):  # one machine: the truth is 0
        assert offset is not None
        assert offset.lowest_ns <= 0 <= offset.highest_ns


def test_only_one_records_at_a_time_and_the_next_may_begin_after_it(url: str, tmp_path: Path) -> None:
    client = client_of(url)
    first = client.ask("POST", "/v1/sessions", {})["id"]
    with pytest.raises(MeterError, match="another client records here"):
        RemoteMeter.start(url, TOKEN, tmp_path)
    client.ask("POST", f"/v1/sessions/{first}/stop")
    assert (
        pa.ipc.open_stream(client.fetch("GET", f"/v1/sessions/{first}/power.arrows")).read_all().num_rows > 0
    )
    second = client.ask("POST", "/v1/sessions", {"sample_hz": 10})["id"]
    assert second != first
    with pytest.raises(MeterError, match="there is no such recording"):
        client.fetch("GET", f"/v1/sessions/{first}/power.arrows")


def test_a_recording_that_nobody_asks_after_ends_and_keeps_its_samples(busy_pid: int) -> None:
    with serving(busy_pid, lease_s=0.4) as url:
        client = client_of(url)
        number = client.ask("POST", "/v1/sessions", {})["id"]
        time.sleep(1.0)  # asking would renew it
        wait_for(lambda: ended(client, number))
        stream = client.fetch("GET", f"/v1/sessions/{number}/power.arrows")
        assert pa.ipc.open_stream(stream).read_all().num_rows > 0


def ended(client: ServiceClient, number: str) -> bool:
    """Whether a recording takes no mark any more."""
    try:
        client.ask("POST", f"/v1/sessions/{number}/phases", {"phase": "x"})
    except MeterError as error:
        return "has ended" in str(error)
    time.sleep(1.0)
    return False


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/sessions", {"sample_hz": 1000}, "sample_hz: "),
        ("/v1/sessions", {"hz": 10}, "hz: Extra inputs"),
        ("/v1/sessions/none/stop", None, "no such recording"),
        ("/v2", None, "Not Found"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(
    url: str, path: str, body: dict[str, object] | None, words: str
) -> None:
    with pytest.raises(MeterError, match=re.escape(words)):
        client_of(url).ask("POST", path, body)


@pytest.mark.parametrize("query", ["offset=-1", "offset=1e3", "offset="])
def test_an_offset_that_is_none_is_refused_and_one_beyond_the_end_is_empty(url: str, query: str) -> None:
    client = client_of(url)
    number = client.ask("POST", "/v1/sessions", {})["id"]
    with pytest.raises(MeterError, match="offset: takes a number of bytes"):
        client.fetch("GET", f"/v1/sessions/{number}/power.arrows?{query}")
    assert client.fetch("GET", f"/v1/sessions/{number}/power.arrows?offset=99999999") == b""
    with pytest.raises(MeterError, match="no trace 'occupancy'"):  # no board, so nobody looks
        client.fetch("GET", f"/v1/sessions/{number}/occupancy.arrows")


def test_over_tls_a_trusted_certificate_works_and_another_does_not(
    tmp_path: Path, busy_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, _ = certified(tmp_path, "127.0.0.1")
    assert Listening("0.0.0.0", 0, pem, pem).tls() is not None  # noqa: S104 -- a certificate is what it takes
    with served("--pid", busy_pid, "--certificate", pem, "--key", pem) as (url, _):
        assert url.startswith("https://127.0.0.1:")
        with pytest.raises(MeterError, match="certificate is not trusted") as raised:
            client_of(url).ask("GET", "/v1/host")
        assert not isinstance(raised.value, MeterUnreachableError), "waiting would not help"
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert measure_clock(client_of(url)).boot_id == boot_id()


def test_other_machines_are_let_in_with_tls_alone_or_where_it_is_said() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104 -- refused
        with pytest.raises(UsageError, match="--allow-plain-http"):
            Listening(host).tls()
        assert Listening(host, allow_plain=True).tls() is None
    for host in ("127.0.0.1", "localhost", "::1"):
        assert Listening(host).tls() is None


def test_a_certificate_without_its_key_or_that_does_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TLS takes both"):
        Listening(certificate=tmp_path / "c.pem").tls()
    with pytest.raises(UsageError, match=r"c\.pem.*No such file"):
        Listening(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem").tls()


def test_a_token_is_drawn_unless_one_is_given_and_a_weak_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    (first, drawn), (second, _) = token_of_the_service(), token_of_the_service()
    assert drawn
    assert first != second
    assert len(first) >= 32
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert token_of_the_service() == (TOKEN, False)
    for weak in ("short", "with a space in it, and long", "ümlaut-in-a-long-token"):
        monkeypatch.setenv(TOKEN_VARIABLE, weak)
        with pytest.raises(UsageError, match="takes 16 or more ASCII characters"):
            token_of_the_service()


def test_a_service_without_any_meter_does_not_begin() -> None:
    with pytest.raises(MeterError, match="name it with --pid"), serving(None):
        pass


def test_a_board_lost_on_the_way_is_told_at_the_end_in_the_sidecars_words(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    with served() as (url, _):
        meter = RemoteMeter.start(url, TOKEN, tmp_path / "cell")
        wait_for((tmp_path / "cell" / "power.arrows").is_file)
        nvml.strike("fields", LOST, board=0)
        time.sleep(0.3)  # some readings at 20 Hz
        meter.stop()
    assert meter.problem is not None
    assert "GPU is lost" in meter.problem
    assert {row["device"] for row in read_trace(tmp_path / "cell", "power").to_pylist()} == {A, B}
    assert read_trace(tmp_path / "cell", "occupancy").num_rows > 0


def told(meter: RemoteMeter) -> str:
    """What ``check_alive`` says, as soon as it says something."""
    while True:
        try:
            meter.check_alive()
        except MeterError as error:
            return str(error)
        time.sleep(0.02)  # a poll is what is tested


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls ten times a second, and no answer is waited for longer than a second."""
    monkeypatch.setattr(remote, "_FETCH_S", 0.1)
    monkeypatch.setattr(power_client, "_TIMEOUT_S", 1.0)


@pytest.mark.usefixtures("quick")
def test_a_board_lost_there_is_known_here_while_it_still_should_record(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    with served() as (url, _):
        meter = RemoteMeter.start(url, TOKEN, tmp_path / "cell")
        wait_for((tmp_path / "cell" / "power.arrows").is_file)
        meter.check_alive()
        nvml.strike("fields", LOST, board=0)
        assert f"GPU 0 ({A}): nvmlDeviceGetFieldValues: GPU is lost" in told(meter)
        meter.stop()
        assert "GPU is lost" in (meter.problem or "")
        RemoteMeter.start(url, TOKEN, tmp_path / "next").stop()  # the other board would still be there


@pytest.mark.usefixtures("quick")
def test_a_sidecar_killed_there_is_known_here_and_bars_no_other_recording(
    tmp_path: Path, busy_pid: int
) -> None:
    with served("--pid", busy_pid) as (url, service):
        meter = RemoteMeter.start(url, TOKEN, tmp_path / "cell")
        [sidecar] = [
            child for child in psutil.Process(service.pid).children() if "server.power" in child.cmdline()
        ]
        sidecar.kill()
        assert "the power sidecar was killed (signal 9)" in told(meter)
        with RemoteMeter.start(url, TOKEN, tmp_path / "another") as another:
            another.check_alive()
        assert another.problem is None
        meter.stop()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_service_that_is_gone_or_answers_nothing_is_known_here(
    tmp_path: Path, busy_pid: int, number: signal.Signals
) -> None:
    with served("--pid", busy_pid) as (url, service):
        meter = RemoteMeter.start(url, TOKEN, tmp_path / "cell")
        wait_for((tmp_path / "cell" / "power.arrows").is_file)
        meter.check_alive()
        service.send_signal(number)
        assert "cannot be reached" in told(meter)
        if number == signal.SIGSTOP:
            service.send_signal(signal.SIGCONT)  # what was missed is still there
            wait_for(lambda: meter._silence is None)
            meter.check_alive()
        meter.stop()
        assert (meter.problem is None) == (number == signal.SIGSTOP)
        assert read_trace(tmp_path / "cell", "power").num_rows > 0


@pytest.mark.usefixtures("quick")
def test_a_recording_that_ended_for_want_of_questions_says_so(tmp_path: Path, busy_pid: int) -> None:
    with serving(busy_pid, lease_s=0.4) as url:
        client = client_of(url)
        number = client.ask("POST", "/v1/sessions", {})["id"]
        time.sleep(1.0)  # asking would renew it
        wait_for(lambda: ended(client, number))
        problem = client.ask("GET", f"/v1/sessions/{number}")["problem"]
        assert problem == "nobody asked after this recording for 0.4 s, and it was ended"


def test_a_folder_takes_one_recording_from_there_or_here(url: str, tmp_path: Path, busy_pid: int) -> None:
    words = "another recording is under way there"
    with RemoteMeter.start(url, TOKEN, tmp_path):
        with pytest.raises(MeterError, match=words):
            Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid)
        with serving(busy_pid) as other, pytest.raises(MeterError, match=words):
            RemoteMeter.start(other, TOKEN, tmp_path)
    with (
        Sidecar.start(tmp_path / "here", MODELLED, engine_pid=busy_pid),
        pytest.raises(MeterError, match=words),
    ):
        RemoteMeter.start(url, TOKEN, tmp_path / "here")
    with RemoteMeter.start(url, TOKEN, tmp_path / "next") as meter:  # what was refused holds nothing
        pass
    assert meter.problem is None


def test_a_connection_that_was_closed_in_the_meantime_is_opened_anew(url: str) -> None:
    client = client_of(url)
    client.ask("GET", "/v1/clock")
    assert client._connection.sock is not None
    client._connection.sock.shutdown(socket.SHUT_WR)
    assert client.ask("GET", "/v1/clock")


@pytest.mark.usefixtures("nvml")
def test_metrics_have_what_each_board_offers_and_no_line_for_what_it_lacks() -> None:
    with served() as (url, _):
        text = client_of(url).fetch("GET", "/metrics").decode()
    a, b = (f'{{boundary="gpu",device="{board}",source="nvml"}}' for board in (A, B))
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    lines = {",".join(sorted(re.split("[{},]", name))): value for name, value in lines.items()}

    def value(metric: str, labels: str) -> str | None:
        return lines.get(",".join(sorted(re.split("[{},]", metric + labels))))

    assert value("starwatt_power_watts", a) == "300.0"
    assert value("starwatt_power_watts", b) == "150.0"
    assert value("starwatt_temperature_celsius", a) == "61.0"
    assert value("starwatt_energy_joules_total", a) is not None
    assert value("starwatt_temperature_celsius", b) is value("starwatt_energy_joules_total", b) is None
    assert "# TYPE starwatt_energy_joules_total counter" in text


def test_metrics_of_a_board_that_is_lost_are_refused_with_the_reason_and_the_service_goes_on(
    nvml: GoldenBoards,
) -> None:
    with served() as (url, _):
        nvml.strike("fields", LOST, board=0)
        asked = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with (
            pytest.raises(urllib.error.HTTPError) as refused,
            urllib.request.urlopen(asked, timeout=PATIENCE_S),
        ):
            pass
        assert refused.value.code == 503
        assert "GPU is lost" in json.loads(refused.value.read())["error"]
        refused.value.close()
        assert client_of(url).fetch("GET", "/v1/clock")
        nvml.mend()  # it was reset
        assert A in client_of(url).fetch("GET", "/metrics").decode()
