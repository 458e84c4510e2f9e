"""What a model's name may be, and what anything else gets."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from configs.loader import load_variant
from configs.variant import ReadyMade
from server.build.checkpoints import build_variant, resolve_model
from server.build.store import Store
from starwatt_errors import BuildError, UsageError
from tests.support.busy import PATIENCE_S

T = TypeVar("T")

OFFLINE = """
import sys
from pathlib import Path
from server.build.checkpoints import resolve_model
from server.build.store import Store
from starwatt_errors import BuildError
try:
    resolve_model("bigcode/starcoder2-3b", Store(Path(sys.argv[1])), lambda _: None)
except BuildError as error:
    print(error)
"""


def write_checkpoint(folder: Path, config: str | None, weights: str | None = "model.safetensors") -> Path:
    """A folder that looks like a checkpoint."""
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    if weights is not None:
        (folder / weights).write_bytes(b"weights")
    return folder


def resolve(model: str, tmp_path: Path) -> None:
    """Resolve with a store of our own."""
    resolve_model(model, Store(tmp_path / "store"), lambda _: None)


STARCODER2 = json.dumps({"model_type": "starcoder2"})


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        (None, "model.safetensors", "has no config.json: it is no checkpoint"),
        ("{", "model.safetensors", "cannot be read"),
        ("[]", "model.safetensors", "cannot be read"),
        ('{"model_type": "t5"}', "model.safetensors", "is an encoder with a decoder"),
        ("{}", "model.safetensors", "names no model_type in its config.json"),
        (STARCODER2, None, r"has no weights: it has no \*.safetensors"),
        (STARCODER2, "pytorch_model.bin", "has pickled weights alone, and these are never read"),
    ],
)
def test_a_folder_that_is_no_model_to_measure_is_refused_with_the_reason(
    tmp_path: Path, config: str | None, weights: str | None, message: str
) -> None:
    folder = write_checkpoint(tmp_path / "model", config, weights)
    with pytest.raises(UsageError, match=message):
        resolve(str(folder), tmp_path)


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", STARCODER2)
    (folder / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        resolve(str(folder), tmp_path)


@pytest.mark.parametrize("model", ["/none/such", "./none", "../none", "~/none-such"])
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match=f"models: there is no folder {model}"):
        resolve(model, tmp_path)


@pytest.mark.parametrize("model", ["starcoder", "a/b/c"])
def test_a_name_that_is_nothing_we_know_is_refused_with_what_there_is(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match=r"neither an architecture \(codellama-7b, .*\), nor a folder"):
        resolve(model, tmp_path)


@pytest.mark.parametrize("model", ["a b/c", "owner/..", "owner/na me"])
def test_a_name_that_no_hub_would_take_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match="is no hub id"):
        resolve(model, tmp_path)


def test_a_local_checkpoint_is_served_from_where_it_is_and_known_by_its_content(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", STARCODER2)
    store = Store(tmp_path / "store")
    checkpoint = resolve_model(str(folder), store, lambda _: None)
    again = resolve_model(str(folder), store, lambda _: None)
    assert (checkpoint.path, checkpoint.memorised) == (folder, False)
    assert checkpoint == again
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert resolve_model(str(folder), store, lambda _: None).digest != checkpoint.digest


def test_a_hub_that_cannot_be_reached_is_an_error_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith(
        "bigcode/starcoder2-3b could not be fetched from the hub, and its cache lacks it"
    )


def write_full(folder: Path, **config: object) -> Path:
    """A folder that looks like a StarCoder2 with more in its config."""
    return write_checkpoint(folder, json.dumps({"model_type": "starcoder2", **config}))


def test_code_beside_the_weights_is_refused_unless_a_variant_says_so(tmp_path: Path) -> None:
    folder = write_full(tmp_path / "m", auto_map={"AutoModelForCausalLM": "modeling.Mine"})
    with pytest.raises(UsageError, match=r"wants code of its own to be run \(auto_map in config\.json\)"):
        resolve(str(folder), tmp_path)
    store = Store(tmp_path / "store")
    assert resolve_model(str(folder), store, lambda _: None, trust_remote_code=True).path == folder


def test_code_that_was_left_beside_a_class_of_transformers_own_is_not_run_and_refuses_nothing(
    tmp_path: Path,
) -> None:
    left = {"AutoModelForCausalLM": "modeling.Starcoder2ForCausalLM", "AutoTokenizer": ["tokens.Mine", None]}
    folder = write_full(tmp_path / "m", auto_map=left, architectures=["Starcoder2ForCausalLM"])
    assert resolve_model(str(folder), Store(tmp_path / "store"), lambda _: None).path == folder
    other = write_full(tmp_path / "other", auto_map=left, architectures=["MyStarcoderForCausalLM"])
    with pytest.raises(UsageError, match="wants code of its own"):
        resolve(str(other), tmp_path)


def test_a_model_that_is_quantised_already_is_served_as_ready_made_and_otherwise_refused(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    awq = write_full(tmp_path / "awq", quantization_config={"quant_method": "awq", "bits": 4})
    plain = write_full(tmp_path / "plain")
    ready = load_variant("ready-made")
    assert build_variant(str(awq), ready, store, lambda _: None).path == awq
    for name in ("bf16", "int4-awq", "pruned-last-1"):
        with pytest.raises(
            UsageError, match=rf"is quantised already \(awq\), so that it has no variant {name}"
        ):
            build_variant(str(awq), load_variant(name), store, lambda _: None)
    with pytest.raises(
        UsageError, match="is not quantised, and ready-made serves what somebody else quantised"
    ):
        build_variant(str(plain), ready, store, lambda _: None)
    named = ready.model_copy(
        update={"quantization": ReadyMade(kind="ready-made", checkpoints={str(plain): str(awq)})}
    )
    assert build_variant(str(plain), named, store, lambda _: None).path == awq


def test_a_build_that_fails_is_told_with_its_reason_and_leaves_nothing(small: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(BuildError, match=r"building .* failed:") as caught:
        build_variant(str(small), load_variant("pruned-last-9"), store, lambda _: None)
    assert "cannot remove 9 of 6 layers: at least one must be left" in str(caught.value)
    assert list(store.stored()) == []
    assert list((tmp_path / "store").glob(".*-*")) == []


def test_a_pruned_variant_is_built_in_a_process_of_its_own_and_found_the_second_time(
    small: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    said: list[str] = []
    first = build_variant(str(small), load_variant("pruned-last-2"), store, said.append)
    again = build_variant(str(small), load_variant("pruned-last-2"), store, said.append)
    assert first == again
    assert len(said) == 1
    [stored] = store.stored()
    assert stored.about == f"{small} · prune last: 2"


KILLED = """
import sys
from pathlib import Path
from configs.loader import load_variant
from server.build.checkpoints import build_variant
from server.build.store import Store
variant, store = load_variant("pruned-last-2"), Store(Path(sys.argv[2]))
build_variant(sys.argv[1], variant, store, lambda said: print(said, flush=True))
"""


def test_a_kill_in_mid_build_leaves_no_checkpoint_and_no_process(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(small), str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("building")
        _until(lambda: _builders(process.pid))
        children = psutil.Process(process.pid).children()  # the build, and the reaper
        process.kill()
    _until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    store = Store(root)
    assert list(store.stored()) == []
    assert len(store.remove_left_overs()) == 1
    assert build_variant(str(small), load_variant("pruned-last-2"), store, lambda _: None).path.is_dir()


def _builders(pid: int) -> list[psutil.Process]:
    """Children of the process that build."""
    names = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("server.build.builder" in word for word in child.cmdline()):
                names.append(child)
    return names


def _until(found: Callable[[], T]) -> T:
    """Wait for something that comes for certain, a minute at most."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return result
