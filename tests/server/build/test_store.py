"""Every checkpoint is built once, whole, under the digest of its recipe."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from server.build.store import Checkpoint, Store, file_digest, recipe_digest, store_root
from starwatt_errors import BuildError

RECIPE: dict[str, Any] = {"source": "abc", "quantize": {"bits": 4}, "versions": {"torch": "2.13.0"}}
BUILDER = """
import sys
from pathlib import Path
from server.build.store import Store
root = Path(sys.argv[1])
def build(folder):
    with (root / "built").open("a") as log:
        log.write("once\\n")
    (folder / "model.safetensors").write_bytes(b"weights")
    print("building", flush=True)
    sys.stdin.read()
print(Store(root).get_or_build({"recipe": 1}, build, memorised=False).path, flush=True)
"""


def write_weights(folder: Path) -> None:
    """A build that works."""
    (folder / "model.safetensors").write_bytes(b"weights")


def never(_: Path) -> None:
    """A build that must not happen."""
    raise AssertionError


def start_builder(root: Path) -> subprocess.Popen[str]:
    """A process that builds until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_checkpoint_can_be_read_by_others_whatever_wrote_it(tmp_path: Path) -> None:
    def secretly(folder: Path) -> None:
        write_weights(folder)
        (folder / "model.safetensors").chmod(0o600)

    built = Store(tmp_path / "store").get_or_build(RECIPE, secretly, memorised=True)
    assert built.path.stat().st_mode & 0o777 == 0o755
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in built.path.iterdir())


def test_a_checkpoint_is_built_once_and_then_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.find(RECIPE) is None
    built = store.get_or_build(RECIPE, write_weights, memorised=True)
    assert built == Checkpoint(store.path(recipe_digest(RECIPE)), recipe_digest(RECIPE), True)
    assert store.get_or_build(RECIPE, never, memorised=True) == store.find(RECIPE) == built
    provenance = json.loads((built.path / "starwatt.json").read_text())
    assert provenance["recipe"] == RECIPE
    assert provenance["files"] == {"model.safetensors": file_digest(built.path / "model.safetensors")}


def test_the_digest_depends_on_every_part_of_the_recipe_and_not_on_its_order() -> None:
    assert recipe_digest(dict(reversed(RECIPE.items()))) == recipe_digest(RECIPE)
    others = [
        {**RECIPE, "source": "abd"},
        {**RECIPE, "quantize": {"bits": 8}},
        {**RECIPE, "versions": {"torch": "2.13.1"}},
        {**RECIPE, "prune": None},
    ]
    assert len({recipe_digest(recipe) for recipe in [RECIPE, *others]}) == 5


def test_two_threads_that_want_the_same_checkpoint_build_it_once(tmp_path: Path) -> None:
    built, found = [], []
    both_want_it = threading.Barrier(2)

    def build(folder: Path) -> None:
        built.append(folder)
        write_weights(folder)

    def want() -> None:
        both_want_it.wait()
        found.append(Store(tmp_path).get_or_build(RECIPE, build, memorised=False))

    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert found[0] == found[1]


def test_two_processes_that_want_the_same_checkpoint_build_it_once(tmp_path: Path) -> None:
    with start_builder(tmp_path) as first, start_builder(tmp_path) as second:
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.close()
        places = {process.stdout.read().splitlines()[-1] for process in (first, second) if process.stdout}
    assert (tmp_path / "built").read_text() == "once\n"
    assert len(places) == 1
    assert (Path(places.pop()) / "model.safetensors").read_bytes() == b"weights"


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_weights(folder)
        raise BuildError("no memory")

    store = Store(tmp_path)
    with pytest.raises(BuildError, match="no memory"):
        store.get_or_build(RECIPE, fail, memorised=False)
    assert store.find(RECIPE) is None
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    assert store.get_or_build(RECIPE, write_weights, memorised=False).path.is_dir()


def test_what_a_killed_build_left_is_no_checkpoint_and_goes_with_the_next_try(tmp_path: Path) -> None:
    with start_builder(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.kill()
    left = list(tmp_path.glob(".*-*"))
    assert len(left) == 1
    store = Store(tmp_path)
    assert store.find({"recipe": 1}) is None
    store.get_or_build({"recipe": 1}, write_weights, memorised=False)
    assert not left[0].exists()
    assert list(tmp_path.glob(".*-*")) == []


def test_a_store_that_cannot_be_written_is_a_build_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=f"the checkpoint store {tmp_path}/file/store cannot be written"):
        Store(tmp_path / "file" / "store").get_or_build(RECIPE, never, memorised=False)


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWATT_STORE", str(tmp_path))
    assert store_root() == tmp_path
    monkeypatch.delenv("STARWATT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store_root() == tmp_path / "cache" / "starwatt" / "checkpoints"


def test_a_shard_that_changed_on_the_disk_is_never_served(tmp_path: Path) -> None:
    store = Store(tmp_path)
    built = store.get_or_build(RECIPE, write_weights, memorised=False)
    (built.path / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(BuildError, match=r"model\.safetensors has another digest than when it was built"):
        store.find(RECIPE)
    with pytest.raises(BuildError, match="`starwatt build --prune` removes it"):
        store.get_or_build(RECIPE, never, memorised=False)
    (built.path / "model.safetensors").unlink()
    with pytest.raises(BuildError, match=r"model\.safetensors is missing"):
        store.find(RECIPE)


def test_a_full_disk_is_told_with_what_frees_it_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        write_weights(folder)
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"weights")

    with pytest.raises(BuildError, match=rf"store {tmp_path} is full: .*build --prune.*STARWATT_STORE"):
        Store(tmp_path).get_or_build(RECIPE, fill, memorised=False)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_the_store_says_what_it_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    built = store.get_or_build(RECIPE, write_weights, memorised=False, random_weights=True, about="m · int4")
    assert built.random_weights
    [stored] = store.stored()
    assert (stored.path, stored.about, stored.damage()) == (built.path, "m · int4", None)
    assert stored.size_bytes >= len(b"weights")
    store.remove(built.digest)
    assert list(store.stored()) == []


def test_left_overs_of_killed_builds_are_removed_and_a_running_build_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dead = tmp_path / f".{'ab' * 16}-killed"
    dead.mkdir()
    with start_builder(tmp_path) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "building\n"
        assert store.remove_left_overs() == [dead]
        running.stdin.close()
        assert Path(running.stdout.readline().strip()).is_dir()
