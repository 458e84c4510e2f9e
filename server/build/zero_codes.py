"""Count the zeros of a quantised checkpoint beside those that its format's rule gives normal weights.

A GPU draws less power on zeros. A checkpoint of invented weights that is mostly zeros would be timed and metered as
something that no model is; such a one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from configs.variant import W4A16, Awq, BitsAndBytes, Compressed, Fp8, Gptq
from starwatt_errors import BuildError

TOLERANCE = 0.01
_SAMPLE_ROWS = 256
_BLOCK = 64  # bitsandbytes' 4-bit block
_IN_A_LAYER = re.compile(r"\.\d+\.")


def check_zero_codes(checkpoint: Path, quantization: BitsAndBytes | Compressed | None) -> float:
    """Return the largest excess of a matrix's share of zeros over its format's; ``None``: floating-point weights.

    Raises:
        BuildError: it is above ``TOLERANCE``, or the checkpoint has no matrices of this format.
    """
    worst, worst_name = -1.0, None
    expected: dict[int, float] = {}
    for name, zeros, columns in zero_shares(checkpoint, quantization):
        if columns not in expected:
            expected[columns] = expected_share(quantization, columns)
        excess = zeros - expected[columns]
        if excess > worst:
            worst, worst_name = excess, name
    if worst_name is None:
        raise BuildError(f"{checkpoint} has no weights of its format: nothing was quantised")
    if worst > TOLERANCE:
        raise BuildError(
            f"{worst_name} has {worst:.1%} more zeros than its format gives normal weights (at most {TOLERANCE:.0%}): "
            "hardware draws less power on zeros, so that it must not be timed"
        )
    return worst


def expected_share(quantization: BitsAndBytes | Compressed | None, columns: int) -> float:
    """Return the share of zeros that the format's own rule gives N(0, 1) in rows of ``columns`` weights."""
    if quantization is None:
        return 0.0
    normal = torch.randn(_SAMPLE_ROWS, columns, generator=torch.Generator().manual_seed(0))
    return _share(_zeros_by_rule(normal, quantization))


def _zeros_by_rule(weights: torch.Tensor, quantization: BitsAndBytes | Compressed) -> torch.Tensor:
    match quantization:
        case BitsAndBytes(bits=8):
            return _rounded(weights, 127) == 0
        case BitsAndBytes():
            table = _codebook(quantization)
            blocks = weights.view(-1, _BLOCK)
            scaled = (blocks / blocks.abs().amax(1, keepdim=True)).flatten()
            nearest = (scaled[:, None] - table[None, :]).abs().argmin(1)
            return table[nearest] == 0
        case Fp8():
            scaled = weights * (448 / weights.abs().amax(1, keepdim=True))
            return scaled.to(torch.float8_e4m3fn).float() == 0
        case Awq():
            groups = weights.view(-1, quantization.group_size)
            span = groups.amax(1, keepdim=True) - groups.amin(1, keepdim=True)
            return (groups * (15 / span)).round() == 0
        case Gptq() | W4A16():
            return _rounded(weights.view(-1, quantization.group_size), 7.5) == 0
        case _:
            return _rounded(weights, 127.5) == 0


def _rounded(rows: torch.Tensor, largest: float) -> torch.Tensor:
    """Codes of weights whose row's largest gets the code ``largest``."""
    return (rows * (largest / rows.abs().amax(1, keepdim=True))).round()


def _codebook(quantization: BitsAndBytes) -> torch.Tensor:
    """Return the sixteen values of a 4-bit format of bitsandbytes."""
    from bitsandbytes.functional import get_4bit_type

    table: torch.Tensor = get_4bit_type(quantization.format_4bit or "nf4", device="cpu")
    return table


def zero_shares(
    checkpoint: Path, quantization: BitsAndBytes | Compressed | None
) -> Iterator[tuple[str, float, int]]:
    """Return (name, share of weights that are zero, columns) of every matrix of the decoder layers."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            for name in sorted(names):
                if not _IN_A_LAYER.search(name):
                    continue
                zeros = _zeros(file, name, names, quantization)
                if zeros is not None:
                    yield name, *zeros


def _zeros(
    file: Any, name: str, names: set[str], quantization: BitsAndBytes | Compressed | None
) -> tuple[float, int] | None:
    """Return the share of zeros of one matrix and its columns; None for what is no matrix of the format."""
    if name.endswith(".weight_packed"):
        return _zeros_of_packed(file, name.removesuffix("_packed"), names)
    if not name.endswith(".weight"):
        return None
    if isinstance(quantization, BitsAndBytes) and quantization.bits == 4:
        if not any(other.startswith(f"{name}.quant_state") for other in names):
            return None
        return _zeros_of_nibbles(file.get_tensor(name), quantization)
    weight = file.get_tensor(name)
    if weight.dim() != 2 or (quantization is not None and weight.dtype == torch.bfloat16):
        return None
    # -0 is one too.
    zeros = weight.view(torch.uint8) & 0x7F if weight.dtype == torch.float8_e4m3fn else weight
    return _share(zeros == 0), weight.shape[1]


def _zeros_of_nibbles(packed: torch.Tensor, quantization: BitsAndBytes) -> tuple[float, int]:
    table = _codebook(quantization)
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15])
    return _share(table[codes.int()] == 0), _BLOCK


def _zeros_of_packed(file: Any, name: str, names: set[str]) -> tuple[float, int]:
    """compressed-tensors' packed integers: a code that equals its group's zero point is a zero."""
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

    shape = torch.Size(file.get_tensor(f"{name}_shape").tolist())
    packed = file.get_tensor(f"{name}_packed")
    bits = 32 * packed.shape[1] // shape[1]
    codes = unpack_from_int32(packed, bits, shape)
    point = torch.zeros(1, 1, dtype=torch.int8)
    if f"{name}_zero_point" in names:
        groups = file.get_tensor(f"{name}_scale").shape[1]
        stored = file.get_tensor(f"{name}_zero_point")
        point = unpack_from_int32(stored, bits, torch.Size((shape[0], groups)), packed_dim=0)
        point = point.repeat_interleave(shape[1] // groups, dim=1)
    return _share(codes == point), shape[1]


def _share(where: torch.Tensor) -> float:
    return float(where.double().mean())
