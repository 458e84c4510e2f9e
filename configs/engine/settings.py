"""The engine's settings of a study, equal for all of its variants but for what these ask for themselves."""

from __future__ import annotations

from pydantic import Field

from configs.files.strict import LONGEST_S, BoardCount, StrictModel, TimeLimit


class EngineSettings(StrictModel):
    """Set every engine of a study alike; the settings must allow its highest concurrency."""

    max_model_len: int = Field(
        default=2048, ge=16, le=2**24, description="Prompt and answer together, in tokens"
    )
    max_num_seqs: int = Field(default=256, ge=1, le=65536, description="Requests batched at most")
    prefix_cache: bool = Field(default=False, description="Reuse the KV cache of equal prompt beginnings")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="GPU only: share vLLM may take"
    )
    cpu_kvcache_gib: int = Field(default=1, ge=1, le=65536, description="CPU only: room for the KV cache")
    enforce_eager: bool = Field(
        default=False, description="No torch.compile and no CUDA graphs, for all variants"
    )
    tensor_parallel: BoardCount = Field(default=1, description="GPUs that share each layer (vLLM)")
    pipeline_parallel: BoardCount = Field(
        default=1, description="Groups of layers, on GPUs of their own (vLLM)"
    )
    data_parallel: BoardCount = Field(default=1, description="Whole copies, on GPUs of their own (vLLM)")
    start_timeout_s: TimeLimit = Field(
        default=900.0, description="An engine that is not ready by then has failed"
    )
    hang_timeout_s: float = Field(
        default=120.0,
        ge=3,
        le=LONGEST_S,
        description="An engine that answers nothing, or makes no token, for so long has failed",
    )

    @property
    def boards(self) -> int:
        """Count the GPUs that one engine takes."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel
