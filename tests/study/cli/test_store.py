"""``starwatt build --list`` and ``--prune``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.variant import Prune
from server.build import recipes
from server.build.store import Checkpoint, Store
from tests.support.command import starwatt


def build(store: Store, source: str, last: int) -> Checkpoint:
    """A checkpoint that today's code would make of ``source``."""
    recipe = recipes.pruned(Checkpoint(Path("x"), source, False), Prune(last=last))
    return store.get_or_build(
        recipe, lambda folder: _write(folder, last), memorised=False, about=f"m · prune last: {last}"
    )


def _write(folder: Path, last: int) -> None:
    (folder / "model.safetensors").write_bytes(b"w" * last)


def test_the_store_is_listed_checked_and_cleared_of_what_no_build_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_STORE", str(tmp_path))
    store = Store(tmp_path)
    good, damaged = build(store, "s", 1), build(store, "s", 2)
    of_damaged = build(store, damaged.digest, 1)
    old = store.get_or_build({"prune": {"last": 9}}, lambda folder: _write(folder, 9), memorised=False)
    (damaged.path / "model.safetensors").write_bytes(b"rot")
    (tmp_path / f".{'cd' * 16}-killed").mkdir()

    states = {
        entry["path"]: entry["state"] for entry in json.loads(starwatt("build", "--list", "--json").stdout)
    }
    assert states == {
        str(good.path): "ok",
        str(of_damaged.path): "ok",
        str(damaged.path): "damaged: model.safetensors has another digest than when it was built",
        str(old.path): "out of date: made by an older starwatt",
    }
    listed = starwatt("build", "--list")
    assert "m · prune last: 1" in listed.stderr

    told = json.loads(starwatt("build", "--prune", "--json").stdout)
    assert {entry["path"] for entry in told["removed"]} == {
        str(checkpoint.path) for checkpoint in (damaged, old, of_damaged)
    }
    assert len(told["left_overs"]) == 1
    assert [checkpoint.path for checkpoint in store.stored()] == [good.path]


@pytest.mark.parametrize("arguments", [(), ("bf16", "--list"), ("--list", "--prune")])
def test_build_takes_one_thing_to_do(arguments: tuple[str, ...]) -> None:
    done = starwatt("build", *arguments)
    assert done.returncode == 2
    assert "build takes one of VARIANT..., --list, --prune" in done.stderr
