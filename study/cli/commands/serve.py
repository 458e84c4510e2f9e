"""``starwatt serve``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from configs.derived import FORMS
from configs.loader import variant_names
from study.cli.options import DEFAULT_MODEL, Model, Quiet


def serve(
    variant: Annotated[
        str, Argument(help=f"One of: {', '.join(variant_names())}; {FORMS}; or a file, ./mine.yaml.")
    ],
    model: Model = DEFAULT_MODEL,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    max_model_len: Annotated[
        int, Option(min=16, max=2**24, help="Prompt and answer together, in tokens.")
    ] = 2048,
    max_num_seqs: Annotated[int, Option(min=1, max=65536, help="Requests batched at most.")] = 256,
    tensor_parallel: Annotated[int, Option(min=1, max=1024, help="GPUs that share each layer.")] = 1,
    enforce_eager: Annotated[bool, Option(help="No torch.compile and no CUDA graphs.")] = False,
    _quiet: Quiet = False,
) -> None:
    """Serve one variant until Ctrl-C; prints the endpoint when it is ready.

    A key in STARWATT_API_KEY is asked of every request.
    """
    from configs.schema import EngineSettings
    from study.cli.serve import serve_variant

    settings = EngineSettings(
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        enforce_eager=enforce_eager,
        tensor_parallel=tensor_parallel,
    )
    serve_variant(variant, model, host, port, settings)
