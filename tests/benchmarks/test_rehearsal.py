"""The rehearsal without a GPU, as far as it can be tried without its environment of 10 GB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rehearsal import driver
from benchmarks.rehearsal.folders import TINY, asked, rehearsed_variants, shaped
from benchmarks.rehearsal.verdicts import (
    BEGIN,
    END,
    REFUSED,
    SERVED,
    Seen,
    differing,
    kernels_table,
    served_table,
    shared_table,
    write_between,
)
from configs.loader import load_architecture
from server.build.shape import shape_of
from tests.support.busy import PATIENCE_S

ROOT = Path(__file__).parents[2]
BF16 = Seen(
    "3b",
    "bf16",
    "/none",
    1,
    capability="9.0",
    verdict=SERVED,
    stage="weights",
    attention="FLASH_ATTN",
    dtype="bfloat16",
)
INT4 = replace(BF16, variant="int4-awq", kernels=("MacheteLinearKernel",))


def test_the_page_has_the_table_of_what_is_refused() -> None:
    page = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip().splitlines() == served_table()


def test_a_table_is_put_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert write_between(page, ["new"])
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert not write_between(page, ["new"])
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        write_between(page, ["new"])


def test_what_vllm_and_we_say_differently_is_told() -> None:
    ours_alone = replace(BF16, ours="takes 8.0")
    theirs_alone = replace(BF16, verdict=REFUSED, stage="model", why="3 is not divisible by 2", boards=3)
    both = replace(theirs_alone, ours="its 2 KV heads")
    compiled = replace(BF16, attention="FLASHINFER")
    said = differing([BF16, ours_alone, theirs_alone, both, compiled])
    assert [line.split(":")[0] for line in said] == [
        "3b bf16 at 9.0 on 1",
        "3b bf16 at 9.0 on 3",
        "3b bf16 at 9.0 on 1",
    ]
    assert "hardware.py: takes 8.0" in said[0]
    assert "3 is not divisible by 2); hardware.py: served" in said[1]
    assert "compiled as it starts" in said[2]


def test_kernels_are_told_by_variant_and_capability_and_refusals_by_boards() -> None:
    on_four = replace(INT4, boards=4, verdict=REFUSED, stage="model", ours="no whole groups")
    seen = [
        BF16,
        INT4,
        replace(BF16, boards=4),
        on_four,
        replace(BF16, capability="7.5", verdict=REFUSED, stage="dtype"),
    ]
    assert kernels_table(seen)[2:] == [
        "| `bf16` | FLASH_ATTN | refused (dtype) |", "| `int4-awq` | Machete, FLASH_ATTN |  |"
    ]  # fmt: skip
    assert shared_table(seen)[2:] == ["| 3b | 4 | int4-awq |"]


def test_every_variant_that_vllm_serves_is_rehearsed_with_the_true_shapes_on_each_number_of_boards(
    tmp_path: Path,
) -> None:
    tiny = load_architecture(TINY)
    assert tiny is not None
    (tmp_path / "config.json").write_text('{"model_type": "starcoder2", "num_hidden_layers": 3}')
    names = rehearsed_variants()
    assert {"bf16", "fp8", "int4-awq", "nf4-bnb", "bf16-eager", "bf16-pruned-last-1"} <= set(names)
    assert not any("hf" in name or name == "ready-made" for name in names)
    wanted = asked({"bf16-pruned-last-1": tmp_path}, [1, 2], tmp_path / "shapes")
    assert {(one.model, one.boards) for one in wanted} == {
        (model, boards) for model in ("tiny", "3b", "7b", "15b") for boards in (1, 2)
    }
    assert [one.model for one in wanted if one.has_weights] == ["tiny", "tiny"]


def test_a_shape_has_the_architecture_s_dimensions_and_the_checkpoint_s_format() -> None:
    quantised = {"quant_method": "compressed-tensors"}
    config = {
        "model_type": "starcoder2",
        "num_hidden_layers": 3,
        "quantization_config": quantised,
        "vocab_size": 1536,
    }
    made = shaped(config, "starcoder2-3b")
    assert made["quantization_config"] == quantised
    assert made["num_hidden_layers"] == 2
    shape = shape_of(made)
    assert shape is not None
    assert (shape.heads, shape.kv_heads, shape.inputs) == (24, 2, (3072, 12288))


ASKS = """
from server.engines.hardware import this_machine
from server.power.nvidia.inventory import driver_cuda
print(this_machine().gpus, driver_cuda())
import ctypes; print(ctypes.CDLL("libcuda.so.1").cuInit(0))
"""


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("nm")), reason="needs cc and nm")
def test_the_rehearsed_driver_shows_boards_of_a_capability_and_has_no_device(tmp_path: Path) -> None:
    (tmp_path / "site" / "vllm").mkdir(parents=True)
    linked = tmp_path / "site" / "vllm" / "kernels.so"
    source = tmp_path / "kernels.c"
    source.write_text("int cuMemAlloc_v2(void); int use(void) { return cuMemAlloc_v2(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(linked), str(source)], check=True, timeout=PATIENCE_S)  # noqa: S607
    library = driver.build(tmp_path / "driver", tmp_path / "site")
    assert "cuMemAlloc_v2" in (library / "cuda.c").read_text()
    environment = {**os.environ, **driver.environment(library, "8.9", boards=2)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [sys.executable, "-c", ASKS], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("capability=(8, 9)") == 2
    assert done.stdout.rstrip().endswith("(13, 0)\n100")
