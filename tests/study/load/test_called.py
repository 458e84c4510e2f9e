"""What a load test's cell is called, so that two servers that name one model differently are compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from starwatt_errors import UsageError
from study.cli.app import app
from tests.support.server import TruthServer


def load(out: Path, url: str, *flags: str) -> BaseException | None:
    """Drive a short load, in this process."""
    arguments = ["load", "--url", url, "--single-stream", "--requests", "2", "--out", str(out), *flags]
    return CliRunner().invoke(app, arguments).exception


@pytest.mark.parametrize("same", [False, True])
def test_servers_that_name_a_model_differently_are_compared_by_what_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, same: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with TruthServer() as server:
        for name in ("fp16", "int4"):
            called = (
                ("--model", "mine", "--served-model-name", f"m-{name}") if same else ("--model", f"m-{name}")
            )
            assert load(tmp_path / name, server.url, *called) is None
        assert {asked.body["model"] for asked in server.asked} == {"m-fp16", "m-int4"}
    roots = [str(tmp_path / name) for name in ("fp16", "int4")]
    done = CliRunner().invoke(app, ["compare", *roots, "--out", str(tmp_path / "c.html")])
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert ("mine: int4 over fp16" in said) == same
    assert ("m-fp16 · endpoint · single-stream" in said) != same
    assert ("conditions are matched by model, variant and load" in said) != same


def test_a_cell_has_the_variant_that_is_named_and_none_that_no_folder_can_be_called(tmp_path: Path) -> None:
    with TruthServer() as server:
        assert load(tmp_path / "out", server.url, "--model", "m", "--variant", "int4") is None
        told = load(tmp_path / "other", server.url, "--model", "m", "--variant", "a/b")
    assert (tmp_path / "out" / "cells" / "m" / "int4").is_dir()
    assert isinstance(told, UsageError)
    assert "--variant a/b: takes letters" in str(told)
