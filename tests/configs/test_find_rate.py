"""What a study file may say of a load that looks for its rate, and what it is told where it says something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.loader import dump_study, load_study
from configs.loads import FindRate, Slo
from configs.schema import Study
from starwatt_errors import UsageError

FIELDS: dict[str, Any] = {
    "name": "s", "models": ["bigcode/starcoder2-3b"], "baseline": "bf16", "variants": ["bf16"], "blocks": 1,
}  # fmt: skip
SEARCH = {"kind": "find_rate", "slo": {"ttft": "200ms"}}
SINGLE = {"kind": "single_stream"}


def written(folder: Path, *loads: dict[str, Any], **changes: Any) -> Path:
    """A study file with these loads."""
    path = folder / "study.yaml"
    path.write_text(json.dumps({**FIELDS, "loads": list(loads), **changes}))
    return path


def test_bounds_are_read_with_their_units_and_kept_in_milliseconds(tmp_path: Path) -> None:
    search = {"kind": "find-rate", "slo": {"ttft": "200ms", "tpot": "0.05s", "e2e_ms": 5000}}
    study = load_study(written(tmp_path, search, slo={"e2e": "2s"}))
    [load] = study.loads
    assert isinstance(load, FindRate)
    assert (load.kind, load.slug) == ("find_rate", "find-rate")
    assert load.slo == Slo(ttft_ms=200.0, tpot_ms=50.0, e2e_ms=5000.0)
    assert study.slo == Slo(e2e_ms=2000.0)
    (tmp_path / "kept.yaml").write_text(dump_study(study))
    assert load_study(tmp_path / "kept.yaml") == study


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    r"loads\.0\.slo: is missing: a rate is looked for within bounds": ({"kind": "find_rate"}, {}),
    r"qps: find_rate takes no qps, for that is what it looks for": ({**SEARCH, "qps": 5}, {}),
    r"trace: find_rate takes no trace": ({**SEARCH, "trace": "t.csv"}, {}),
    r"most_tokens: find_rate takes no most_tokens": ({**SEARCH, "most_tokens": 50}, {}),
    r"concurrency: find_rate takes no concurrency.*max_in_flight": ({**SEARCH, "concurrency": 5}, {}),
    r"ttft: takes a time with its unit, such as 200ms": ({"kind": "find_rate", "slo": {"ttft": 200}}, {}),
    r"first_qps: takes at most most_qps \(5\)": ({**SEARCH, "first_qps": 6, "most_qps": 5}, {}),
    r"window_s: takes at most search_for_s \(20\)": ({**SEARCH, "window_s": 30, "search_for_s": 20}, {}),
    r"share: .*0\.5": ({**SEARCH, "share": 0.4}, {}),
    r"generator: takes own with a load of kind find_rate": (
        SEARCH,
        {"generator": {"kind": "locust", "workers": 2}},
    ),
    r"executor\.neighbours: takes a load that is the same whenever": (SEARCH, {"executor": "side_by_side"}),
    r"engine_restarts\.alone\.load: takes a load that is the same": (
        SEARCH,
        {"engine_restarts": {"resident": "auto", "every": 1, "alone": {"load": "find-rate"}}},
    ),
    r"bf16-hf is served by transformers, which takes single_stream loads alone": (
        SEARCH,
        {"baseline": "bf16-hf", "variants": ["bf16-hf"]},
    ),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_does_not_go_together_is_refused_in_words_by_its_field(words: str, tmp_path: Path) -> None:
    load, changes = WRONG[words]
    with pytest.raises(UsageError, match=words):
        load_study(written(tmp_path, load, **changes))


def test_two_searches_within_other_bounds_take_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two are called the same"):
        load_study(written(tmp_path, SEARCH, {**SEARCH, "share": 0.95}))
    loads = load_study(written(tmp_path, SEARCH, {**SEARCH, "share": 0.95, "name": "strict"})).loads
    assert [load.slug for load in loads] == ["find-rate", "strict"]


def test_the_check_of_neighbours_takes_the_last_load_that_looks_for_no_rate(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, SINGLE, SEARCH, executor="side_by_side"))
    assert isinstance(study, Study)
    assert not isinstance(study.executor, str)
    check = getattr(study.executor, "neighbours", None)
    again = None if check is None else study.measured_again(check)
    assert again is not None
    assert again.slug == "single-stream"
