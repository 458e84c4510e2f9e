"""Hugging Face's generate behind an endpoint (`transformers serve`): the paper's way, one request at a time."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from configs.variant import BitsAndBytes, NoQuantization
from server.build.families.served import facts_of, named_class
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import this_machine
from starwatt_errors import EngineError
from traces.cell import Served

# bitsandbytes warns at every int8 product: CPU time that would be charged to the format.
QUIET_MAIN = (
    "import logging; logging.getLogger('bitsandbytes.autograd').setLevel(logging.ERROR); "
    "from transformers.cli.transformers import main; main()"
)


class TransformersServe:
    """The adapter of `transformers serve`. It answers only to the name it was given the model by, as a path.

    So it is started in a folder in which the model's name is a link to the checkpoint.
    """

    def check(self, spec: EngineSpec) -> None:
        """Raise EngineError for what it cannot do."""
        if spec.api_key:
            raise EngineError(
                "the transformers engine asks nobody for a key: unset STARWATT_API_KEY, or serve a variant by vLLM"
            )
        if spec.settings.boards > 1:
            raise EngineError("the transformers engine has no tensor_parallel: serve a variant by vLLM")

    def command(self, spec: EngineSpec) -> list[str]:
        """Return the command line. The checkpoint says how it is quantised."""
        command = [
            sys.executable, "-P", "-c", QUIET_MAIN, "serve", spec.model,
            "--host", spec.host,
            "--port", str(spec.port),
            "--device", "cuda:0" if this_machine().gpus else "cpu",
            "--dtype", spec.variant.dtype,
            "--default-seed", str(spec.seed),
            "--log-level", "info",
        ]  # fmt: skip
        if spec.variant.trust_remote_code:
            command.append("--trust-remote-code")
        return command

    def environment(self, spec: EngineSpec) -> dict[str, str]:  # noqa: ARG002 -- vLLM's wants it
        """Keep it offline: the checkpoint is on disk."""
        return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

    def folder(self, log: Path, spec: EngineSpec) -> Path:
        """Return a folder beside the log that holds the link."""
        folder = log.with_suffix(".model")
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / spec.model
        link.unlink(missing_ok=True)
        link.symlink_to(spec.checkpoint.path)
        return folder

    def served(self, spec: EngineSpec, log: Path) -> Served:  # noqa: ARG002 -- its log says none of this
        """Return what was asked for: it has no batching, no KV cache of a fixed size and no kernels of its own."""
        quantization = spec.variant.quantization
        assert isinstance(quantization, NoQuantization | BitsAndBytes)  # noqa: S101 -- the schema takes no other
        command = self.command(spec)
        return Served(
            engine="transformers",
            version=f"transformers {metadata.version('transformers')}",
            model_implementation=named_class(spec.checkpoint.path),
            quantization=None if isinstance(quantization, NoQuantization) else "bitsandbytes",
            dtype=quantization.dtype,
            command=command,
            checkpoint=spec.checkpoint.digest,
            **facts_of(spec.checkpoint, command),
        )
