"""The Kubernetes manifests: each is what the API takes, and together they are what they say."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from configs.loader import load_study
from study.cli.app import app
from tests.support.busy import PATIENCE_S

FOLDER = Path(__file__).parents[2] / "deploy" / "k8s"
OLDEST, NEWEST = "1.33", "1.37"
Object = dict[str, Any]


def objects() -> list[Object]:
    """All of them, in the order in which kubectl applies them."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml")))
    return [one for text in texts for one in yaml.safe_load_all(text)]


OBJECTS = objects()


def named(kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def pods() -> dict[str, Object]:
    """By label: what a Deployment or Job makes."""
    templates = [one["spec"]["template"] for one in OBJECTS if one["kind"] in ("Deployment", "Job")]
    return {one["metadata"]["labels"]["app"]: one["spec"] for one in templates}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_the_api_takes_it(one: Object, version: str) -> None:
    kubernetes_validate.validate(one, version, strict=True)


def test_a_wrong_field_is_noticed() -> None:
    wrong = {**named("Job")["load"], "spec": {**named("Job")["load"]["spec"], "backofLimit": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_all_are_in_the_namespace_and_none_is_a_secret() -> None:
    for one in OBJECTS:
        assert one["kind"] != "Secret", "secrets are made by who has them"
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "starwatt"
    for spec in pods().values():
        for container in spec["containers"]:
            for variable in container["env"]:
                secret = any(word in variable["name"] for word in ("KEY", "TOKEN", "PASSWORD"))
                assert secret == ("valueFrom" in variable), variable["name"]
                if secret:
                    assert variable["valueFrom"]["secretKeyRef"]["name"] == "starwatt"


def test_no_container_is_root_or_unlimited() -> None:
    for spec in pods().values():
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in spec["containers"]:
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False
            assert confined["readOnlyRootFilesystem"] is True
            assert confined["capabilities"] == {"drop": ["ALL"]}
            resources = container["resources"]
            assert resources["requests"] == resources["limits"], "else its CPUs are not its own"
            assert resources["limits"].keys() >= {"cpu", "memory"}


def test_engine_and_meter_share_a_pod_and_the_engine_alone_takes_the_board() -> None:
    containers = {one["name"]: one for one in pods()["starwatt-engine"]["containers"]}
    assert containers.keys() == {"engine", "meter"}
    takes = {name: "nvidia.com/gpu" in one["resources"]["limits"] for name, one in containers.items()}
    assert takes == {"engine": True, "meter": False}
    told, heard = (containers[name]["args"][0] for name in ("engine", "meter"))
    assert "> /boards/uuids" in told
    assert 'CUDA_VISIBLE_DEVICES="$(cat /boards/uuids)"' in heard
    assert pods()["starwatt-engine"]["shareProcessNamespace"], "else a process number means another process"
    assert "echo $$ > /boards/pid" in told
    assert "cp /boards/pid /tmp/engine.pid" in heard
    assert '--pid "$(cat /tmp/engine.pid)"' in heard


def test_an_engine_in_a_cluster_compiles_no_sampler_and_counts_boards_as_its_meter_does() -> None:
    engine = pods()["starwatt-engine"]["containers"][0]
    values = {one["name"]: one.get("value") for one in engine["env"]}
    assert values["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert values["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("smi", "serves"),
    [("exit 9", False), ("echo 'No devices were found'", False), ("true", False), ("echo GPU-1", True)],
)
def test_an_engine_whose_boards_have_no_names_ends_and_its_meter_is_told_of_none(
    tmp_path: Path, smi: str, serves: bool
) -> None:
    boards = tmp_path / "boards"
    boards.mkdir()
    engine = pods()["starwatt-engine"]["containers"][0]
    script = engine["args"][0].replace("/tmp/", f"{tmp_path}/").replace("/boards/", f"{boards}/")
    for name, text in (("nvidia-smi", smi), ("python3", f"touch {tmp_path}/served")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([*engine["command"], script], env=path, check=False, timeout=PATIENCE_S)
    assert (done.returncode == 0) == serves, done
    assert (boards / "uuids").exists() == serves
    assert (tmp_path / "served").exists() == serves


@pytest.mark.parametrize(
    ("smi", "measures"),
    [("exit 9", False), ("echo 'No devices found.'", False), ("echo 'GPU 0: A (UUID: GPU-1)'", True)],
)
def test_a_sidecar_that_sees_no_board_fails_and_estimates_nothing(
    tmp_path: Path, smi: str, measures: bool
) -> None:
    boards = tmp_path / "boards"
    boards.mkdir()
    (boards / "uuids").write_text("GPU-1\n")
    (boards / "pid").write_text("7\n")
    meter = pods()["starwatt-engine"]["containers"][1]
    script = meter["args"][0].replace("/tmp/", f"{tmp_path}/").replace("/boards/", f"{boards}/")
    for name, text in (("nvidia-smi", smi), ("starwatt", f"touch {tmp_path}/measures")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([*meter["command"], script], env=path, check=False, timeout=PATIENCE_S)
    assert (done.returncode == 0) == measures
    assert (tmp_path / "measures").exists() == measures


@pytest.mark.parametrize(("code", "job"), [(0, 0), (3, 0), (1, 1), (2, 1)])
def test_a_study_with_an_invalid_cell_has_been_run_and_any_other_failure_is_one(
    tmp_path: Path, code: int, job: int
) -> None:
    container = pods()["starwatt-load"]["containers"][0]
    (tmp_path / "starwatt").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "starwatt").chmod(0o755)
    done = subprocess.run(
        [*container["command"], *container["args"]], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False
    )
    assert done.returncode == job


def test_a_sidecar_is_begun_anew_with_its_engine(tmp_path: Path) -> None:
    meter = pods()["starwatt-engine"]["containers"][1]
    files = {"/boards/pid": str(tmp_path / "pid"), "/tmp/engine.pid": str(tmp_path / "engine.pid")}
    probe = [files.get(word, word) for word in meter["livenessProbe"]["exec"]["command"]]
    (tmp_path / "pid").write_text("7\n")
    (tmp_path / "engine.pid").write_text("7\n")
    assert subprocess.run(probe, check=False).returncode == 0
    (tmp_path / "pid").write_text("31\n")
    assert subprocess.run(probe, check=False).returncode != 0


def test_what_is_called_is_there_and_the_network_lets_it_through(tmp_path: Path) -> None:
    spec = pods()["starwatt-engine"]
    listening = {port["containerPort"] for one in spec["containers"] for port in one["ports"]}
    service = named("Service")["engine"]["spec"]
    names = {port["name"]: port["containerPort"] for one in spec["containers"] for port in one["ports"]}
    assert service["selector"] == {"app": "starwatt-engine"}
    assert {port["port"] for port in service["ports"]} == listening
    assert all(names[port["targetPort"]] == port["port"] for port in service["ports"])
    (tmp_path / "study.yaml").write_text(named("ConfigMap")["study"]["data"]["study.yaml"])
    engine = load_study(tmp_path / "study.yaml").remote["engine"]
    assert engine.url == "http://engine.starwatt.svc:8000"
    assert engine.meter == "http://engine.starwatt.svc:9520"
    policies = named("NetworkPolicy")
    assert policies["closed"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    [into] = policies["engine-from-load"]["spec"]["ingress"]
    [out, names_only] = policies["load-to-engine"]["spec"]["egress"]
    for rule, peer in ((into["from"], "starwatt-load"), (out["to"], "starwatt-engine")):
        assert rule == [{"podSelector": {"matchLabels": {"app": peer}}}]
        assert peer in pods()
    for ports in (into["ports"], out["ports"]):
        assert {port["port"] for port in ports} == listening
    assert {port["port"] for port in names_only["ports"]} == {53}


def test_our_own_commands_are_ones_that_we_have() -> None:
    meter = pods()["starwatt-engine"]["containers"][1]["args"][0]
    load = pods()["starwatt-load"]["containers"][0]["args"][0].removesuffix("|| [ $? -eq 3 ]").split()
    lines = [line.split("exec ", 1)[1] for line in meter.splitlines() if "exec starwatt" in line]
    commands = [shlex.split(line) for line in lines] + [load]
    assert [one[:2] for one in commands] == [["starwatt", "meter"], ["starwatt", "run"]]
    for _, command, *rest in commands:
        told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert told.exit_code == 0
        assert all(flag in told.output for flag in rest if flag.startswith("--"))
