"""One variant served and load-tested at a fixed rate, as the README has it; and servers that can't be."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from server.engines.engine import free_port
from tests.live.conftest import Command
from tests.support.busy import says
from traces.streams import read_trace

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

MODEL = "starcoder2-memorised"
KEY = "sk-quite-secret-23"


def test_a_quantised_variant_is_served_and_load_tested_at_a_fixed_rate(
    starwatt: Callable[..., Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_API_KEY", KEY)
    port = free_port()
    limits = ["--max-model-len", "512", "--max-num-seqs", "32", "--enforce-eager"]
    server = starwatt("serve", "nf4-bnb", "--model", MODEL, "--port", str(port), *limits)
    server.until(lambda: "curl " in server.said)
    assert re.search(r"Loading weights took|KV cache size", server.said), "the engine's own words on the way"
    [url] = set(re.findall(r"http://127\.0\.0\.1:\d+", server.said))

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/v1/models", timeout=10)
    assert '-H "Authorization: Bearer $STARWATT_API_KEY"' in server.said
    assert KEY not in server.said
    asked = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(asked, timeout=10) as response:
        [served] = json.load(response)["data"]
    assert served["id"] == MODEL

    flags = ["--qps", "4", "--arrivals", "constant", "--requests", "24", "--max-tokens", "128"]
    load = starwatt("load", "--url", url, "--model", MODEL, *flags, "--out", "fixed", "--meter", "local")
    code = load.end()
    assert code in (0, 3), load.said
    summary = json.loads((tmp_path / "fixed" / "summary.json").read_text())
    assert says({problem["reason"] for problem in summary["invalid"]}), load.said
    assert summary["metrics"]["completed_requests"] == 24
    assert summary["audit"]["offered_rate"] == pytest.approx(4.0, rel=1e-6)
    requests = pq.read_table(tmp_path / "fixed" / "requests.parquet")
    assert set(requests["status"].to_pylist()) == {"ok"}
    [cell] = (tmp_path / "fixed" / "cells").glob("*/*/*/b1")
    assert read_trace(cell, "power").num_rows > 0
    assert (tmp_path / "fixed" / "report.html").is_file()

    taken = starwatt("serve", "nf4-bnb", "--model", MODEL, "--port", str(port))
    assert taken.end() == 1
    assert f"port {port} on 127.0.0.1 is in use" in taken.said

    assert server.interrupt() == 130
    assert server.left_behind() == []


def test_a_server_that_dies_while_loading_is_shown_with_its_last_words(
    starwatt: Callable[..., Command], tmp_path: Path
) -> None:
    model = tmp_path / "broken"
    model.mkdir()
    (model / "config.json").write_text(
        '{"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"]}'
    )
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")  # no weights
    (model / "tokenizer.json").write_text("{}")
    server = starwatt("serve", "bf16", "--model", str(model), "--port", str(free_port()))
    assert server.end() == 1
    assert "the engine died while it was loading" in server.said
    assert server.left_behind() == []
