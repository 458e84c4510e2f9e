"""The benchmarks' server knows when its tokens left, and the load generator reports that."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.loadgen.truth import TruthServer, compile_server, self_signed
from tests.support.driving import Driven, closed, constant, drive, make_spec, requests

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
TOKENS = 8
IN_TIME_NS = 5_000_000
"""What is sent or seen later than this had to wait for a CPU: a figure with that wait is not the server's alone."""


def run(out: Path, load: dict[str, Any], **stall: float) -> tuple[Driven, TruthServer]:
    """Forty measured requests of eight tokens."""
    options: dict[str, float] = {"first-ms": 10, "every-ms": 2, "tokens": TOKENS}
    options |= {name.replace("_", "-"): value for name, value in stall.items()}
    with TruthServer(compile_server(out), out, options) as server:
        driven = drive(make_spec(server.url, load, amount=requests(40)), out)
    return driven, server


@pytest.mark.parametrize("load", [constant(100), closed(3)], ids=["open", "closed"])
def test_every_request_that_the_server_saw_is_a_row_and_no_token_is_seen_before_it_left(
    tmp_path: Path, load: dict[str, Any]
) -> None:
    driven, server = run(tmp_path, load)
    truth = server.truth
    rows = [row for row in driven.rows if row["status"] == "ok"]
    assert len(truth.arrival_ns) == len(rows)
    assert {row["output_tokens"] for row in rows} == {TOKENS}
    assert {tuple(row["chunk_tokens"]) for row in rows} == {(1,) * TOKENS}
    rows.sort(key=lambda row: row["first_token_ns"])
    on_the_way_ns = np.array([row["first_token_ns"] for row in rows]) - np.sort(truth.first_token_ns)
    assert np.all(on_the_way_ns > 0)
    last_ns = np.sort([row["chunk_ns"][-1] for row in rows])
    assert np.all(last_ns > np.sort(truth.last_token_ns))
    assert np.all(truth.ttft_ns >= 10e6)
    gaps_ns = np.concatenate([np.diff(row["chunk_ns"]) for row in rows])
    assert np.all(gaps_ns >= 0)
    if on_the_way_ns.max() < IN_TIME_NS:
        assert gaps_ns.mean() == pytest.approx(truth.itl_ns, rel=0.1)


def test_a_stall_is_seen_for_what_it_is(tmp_path: Path) -> None:
    for trial in range(8):  # what is read late, on a busy machine, is reported late
        folder = tmp_path / str(trial)
        folder.mkdir()
        driven, server = run(folder, constant(100), stall_at=0.1, stall_s=0.5)
        rows = driven.of("measured")
        assert len(rows) == 40
        reported_ns = np.array([row["first_token_ns"] - row["scheduled_ns"] for row in rows])
        true_ns = server.truth.part(0, len(rows)).ttft_ns
        assert true_ns.max() > 450e6
        assert np.all(np.sort(reported_ns) > np.sort(true_ns)), (
            "whatever comes on top, nothing of it is hidden"
        )
        reported = np.array([reported_ns.mean(), np.percentile(reported_ns, 99)])
        true = np.array([true_ns.mean(), np.percentile(true_ns, 99)])
        if np.all(reported < 1.1 * true):
            return
    pytest.fail(
        f"mean, 99th percentile: {reported} ns reported, {true} ns true, and no better in eight trials"
    )


def test_behind_tls_the_truth_is_as_well_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        binary = compile_server(tmp_path, tls=True)
    except subprocess.CalledProcessError:
        pytest.skip("needs the headers of OpenSSL")
    pem = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with TruthServer(binary, tmp_path, {"first-ms": 10, "every-ms": 2, "tokens": TOKENS}, pem=pem) as server:
        driven = drive(make_spec(server.url, closed(3), amount=requests(40)), tmp_path)
    assert driven.result.audit.client == "wire"
    assert {row["status"] for row in driven.of("measured")} == {"ok"}
    seen = sorted(row["first_token_ns"] for row in driven.rows if row["status"] == "ok")
    assert len(seen) == len(server.truth.arrival_ns)
    assert all(
        left_ns < seen_ns for left_ns, seen_ns in zip(sorted(server.truth.first_token_ns), seen, strict=True)
    )
