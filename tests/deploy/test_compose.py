"""deploy/compose.yaml: what Compose takes, and its services, ports, files and secrets fit each other."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml
from jsonschema.validators import validator_for

from configs.loader import load_variant
from study.cli.app import app
from tests.support.busy import PATIENCE_S

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text("utf-8"))
PROVISIONING = DEPLOY / "monitoring" / "grafana" / "provisioning"
SECRETS = {"STARWATT_API_KEY": "k" * 20, "STARWATT_METER_TOKEN": "t" * 20}


def schema() -> dict[str, Any]:
    """The Compose specification's, as check-jsonschema keeps it."""
    if not os.environ.get("CI"):
        pytest.importorskip("check_jsonschema", reason="make setup installs it")
    from check_jsonschema.builtin_schemas import get_builtin_schema

    return dict(get_builtin_schema("vendor.compose-spec"))


def test_the_specification_takes_it_and_a_wrong_field_is_noticed() -> None:
    rules = schema()
    validator = validator_for(rules)(rules)
    assert list(validator.iter_errors(COMPOSE)) == []
    for service, field in (("engine", "helthcheck"), ("grafana", "volume")):
        wrong = copy.deepcopy(COMPOSE)
        wrong["services"][service][field] = {}
        assert list(validator.iter_errors(wrong))


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker here")
def test_compose_itself_takes_it() -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:  # noqa: S607
        pytest.skip("docker is here, and its compose is not")
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--format", "json"]
    environment = {**os.environ, **SECRETS}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == SERVICES.keys()


def filled(text: str) -> str:
    """With each variable's default, or the secret."""
    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", lambda m: m[3] if m[2] == "-" else SECRETS[m[1]], text)


def parsed(service: str) -> dict[str, Any]:
    """Its command's options, read as our command line reads them."""
    command = [filled(word) for word in SERVICES[service]["command"]]
    group: Any = typer.main.get_command(app)
    context = group.commands[command[0]].make_context(command[0], command[1:])
    return dict(context.params)


def listening() -> dict[str, str]:
    """Where each service listens, by its own options."""
    prometheus = dict(word.lstrip("-").split("=", 1) for word in SERVICES["prometheus"]["command"])
    grafana = SERVICES["grafana"]["environment"]
    return {
        "engine": f"{parsed('engine')['host']}:{parsed('engine')['port']}",
        "sidecar": f"{parsed('sidecar')['host']}:{parsed('sidecar')['port']}",
        "prometheus": prometheus["web.listen-address"],
        "grafana": f"{grafana['GF_SERVER_HTTP_ADDR']}:{grafana['GF_SERVER_HTTP_PORT']}",
    }


def test_our_commands_are_ones_that_we_have_and_serve_a_variant_that_there_is() -> None:
    assert load_variant(parsed("engine")["variant"]).name == "bf16"
    assert parsed("engine")["model"] == "bigcode/starcoder2-3b"
    assert parsed("sidecar")["serve_http"] is True
    assert parsed("sidecar")["pid"] == 1, (
        "of the processes that it shares with the engine, the engine's first"
    )
    assert SERVICES["sidecar"]["pid"] == "service:engine"


def test_what_is_built_is_built_from_a_file_that_is_there() -> None:
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    assert built
    assert all((DEPLOY / one["context"] / one["dockerfile"]).is_file() for one in built)


def test_everything_listens_on_loopback_alone_and_is_asked_there_whether_it_is_well() -> None:
    found = listening()
    assert found.keys() == SERVICES.keys()
    for name, place in found.items():
        assert place.startswith("127.0.0.1:"), name
        service = SERVICES[name]
        assert service["network_mode"] == "host"
        assert "ports" not in service
        host, port = place.split(":")
        probe = " ".join(service["healthcheck"]["test"])
        assert place in probe or f"('{host}', {port})" in probe, name
    assert len(set(found.values())) == 4


def test_nobody_is_root_and_what_is_not_written_to_is_read_only() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "privileged" not in service
        assert "user" not in service, "the image's own, who is not root"
        assert service["read_only"] is (name != "prometheus")
        if "secrets" in service:
            assert service["read_only"] is False, "Compose refuses a secret from the environment there"


def test_no_secret_is_in_the_file_and_none_has_a_default() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|PASSWORD|METER_TOKEN", name):
                assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", value), name
    assert COMPOSE["secrets"] == {"meter-token": {"environment": "STARWATT_METER_TOKEN"}}
    grafana = SERVICES["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert "PASSWORD" not in str(COMPOSE).upper()


def test_prometheus_scrapes_what_is_there_and_the_study_on_the_port_that_the_pages_name() -> None:
    targets = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    assert targets.keys() == {"engine", "sidecar", "study"}
    for name in ("engine", "sidecar"):
        assert targets[name]["static_configs"] == [{"targets": [listening()[name]]}]
    [study] = targets["study"]["static_configs"][0]["targets"]
    assert f"--metrics-port {study.rpartition(':')[2]}" in (DEPLOY / "compose.yaml").read_text(
        encoding="utf-8"
    )
    [token] = SERVICES["prometheus"]["secrets"]
    assert targets["sidecar"]["authorization"] == {"credentials_file": token["target"]}


def mounts(service: str) -> dict[str, Path]:
    """Files of the checkout, by where they are in the container."""
    lines = [line.split(":") for line in SERVICES[service]["volumes"]]
    for line in lines:
        assert line[0].startswith("./") or line[0] in COMPOSE["volumes"], line
        assert not line[0].startswith("./") or line[2] == "ro"
    return {line[1]: DEPLOY / line[0] for line in lines if line[0].startswith("./")}


def test_what_is_mounted_is_there_and_grafana_finds_its_source_and_its_dashboard() -> None:
    assert [path.is_file() for path in mounts("prometheus").values()] == [True]
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert "/etc/prometheus/prometheus.yml" in mounts("prometheus")
    grafana = mounts("grafana")
    assert all(path.is_dir() for path in grafana.values())
    assert grafana["/etc/grafana/provisioning"].resolve() == PROVISIONING.resolve()
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    assert urlsplit(source["url"]).netloc == listening()["prometheus"]
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "starwatt.yaml").read_text("utf-8"))[
        "providers"
    ]
    shown = grafana[provider["options"]["path"]] / "starwatt.json"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{shown.name}"
    panels = json.loads(shown.read_text(encoding="utf-8"))["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
