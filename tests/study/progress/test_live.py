"""The live view: read from the traces of a cell that is being measured, shown and exported."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from configs.datasets import load_dataset
from starwatt_errors import EngineError, UsageError
from study.executors.local import LocalExecutor
from study.executors.loop import measure_all
from study.measure.engine_session import EngineSession
from study.measure.retries import Measure
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell
from study.progress.exporter import Exporter
from study.progress.live import Snapshot, look_at, watching
from study.run import _exported
from tests.study.plan.test_cells import plan
from tests.study.records.test_lock import study
from tests.support.busy import PATIENCE_S
from traces.clock import now_ns
from traces.layout import CellKey, RunDir
from traces.streams import TraceWriter

SECOND = 1_000_000_000
KEY = CellKey("starcoder2-3b", "bf16", "closed-8", 1)


def growing(folder: Path, now: int, *, answers_s: int = 1) -> list[TraceWriter]:
    """Traces that are still being written: ten seconds of a cell whose counters are known.

    A request ends every second, and is written then, ``answers_s`` after it was due and 2 ms less after it was sent.
    """
    engine, power, requests = (TraceWriter(folder, name) for name in ("engine", "power", "requests"))
    for second in range(-9, 1):
        at = now + second * SECOND
        engine.append(
            {"t_ns": at, "running": 8.0, "waiting": 2.0, "generation_tokens_total": 1000.0 + 50 * second}
        )
        for device, watts in (("GPU-a", 300.0), ("GPU-b", 200.0)):
            row = {"t_ns": at, "device": device, "boundary": "gpu", "source": "nvml"}
            power.append({**row, "power_w": watts + second})
            power.append({**row, "temperature_c": 40.0 + second})
        due = at - answers_s * SECOND
        times = {"scheduled_ns": due, "sent_ns": due + 2_000_000, "end_ns": at}
        requests.append({"request_id": second, **times, "role": "measured"})
    for writer in (engine, power, requests):
        writer.flush()
    return [engine, power, requests]


def test_a_growing_cell_is_read_while_it_is_written(tmp_path: Path) -> None:
    now = now_ns()
    writers = growing(tmp_path, now)
    seen = look_at(tmp_path, now)
    for writer in writers:
        writer.close()
    assert (seen.running, seen.waiting) == (8, 2)
    assert seen.tokens_per_s == pytest.approx(50)
    assert seen.watts == {("GPU-a", "gpu", "nvml"): 300.0, ("GPU-b", "gpu", "nvml"): 200.0}
    assert seen.celsius == {("GPU-a", "gpu", "nvml"): 40.0, ("GPU-b", "gpu", "nvml"): 40.0}
    assert seen.lag_ms == pytest.approx(2.0)
    assert seen.words == "8 in flight · 2 waiting · 50 tokens/s · 500 W gpu · lag 2.0 ms"
    assert look_at(tmp_path, now).watts == seen.watts  # the same once it is Parquet


def test_the_lag_is_told_where_answers_take_longer_than_it_looks_back(tmp_path: Path) -> None:
    now = now_ns()
    writers = growing(tmp_path, now, answers_s=60)
    assert look_at(tmp_path, now).lag_ms == pytest.approx(2.0)
    for writer in writers:
        writer.close()


def test_what_is_not_there_is_not_shown_and_never_zero(tmp_path: Path) -> None:
    seen = look_at(tmp_path)
    assert seen == Snapshot()
    assert seen.words == ""
    assert Snapshot(watts={("engine", "cpu", "modelled"): 30.0}).words == "30 W cpu (estimated)"


def test_it_looks_again_and_again_and_ends_with_the_cell(tmp_path: Path) -> None:
    writers = growing(tmp_path, now_ns())
    seen, twice = [], threading.Event()

    def told(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        if len(seen) == 2:
            twice.set()

    with watching(tmp_path, told):
        assert twice.wait(PATIENCE_S)
    for writer in writers:
        writer.close()
    assert seen[0].running == 8
    assert not [thread for thread in threading.enumerate() if thread.name == "live-view"]


def scraped(exporter: Exporter) -> dict[str, float]:
    """Values by metric and labels, as Prometheus reads them."""
    with urllib.request.urlopen(exporter.url, timeout=PATIENCE_S) as response:
        text = response.read().decode()
    return {
        " ".join(
            (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_study_and_its_cell_are_exported() -> None:
    power, heat = (
        f"starwatt_{what} boundary=gpu device=GPU-a source=nvml study=s"
        for what in ("power_watts", "temperature_celsius")
    )
    given_up = ["one"]
    with Exporter("s", 0) as exporter:
        exporter.cells(planned=30, done=4, failed=lambda: len(given_up))
        assert scraped(exporter) == {
            "starwatt_cells state=planned study=s": 30,
            "starwatt_cells state=done study=s": 4,
            "starwatt_cells state=failed study=s": 1,
        }
        given_up.append("another")
        assert scraped(exporter)["starwatt_cells state=failed study=s"] == 2
        exporter.cell(KEY)
        board = ("GPU-a", "gpu", "nvml")
        exporter.saw(Snapshot(8, 2, 50.0, {board: 300.0}, 2.0, {board: 61.0}))
        metrics = scraped(exporter)
        assert metrics["starwatt_cell block=1 load=closed-8 model=starcoder2-3b study=s variant=bf16"] == 1
        assert (metrics[power], metrics[heat]) == (300, 61)
        assert metrics["starwatt_output_tokens_per_second load=closed-8 study=s variant=bf16"] == 50
        lag = metrics["starwatt_dispatch_lag_p99_seconds load=closed-8 study=s variant=bf16"]
        assert lag == pytest.approx(0.002)
        exporter.cell(None)
        assert power not in scraped(exporter)


def test_a_port_that_is_taken_says_what_to_do() -> None:
    with Exporter("one", 0) as exporter:
        port = int(exporter.url.split(":")[2].partition("/")[0])
        with pytest.raises(UsageError, match="choose another"):
            Exporter("two", port)


def test_a_cell_that_fails_is_shown_no_longer_and_counted_once_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan(blocks=1)[:3]
    bad, run = cells[1], RunDir(tmp_path)
    study_run = StudyRun(study(), run, load_dataset("starwatt-24"), cells)
    between: list[dict[str, float]] = []

    @contextmanager
    def open_engine(session: EngineSession, _: Sequence[PlannedCell]) -> Iterator[Measure]:
        between.append(scraped(exporter))

        def measure(cell: PlannedCell) -> None:
            with session._watched(cell):
                exporter.saw(Snapshot(running=8))
                assert any(name.startswith("starwatt_requests_running") for name in scraped(exporter))
                if cell is bad:
                    raise EngineError("gone")
            run.cell(cell.key).mkdir(parents=True)
            (run.cell(cell.key) / "cell.json").touch()
            session.measured(cell)

        yield measure

    monkeypatch.setattr(EngineSession, "open_engine", open_engine)
    with _exported(study_run, 0) as made:
        assert made is not None
        exporter = made
        measure_all(LocalExecutor(study_run.study), study_run, {}, (), exporter)
        between.append(scraped(exporter))
    state = "starwatt_cells state={} study=s".format
    assert all(set(counts) == {state("planned"), state("done"), state("failed")} for counts in between)
    assert [counts[state("failed")] for counts in between] == [0, 0, 0, 1, 1]
    assert between[-1][state("done")] == 2
