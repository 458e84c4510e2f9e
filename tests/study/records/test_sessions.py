"""What a resumed run says of machines and versions that changed, and what it refuses to mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starwatt_errors import UsageError
from study.records.repeat import WantedStudy
from study.records.sessions import continued, earlier_manifest, known_calibration
from study.run import run_study
from tests.golden.world import World
from traces.atomic import read_json, write_json
from traces.layout import RunDir

FIRST: dict[str, Any] = {
    "host": {"name": "a", "boot_id": "boot-1", "monotonic_ns": 1, "realtime_ns": 2},
    "gpus": [{"uuid": "GPU-a", "driver": "580.1"}],
    "packages": {"vllm": "0.32.0", "torch": "2.13.0"},
    "git": {"commit": "abc", "changed": False},
    "dataset": {"name": "starwatt-24", "sha256": "11"},
    "models": {"m · bf16": {"digest": "22"}},
    "meters": {"used": ["nvml"]},
    "cpus": {"engine": None},
    "sensor_calibration": {"devices": {"GPU-a": {"idle_w": 70}}},
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**FIRST, **parts}


def test_each_runner_is_a_session_and_says_what_changed_since_the_one_before() -> None:
    first = continued(FIRST, None)
    assert [session["changed"] for session in first["sessions"]] == [[]]
    host = {"name": "a", "boot_id": "boot-2", "monotonic_ns": 5, "realtime_ns": 9}
    later = changed(
        host=host,
        gpus=[{"uuid": "GPU-a", "driver": "590.2"}],
        packages={"vllm": "0.32.0", "torch": "2.14.0"},
    )
    second = continued(later, first)
    assert len(second["sessions"]) == 2
    assert second["sessions"][0] == first["sessions"][0]
    lines = "\n".join(second["sessions"][1]["changed"])
    for words in (
        "host.boot_id: boot-1 there, boot-2 here",
        "packages.torch: 2.13.0 there, 2.14.0 here",
        "590.2",
    ):
        assert words in lines
    assert "_ns" not in lines
    assert continued(later, second)["sessions"][-1]["changed"] == []


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("models", {"m · bf16": {"digest": "33"}}, "models.m · bf16.digest: 22 there, 33 here"),
        ("dataset", {"name": "starwatt-24", "sha256": "44"}, "dataset.sha256: 11 there, 44 here"),
    ],
)
def test_other_weights_or_tasks_are_refused(part: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        continued(changed(**{part: value}), continued(FIRST, None))


def test_sensors_are_calibrated_once_a_boot_driver_and_set_of_boards() -> None:
    calibration = FIRST["sensor_calibration"]
    assert known_calibration(FIRST["host"], FIRST["gpus"], FIRST) == calibration
    assert known_calibration(FIRST["host"], FIRST["gpus"], None) is None
    assert known_calibration({"boot_id": "boot-2"}, FIRST["gpus"], FIRST) is None
    assert known_calibration(FIRST["host"], [{"uuid": "GPU-a", "driver": "590.2"}], FIRST) is None


def test_a_manifest_that_a_power_cut_damaged_is_written_anew(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert earlier_manifest(run) is None
    run.manifest.write_text('{"host": ')
    assert earlier_manifest(run) is None


def test_nodes_that_measured_the_last_cell_after_their_runner_was_killed_are_in_the_manifest(
    tmp_path: Path,
) -> None:
    run = World(tmp_path / "run", variants=("bf16",), blocks=1).build().run
    file = tmp_path / "study.yaml"
    file.write_text(run.study.read_text())
    node = {"name": "n1", "gpus": [{"uuid": "GPU-n1"}], "sensor_calibration": {"devices": {"GPU-n1": {}}}}
    write_json(run.nodes / "n1-b1.json", node)
    run_study(WantedStudy(file, run.root))
    manifest = read_json(run.manifest)
    assert manifest["nodes"]["n1"]["gpus"] == ["GPU-n1"]
    assert [gpu["uuid"] for gpu in manifest["gpus"]] == ["GPU-n1"]
    assert "GPU-n1" in manifest["sensor_calibration"]["devices"]
    written = run.manifest.stat().st_mtime_ns
    run_study(WantedStudy(file, run.root))
    assert run.manifest.stat().st_mtime_ns == written, "nothing is new"
