"""Push variants through vLLM on no device: parser, configuration, model class, quantisation, kernels, tiny's weights.

Runs in the GPU environment with the fake driver on the loader's path, one process a capability (vLLM asks once what it
is on). Takes a list of ``Asked`` as JSON, and prints a line of JSON for each: what vLLM did, and what we say of it.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.rehearsal.verdicts import ANOTHER, REFUSED, SERVED, Asked, Seen
from configs.loader import load_variant
from configs.schema import EngineSettings
from configs.variant import W8A8, BitsAndBytes, Fp8, Variant
from server.build.shape import shape_of
from server.build.store import Checkpoint
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import cannot_be_split, this_machine, why_not
from server.engines.vllm import Vllm, vllm_command, vllm_environment

_WEIGHTS_ALONE = ("Marlin", "Humming")
"""Kernels that multiply in 16 bits, whatever the format says of activations."""
_NO_DEVICE = ("NVIDIA driver", "No CUDA GPUs", "CUDA driver", "no CUDA-capable", "cuda:0", "meta tensor")
"""What a stage says that came to where the board begins."""
_INT8_ENDS = 10
_INT8_WORDS = b"Int8 not supported on SM"


class StoppedError(Exception):
    """vLLM went no further: at which stage, and why."""

    def __init__(self, stage: str, error: BaseException) -> None:
        self.stage, self.why = stage, " ".join(f"{type(error).__name__}: {error}".split())[:300]
        super().__init__(self.why)


def main() -> int:
    """Push everything that stdin asks for."""
    warnings.simplefilter("ignore")
    wanted = [Asked(**one) for one in json.load(sys.stdin)]
    capability = os.environ["REHEARSED_CAPABILITY"]
    os.environ.update(vllm_environment(_spec(wanted[0])))
    _pretend(capability)
    bench = _Bench()
    for asked in wanted:
        spec = _spec(asked)
        seen = Seen(
            **asdict(asked), capability=capability, ours=_ours(asked, spec), **bench.push(spec, asked)
        )
        print(json.dumps(asdict(seen)), flush=True)
    return 0


def _spec(asked: Asked) -> EngineSpec:
    settings = EngineSettings(tensor_parallel=asked.boards, max_model_len=512)
    checkpoint = Checkpoint(Path(asked.folder), "rehearsed", memorised=False)
    return EngineSpec("m", load_variant(asked.variant), checkpoint, settings, port=8000)


def _ours(asked: Asked, spec: EngineSpec) -> str | None:
    """What is refused before anything starts, by the code that refuses it."""
    reason = why_not(spec.variant, spec.settings, this_machine())
    shape = shape_of(json.loads((Path(asked.folder) / "config.json").read_text("utf-8")))
    return reason or (cannot_be_split(shape, spec.variant, asked.boards) if shape else None)


def _pretend(capability: str) -> None:
    """Let torch and vLLM say of the boards what NVML does: CUDA itself sees none."""
    import torch
    from vllm.platforms import current_platform

    major, minor = map(int, capability.split("."))
    boards = int(os.environ["REHEARSED_BOARDS"])
    properties = SimpleNamespace(
        major=major, minor=minor, multi_processor_count=132, total_memory=80 << 30, name="rehearsed", warp_size=32,
        is_integrated=False, regs_per_multiprocessor=65536, shared_memory_per_block_optin=232448,
        L2_cache_size=50 << 20, max_threads_per_multi_processor=2048,
    )  # fmt: skip
    torch.cuda.get_device_properties = lambda *_, **__: properties
    torch.cuda.get_device_capability = lambda *_, **__: (major, minor)
    torch.cuda.is_available = lambda: True
    torch.cuda.current_device = lambda: 0
    torch.cuda.device_count = lambda: boards
    type(current_platform).device_count = classmethod(lambda _: boards)


class _Bench:
    """vLLM's stages, one after the other, as an engine's start takes them."""

    def __init__(self) -> None:
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.plugins import load_general_plugins
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        load_general_plugins()
        self._parser = make_arg_parser(FlexibleArgumentParser())
        self._group_is_made = False

    def push(self, spec: EngineSpec, asked: Asked) -> dict[str, Any]:
        """The fields of ``Seen`` that vLLM decides."""
        told: dict[str, Any] = {
            "stage": "weights",
            "why": None,
            "kernels": (),
            "attention": None,
            "dtype": None,
        }
        stage = "arguments"
        try:
            Vllm().check(spec)
            config = self._configuration(spec)
            told["dtype"] = str(config.model_config.dtype).removeprefix("torch.")
            stage = "dtype"
            _check_dtype(config)
            stage = "model"
            model = self._model(config, spec.settings.tensor_parallel, "meta")
            kernels, attention = _chosen(model)
            told |= {"kernels": kernels, "attention": attention}
            stage = "weights"
            self._weights(spec, asked)
        except StoppedError as stopped:
            return {**told, "verdict": REFUSED, "stage": stopped.stage, "why": stopped.why}
        except Exception as error:  # noqa: BLE001 -- whatever vLLM raises here is its verdict
            return {**told, "verdict": REFUSED, "stage": stage, "why": StoppedError(stage, error).why}
        verdict, why = _judged(spec.variant, kernels)
        return {**told, "verdict": verdict, "why": why, "stage": "weights" if verdict == SERVED else "kernel"}

    def _configuration(self, spec: EngineSpec) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args

        command = vllm_command(spec)
        try:
            given = self._parser.parse_args(command[command.index("serve") + 1 :])
        except SystemExit as error:
            raise StoppedError("arguments", error) from error
        given.model = given.model_tag
        validate_parsed_serve_args(given)
        try:
            return AsyncEngineArgs.from_cli_args(given).create_engine_config()
        except Exception as error:
            raise StoppedError("configuration", error) from error

    def _model(self, config: Any, boards: int, device: str) -> Any:
        """The model of one of so many boards."""
        import torch
        from vllm import distributed
        from vllm.config import set_current_vllm_config
        from vllm.distributed import parallel_state
        from vllm.model_executor.model_loader.utils import initialize_model
        from vllm.utils.torch_utils import set_default_torch_dtype

        with set_current_vllm_config(config):
            if not self._group_is_made:
                place = f"tcp://127.0.0.1:{20_000 + os.getpid() % 20_000}"
                distributed.init_distributed_environment(1, 0, place, 0, "gloo")
                distributed.initialize_model_parallel(1)
                self._group_is_made = True
            parallel_state.get_tp_group().world_size = boards
            config.device_config.device, config.device_config.device_type = torch.device(device), device
            with set_default_torch_dtype(config.model_config.dtype), torch.device(device):
                return initialize_model(vllm_config=config)

    def _weights(self, spec: EngineSpec, asked: Asked) -> None:
        """Load what is there: real weights of a whole model, and what a loader refuses before it reads any."""
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader import get_model_loader

        boards = spec.settings.tensor_parallel
        splits_bits_and_bytes = boards > 1 and isinstance(spec.variant.quantization, BitsAndBytes)
        if not splits_bits_and_bytes and not (asked.has_weights and boards == 1):
            return
        config = self._configuration(spec)  # one holds one model
        model = self._model(config, boards, "cpu")
        try:
            with set_current_vllm_config(config):
                get_model_loader(config.load_config).load_weights(model, config.model_config)
        except Exception as error:
            if not any(words in str(error) for words in _NO_DEVICE):
                raise StoppedError("weights", error) from error


def _check_dtype(config: Any) -> None:
    from vllm.platforms import current_platform

    current_platform.check_if_supports_dtype(config.model_config.dtype)


def _chosen(model: Any) -> tuple[tuple[str, ...], str | None]:
    """The kernels of the quantised matrices, and the attention's."""
    schemes = [module.scheme for module in model.modules() if getattr(module, "scheme", None) is not None]
    kernels = {type(one).__name__ for scheme in schemes for one in vars(scheme).values() if _is_kernel(one)}
    attention = {
        module.attn_backend.get_name() for module in model.modules() if hasattr(module, "attn_backend")
    }
    return tuple(sorted(kernels)), ", ".join(sorted(attention)) or None


def _is_kernel(one: object) -> bool:
    return type(one).__name__.endswith("Kernel")


def _judged(variant: Variant, kernels: tuple[str, ...]) -> tuple[str, str | None]:
    """Whether what was chosen is the format, and has code for the board."""
    if isinstance(variant.quantization, Fp8 | W8A8):
        for kernel in kernels:
            if kernel.startswith(_WEIGHTS_ALONE):
                return ANOTHER, f"{kernel} quantises the weights alone"
    capability = this_machine().gpus[0].capability
    if (
        "CutlassInt8ScaledMMLinearKernel" in kernels
        and capability
        and capability[0] >= _INT8_ENDS
        and _has_no_int8()
    ):
        return (
            REFUSED,
            "CutlassInt8ScaledMMLinearKernel is chosen, and its code says 'Int8 not supported' there",
        )
    return SERVED, None


def _has_no_int8() -> bool:
    """Whether vLLM's compiled kernels end with these words from 10.0 on: no device is needed to read them."""
    import vllm

    libraries = Path(vllm.__file__).parent.glob("_C*.so")
    return any(_INT8_WORDS in library.read_bytes() for library in libraries)


if __name__ == "__main__":
    raise SystemExit(main())
