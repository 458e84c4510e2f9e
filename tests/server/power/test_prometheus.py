"""deploy/monitoring with a real Prometheus: every panel of the dashboard has data, from engine, sidecar and study."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.engines.engine import free_port
from study.progress.exporter import Exporter
from study.progress.live import Snapshot
from tests.golden.endpoint import GoldenEndpoint
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A
from tests.support.busy import PATIENCE_S
from tests.support.metering import TOKEN, served
from traces.layout import CellKey

MONITORING = Path(__file__).resolve().parents[3] / "deploy" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "starwatt.json"


@pytest.fixture
def prometheus() -> str:
    """Debian's Prometheus; CI has to have it, others may not."""
    program = shutil.which("prometheus")
    if program is None:
        reason = "no Prometheus here: make browser installs Debian's"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@contextmanager
def scraping(prometheus: str, folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """The configuration as it is shipped, with these targets, every second."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"]["scrape_interval"] = "1s"
    (folder / "token").write_text(TOKEN)
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(folder / "token")
    assert {job["job_name"] for job in config["scrape_configs"]} == set(targets)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        prometheus, f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def asked(url: str, query: str) -> list[Any]:
    """Series that the query has now; none while Prometheus is not ready."""
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            found: list[Any] = json.load(response)["data"]["result"]
    except OSError:
        return []
    return [series for series in found if series["value"][1] != "NaN"]


def panels() -> dict[str, str]:
    """The dashboard's queries, by panel and letter."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def measuring(exporter: Exporter, seen: Snapshot) -> None:
    """A study in the middle of a cell."""
    exporter.cells(planned=30, done=4, failed=lambda: 1)
    exporter.cell(CellKey("starcoder2-3b", "bf16", "closed-8", 1))
    exporter.saw(seen)


def test_a_study_with_an_engine_of_its_own_fills_every_panel_alone(prometheus: str, tmp_path: Path) -> None:
    queries, board = panels(), (A, "gpu", "nvml")
    with Exporter("my-study", 0) as exporter:
        measuring(exporter, Snapshot(8, 3, 50.0, {board: 300.0}, 2.0, {board: 61.0}))
        nobody = f"127.0.0.1:{free_port()}"
        targets = dict.fromkeys(("engine", "sidecar"), nobody)
        targets["study"] = urllib.parse.urlsplit(exporter.url).netloc
        with scraping(prometheus, tmp_path, targets) as url:
            found: dict[str, list[float]] = {}
            until = time.monotonic() + PATIENCE_S
            while not (found and all(found.values())) and time.monotonic() < until:
                found = {
                    panel: sorted(float(series["value"][1]) for series in asked(url, query))
                    for panel, query in queries.items()
                }
                time.sleep(0.2)
    assert found == {
        "Cells A": [1, 4, 30],
        "Power A": [300],
        "Energy per output token A": [6],
        "Output tokens a second A": [50],
        "Requests A": [8],
        "Requests B": [3],
        "Dispatch lag, p99 A": [0.002],
        "Temperature A": [61],
    }


def test_every_panel_has_data(prometheus: str, nvml: GoldenBoards, tmp_path: Path) -> None:
    queries = panels().values()
    assert len(queries) >= 8
    with GoldenEndpoint(nvml) as engine, served() as (sidecar, _), Exporter("my-study", 0) as exporter:
        measuring(exporter, Snapshot(lag_ms=2.0))  # all else is the engine's and the sidecar's to tell
        targets = {
            "engine": urllib.parse.urlsplit(engine.url).netloc,
            "sidecar": urllib.parse.urlsplit(sidecar).netloc,
            "study": urllib.parse.urlsplit(exporter.url).netloc,
        }
        with scraping(prometheus, tmp_path, targets) as url:
            missing = dict.fromkeys(queries)
            until = time.monotonic() + PATIENCE_S
            while missing and time.monotonic() < until:
                _complete(engine.url)  # the engine has something to count
                missing = {query: None for query in missing if not asked(url, query)}
            assert not missing, (list(missing), (tmp_path / "log").read_text()[-2000:])
            (watts,) = asked(url, f'starwatt_power_watts{{job="sidecar",device="{A}"}}')
            assert float(watts["value"][1]) > 0
            assert len(asked(url, "up == 1")) == 3


def _complete(url: str) -> None:
    body = {"model": "m", "prompt": "def f():", "max_tokens": 4, "stream": True}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        response.read()
