"""The tools as commands: each drives the same load on an endpoint and leaves its file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from configs.datasets import load_dataset

REQUESTS, CONCURRENCY, TOKENS, PROMPT_TOKENS = 32, 4, 48, 24
_VLLM = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())\n"
)
_SECONDS = 300.0


@dataclass(frozen=True)
class Tool:
    """One of them, as it is installed here."""

    name: str
    program: Path

    def drive(self, url: str, tokenizer: Path, folder: Path) -> Path:
        """Drive the load; returns the file that it leaves.

        Raises:
            CalledProcessError: it failed.
        """
        ways = {"vllm_bench": self._vllm_bench, "guidellm": self._guidellm, "aiperf": self._aiperf}
        command, left = ways[self.name](url, tokenizer)
        environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1"}
        subprocess.run(
            command, check=True, timeout=_SECONDS, cwd=folder, env=environment, capture_output=True
        )
        return folder / left

    def _vllm_bench(self, url: str, tokenizer: Path) -> tuple[list[str], str]:
        return [
            str(self.program), "-c", _VLLM, "--backend", "openai", "--base-url", url, "--endpoint", "/v1/completions",
            "--model", "golden", "--tokenizer", str(tokenizer), "--dataset-name", "random",
            "--random-input-len", str(PROMPT_TOKENS), "--random-output-len", str(TOKENS),
            "--num-prompts", str(REQUESTS), "--max-concurrency", str(CONCURRENCY), "--save-result", "--save-detailed",
            "--result-filename", "vllm-bench.json",
        ], "vllm-bench.json"  # fmt: skip

    def _guidellm(self, url: str, tokenizer: Path) -> tuple[list[str], str]:
        return [
            str(self.program), "run",
            "--backend", f"kind=openai_http,target={url},model=golden,request_format=/v1/completions",
            "--profile", f"kind=concurrent,streams={CONCURRENCY}",
            "--constraint", f"kind=max_requests,count={REQUESTS}",
            "--tokenizer", f"kind=hf_auto,model={tokenizer}",
            "--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={TOKENS}",
            "--output", "kind=json,path=guidellm.json", "--disable-console",
        ], "guidellm.json"  # fmt: skip

    def _aiperf(self, url: str, tokenizer: Path) -> tuple[list[str], str]:
        return [
            str(self.program), "profile", "-m", "golden", "--url", url, "--endpoint-type", "completions", "--streaming",
            "--concurrency", str(CONCURRENCY), "--request-count", str(REQUESTS), "--use-server-token-count",
            "--use-legacy-max-tokens", "--tokenizer", str(tokenizer), "--isl", str(PROMPT_TOKENS), "--osl", str(TOKENS),
            "--output-artifact-dir", ".", "--ui", "none",
        ], "profile_export.jsonl"  # fmt: skip


def a_tokenizer(folder: Path) -> Path:
    """A folder with one: prompts are made and counted by it, and the endpoint has none of its own."""
    from server.build.tokenizer import fit_tokenizer  # imports transformers

    texts = (task.prompt for task in load_dataset("starwatt-24").tasks)
    path = folder / "tokenizer"
    fit_tokenizer(texts, 600, 2048).save_pretrained(path)
    return path


def tools(guidellm: str | None = None, aiperf: str | None = None) -> list[Tool]:
    """Those that are here: vLLM's in this environment, the others by name or on the path."""
    found = []
    if find_spec("vllm") is not None:
        found.append(Tool("vllm_bench", Path(sys.executable)))
    for name, given in (("guidellm", guidellm), ("aiperf", aiperf)):
        program = given or shutil.which(name)
        if program is not None:
            found.append(Tool(name, Path(program)))
    return found
