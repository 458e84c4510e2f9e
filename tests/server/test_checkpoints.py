"""What a model's name may be, and what anything else gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from server.checkpoints import resolve_model
from server.store import Store
from starwatt_errors import UsageError

OFFLINE = """
import sys
from pathlib import Path
from server.checkpoints import resolve_model
from server.store import Store
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
        ("{", "model.safetensors", "does not read"),
        ("[]", "model.safetensors", "does not read"),
        ('{"model_type": "llama"}', "model.safetensors", "is of type 'llama'; starwatt measures StarCoder2"),
        ("{}", "model.safetensors", "is of type None"),
        (STARCODER2, None, r"has no \*.safetensors"),
        (STARCODER2, "pytorch_model.bin", r"has no \*.safetensors \(pickled weights are never read\)"),
    ],
)
def test_a_folder_that_is_no_starcoder2_is_refused_with_the_reason(
    tmp_path: Path, config: str | None, weights: str | None, message: str
) -> None:
    folder = write_checkpoint(tmp_path / "model", config, weights)
    with pytest.raises(UsageError, match=message):
        resolve(str(folder), tmp_path)


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", STARCODER2)
    (folder / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="does not read"):
        resolve(str(folder), tmp_path)


@pytest.mark.parametrize("model", ["/none/such", "./none", "../none", "~/none-such"])
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match=f"models: there is no folder {model}"):
        resolve(model, tmp_path)


@pytest.mark.parametrize("model", ["starcoder", "a/b/c"])
def test_a_name_that_is_nothing_we_know_is_refused_with_what_there_is(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match=r"neither an architecture \(starcoder2-memorised\), nor a folder"):
        resolve(model, tmp_path)


@pytest.mark.parametrize("model", ["a b/c", "owner/..", "owner/na me"])
def test_a_name_that_no_hub_would_take_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match="is no hub id"):
        resolve(model, tmp_path)


def test_a_local_checkpoint_is_served_from_where_it_is_and_known_by_its_content(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", STARCODER2)
    store = Store(tmp_path / "store")
    found = resolve_model(str(folder), store, lambda _: None)
    again = resolve_model(str(folder), store, lambda _: None)
    assert (found.path, found.memorised) == (folder, False)
    assert found == again
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert resolve_model(str(folder), store, lambda _: None).digest != found.digest


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
