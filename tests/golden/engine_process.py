"""The golden endpoint as an engine that a runner starts in vLLM's place: same command line, same log, same metrics.

It answers each task of the bundled dataset with its own solution, or with a wrong one, by the task alone, and asks for
vLLM's key where it was given one; draws from the board that ``CUDA_VISIBLE_DEVICES`` names (else the first); and has a
child that computes nothing, but holds the board's memory and hears no SIGTERM: what a runner leaves behind of an engine
is that child.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path

from configs.datasets import load_dataset
from configs.prompt_format import render_prompt
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.engine import Model
from tests.golden.nvml.world import GoldenBoards

WRONG = "\n    return None"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
)


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--served-model-name", required=True)
    given, _ = parser.parse_known_args()
    tempfile.mkstemp(prefix="socket-")  # as vLLM's: it is left behind
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    model = Model(**json.loads(os.environ.get("GOLDEN_MODEL", "{}")))
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", DEAF], stdout=subprocess.PIPE) as core:
        assert core.stdout is not None
        core.stdout.readline()
        boards = GoldenBoards.of_others(Path(os.environ["GOLDEN_NVML"]))
        board = boards.index(os.environ.get("CUDA_VISIBLE_DEVICES"))
        boards.join(os.getpid(), core.pid, board=board)
        sys.stderr.write("INFO Resolved architecture: Starcoder2ForCausalLM\n")
        sys.stderr.write(f"INFO dtype=torch.{given.dtype} GPU KV cache size: 65,536 tokens\n")
        with EngineElsewhere(
            boards, model, port=given.port, board=board, ripple=0.2, answers=answers(),
            key=os.environ.get("VLLM_API_KEY"), models=(given.served_model_name,),
        ):  # fmt: skip
            while not told.wait(0.5):
                pass
        core.kill()
    return 0


def answers() -> dict[str, str]:
    """By prompt: the task's own solution for about two tasks of three, and a wrong one for the others."""
    return {
        render_prompt(task.prompt): (
            f"\n{task.canonical_solution.rstrip()}" if zlib.crc32(task.task_id.encode()) % 3 else WRONG
        )
        for task in load_dataset("starwatt-24").tasks
    }
