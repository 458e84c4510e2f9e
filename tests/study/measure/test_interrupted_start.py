"""An engine that is interrupted as it starts says that it is being ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.measure import engine_session
from study.measure.engine_session import started


def test_ctrl_c_as_an_engine_starts_says_that_it_is_ended_before_that_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said: list[str] = []

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    engine = SimpleNamespace(wait_ready=interrupted, stop=lambda: said.append(capsys.readouterr().err))
    monkeypatch.setattr(engine_session, "Engine", SimpleNamespace(start=lambda *_: engine))
    spec: Any = SimpleNamespace(variant=SimpleNamespace(name="bf16"))
    with pytest.raises(KeyboardInterrupt):
        started(spec, tmp_path / "engine.log", print)
    assert said == ["stopping: ending the engine of bf16\n"]
