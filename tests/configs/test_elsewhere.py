"""Fields of a study for other machines: engines elsewhere, clusters, load generators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.controls import with_controls
from configs.executor import Slurm
from configs.loader import dump_study, load_study
from configs.loads import Locust
from configs.schema import Study
from starwatt_errors import UsageError

FIELDS: dict[str, Any] = {
    "name": "s",
    "models": ["starcoder2-memorised"],
    "baseline": "bf16",
    "variants": ["bf16", "theirs"],
    "loads": [{"kind": "closed", "concurrency": 4}],
    "remote": {"theirs": {"url": "https://gpu7:8000/v1/", "meter": "https://gpu7:9520"}},
}


def loaded(folder: Path, **changes: Any) -> Study:
    """The study above, from a file."""
    path = folder / "study.yaml"
    path.write_text(json.dumps({**FIELDS, **changes}, indent=1))
    return load_study(path)


def test_a_study_of_engines_elsewhere_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    study = loaded(tmp_path, executor="slurm", generator={"kind": "locust", "workers": 3})
    assert study.remote["theirs"].root == "https://gpu7:8000"
    assert study.own_variants == ("bf16",)
    assert isinstance(study.executor, Slurm)
    assert isinstance(study.generator, Locust)
    (tmp_path / "again.yaml").write_text(dump_study(study))
    assert load_study(tmp_path / "again.yaml") == study


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"remote": {"them": {"url": "http://x"}}}, "remote: names them, which is none of the variants"),
        ({"remote": {"theirs": {"url": "http://me:secret@x"}}}, "takes no user and no password"),
        ({"remote": {"theirs": {"url": "gpu7:8000"}}}, "takes http"),
        (
            {"remote": {"theirs": {"url": "http://gpu7:0"}}},
            "remote.theirs.url: a port is a number from 1 to 65535",
        ),
        ({"remote": {"theirs": {"url": "http://[::1"}}}, "an IPv6 address stands in brackets"),
        (
            {"remote": {"theirs": {"url": "http://x", "meter": "http://x:y"}}},
            "a port is a number from 1 to 65535",
        ),
        (
            {"remote": {"theirs": {"url": "http://x", "metre": "local"}}},
            "no such field; known here: url, meter",
        ),
        ({"remote": {"theirs": {"url": "http://x", "key": {}}}}, "takes one of env and file"),
        ({"models": ["starcoder2-memorised", "bigcode/starcoder2-3b"]}, "remote: takes one model"),
        ({"variants": ["bf16", "theirs", "no-such"]}, "there is no variant 'no-such'"),
        ({"executor": {"kind": "slurm", "gpu": 1}}, "no such field; known here: kind, unit"),
        ({"executor": "pbs"}, "executor"),
        ({"generator": {"kind": "locust", "workers": 0}}, "generator.workers"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, **changes)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_engine_elsewhere_is_asked_at_an_ascii_address(tmp_path: Path) -> None:
    named = loaded(tmp_path, remote={"theirs": {"url": "http://bücher.example/größe/v1"}}).remote["theirs"]
    assert named.root == "http://xn--bcher-kva.example/gr%C3%B6%C3%9Fe"
    assert named.host == "xn--bcher-kva.example"


def test_how_an_engine_elsewhere_is_served_is_unknown_so_it_has_no_control(tmp_path: Path) -> None:
    study = loaded(tmp_path, variants=["bf16", "theirs", "int8-bnb"])
    assert with_controls(study).controls == {"int8-bnb": "bf16-eager"}
    theirs = with_controls(loaded(tmp_path, baseline="theirs", variants=["theirs", "int8-bnb"]))
    assert theirs.controls == {}
