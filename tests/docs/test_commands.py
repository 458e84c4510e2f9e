"""Every command of README and docs is typed, page by page and in the page's order, and does what the page says.

Nothing is left out but what ``listed.py`` lists with its reason; what is changed before stands in ``quick.py``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.grading import sandbox_status
from configs.datasets import load_dataset
from server.engines.engine import free_port
from tests.analysis.compare.test_with_paper import in_the_papers_formats
from tests.docs.listed import NOT_TYPED, why_not_typed
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks, own_prompts, recording
from tests.docs.place import Place, bring_humaneval, fetch_humaneval, keep_checkpoints, place
from tests.docs.quick import SECRET, quick_command, shorten
from tests.golden.world import LOADS, World
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture

LASTING = {"starwatt serve": "curl http://", "starwatt meter --serve": "http://"}
"""Commands that a reader ends with Ctrl-C, and what they say when they are ready."""
ALLOWED = {
    "run": (0, 3),
    "load": (0, 3),
    "analyze": (0, 3),
    "verify": (0, 3),
    "compare": (0, 3),
    "doctor": (0, 1),
}
"""Exit codes: 3, because a shortened study has cells that are too short to be valid, or too few; 1, because of
this machine."""
CHECKPOINTS = {
    "README.md": {"starcoder2-memorised": ["nf4-bnb"], "starcoder2-barely-memorised": ["bf16"]},
    "docs/cluster.md": {"bigcode/starcoder2-3b": ["bf16"]},
    "docs/tutorial.md": {"starcoder2-memorised": ["bf16"]},
    "docs/power-limits.md": {"bigcode/starcoder2-3b": ["bf16"]},
    "docs/how-to.md": {"./my-model": ["nf4-bnb", "int4-awq"], "bigcode/starcoder2-3b": ["bf16"]},
}
PROMISED = {
    "README.md": [
        "runs/fixed-rate/requests.parquet", "runs/fixed-rate/summary.json", "runs/fixed-rate/report.html",
        "runs/demo/report.html", "runs/serve/starcoder2-memorised-nf4-bnb-*.log",
    ],
    "docs/cluster.md": ["runs/elsewhere/report.html"],
    "docs/tutorial.md": [
        "runs/my-study/report.html", "figures/*.svg", "tables/*.csv", "tables/*.parquet",
        "runs/my-study-again/report.html", "comparison.html",
    ],
    "docs/how-to.md at an endpoint": [
        "runs/fixed-rate/report.html", "runs/own-prompts/report.html", "runs/sweep/open-*-poisson/summary.json",
        "runs/sweep/sweep.json",
    ],
    "docs/how-to.md": ["new-study.yaml", "runs/batching/report.html", "runs/batching/cells/*/*/*/b2/cell.json"],
    "docs/power-limits.md": ["runs/capped/cells/*/bf16/closed-16@500w/b1/cell.json", "runs/capped/report.html"],
    "docs/comparing.md": ["paper.html", "summary.md"],
    "docs/import.md": ["runs/theirs/report.html", "runs/vllm/report.html"],
}  # fmt: skip
"""What is there afterwards, by page or part of one."""
PARTS = {
    "docs/how-to.md": {
        "at an endpoint": (
            "Measure a model of my own", "My own prompts", "Test an endpoint at a fixed rate",
            "Find the highest rate within an objective", "Replay a recording with its lengths",
        ),
    },
}  # fmt: skip
"""Sections of a long page that need each other and none of its others: they are typed apart from these."""
LONG = {"docs/tutorial.md"}
"""Pages that are typed by ``make test-long`` alone: with the README's commands, on a study of their own."""


def with_commands() -> Iterator[Any]:
    """The pages, or parts of a page, that have any to type."""
    for page in PAGES:
        name, rest = str(page.relative_to(ROOT)), blocks(page)
        for part, sections in PARTS.get(name, {}).items():
            assert set(sections) <= {block.section for block in rest}, "sections that nobody finds"
            yield pytest.param([block for block in rest if block.section in sections], id=f"{name} {part}")
            rest = [block for block in rest if block.section not in sections]
        if not all(map(why_not_typed, [command for block in rest for command in block.commands])):
            yield pytest.param(rest, id=name, marks=[pytest.mark.long] * (name in LONG))


@pytest.fixture
def ports() -> dict[str, int]:
    """For each port of the pages a free one, drawn where it is first wanted."""
    return defaultdict(free_port)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a page's commands keep, the next page's find."""
    folder = tmp_path_factory.mktemp("cache")
    fetch_humaneval(folder)
    return folder


@pytest.fixture
def there(
    tmp_path: Path,
    nvml_library: Path,  # noqa: F811
    cache: Path,
    ports: dict[str, int],
) -> Iterator[Place]:
    """A fresh checkout, where the studies that come with it are short."""
    with place(tmp_path, nvml_library, cache) as made:
        for study in (made.folder / "configs" / "studies").glob("*.yaml"):
            shorten(study, ports)
        yield made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shown", list(with_commands()))
def test_a_page_does_what_it_says(
    shown: list[Block], there: Place, ports: dict[str, int], request: pytest.FixtureRequest
) -> None:
    _set_up(shown[0].page, there)
    typed, studies = [], []
    for block in shown:
        for command in block.commands:
            if why_not_typed(command) is None:
                _type(there, quick_command(command, ports))
                typed.append(command)
        study = _study_of(block)
        if study is not None:
            path = there.folder / f"{study}.yaml"
            path.write_text(block.text, encoding="utf-8")
            shorten(path, ports)
            studies.append(path.name)
    for study in studies:
        if not any(study in command for command in typed):
            _type(there, f"starwatt run {study}", **NEEDED.get(study, {}))
    for promised in PROMISED.get(request.node.callspec.id, []):
        assert list(there.folder.glob(promised)), f"{promised} is promised, and not there"
    for kind in list(there.running):
        there.interrupt(kind)


CAPTURED = ROOT / "tests" / "study" / "imported" / "captured"
IMPORTED = {
    "guidellm": {"guidellm.json": "guidellm.json", "smi.csv": "smi.csv"},
    "aiperf": {
        "profile_export.jsonl": "profile_export.jsonl", "smi.csv": "aiperf-smi.csv",
        "profile_export_aiperf.json": "profile_export_aiperf.json",
    },
    "vllm_bench": {"vllm-bench.json": "vllm-bench.json", "smi.csv": "vllm-smi.csv"},
}  # fmt: skip
"""Files of other tools that docs/import.md takes for granted, and what it calls them."""
COPIES = ("demo", "example", "two-instruct-models")
"""Studies that are shown and not run: a part of configs/studies/demo.yaml, which is; a list of all fields; and one of
MBPP+, which test_examples.py plans, for no test brings its tasks."""
NEEDED = {"elsewhere.yaml": {"STARWATT_API_KEY": SECRET, "STARWATT_METER_TOKEN": SECRET}}
"""What docs/cluster.md says has to be in the environment of that study."""


def _set_up(page: str, there: Place) -> None:
    """What the page takes for granted."""
    if page in CHECKPOINTS:
        keep_checkpoints(there, CHECKPOINTS[page])
    if page == "docs/comparing.md":
        for run in ("before", "after"):
            World(there.folder / "runs" / run, variants=("bf16",), loads=LOADS[:1]).build()
        in_the_papers_formats(there.folder / "runs" / "paper-formats")
    if page == "docs/import.md":
        for source, names in IMPORTED.items():
            for name, kept in names.items():
                shutil.copyfile(CAPTURED / source / name, there.folder / kept)
    if page == "docs/how-to.md":
        (there.folder / "prompts.jsonl").write_text(own_prompts())
        (there.folder / "azure.csv").write_text(recording())
        bring_humaneval(there.folder / "HumanEvalPlus.jsonl.gz")
        tasks = load_dataset("starwatt-24").tasks
        solved = [{"task_id": t.task_id, "solution": t.prompt + t.canonical_solution} for t in tasks]
        (there.folder / "samples.jsonl").write_text("\n".join(map(json.dumps, solved)))


def _type(there: Place, command: str, **more: str) -> None:
    for kind, until in LASTING.items():
        if re.match(rf"(\w+=\S+ )*{kind}", command):
            there.leave_running(kind, command, until)
            return
    if " grade " in command and not sandbox_status().ok:
        return  # tests/analysis/grading insists on it, where CI promises one
    code, said = there.type(command, **more)
    verb = command.split()[1] if command.startswith("starwatt") else ""
    assert code in ALLOWED.get(verb, (0,)), f"{command}\nexit code {code}:\n{said}"
    assert "Traceback" not in said, said
    assert SECRET not in said


def _study_of(block: Block) -> str | None:
    """The name of the study that a block shows, where it is to be run."""
    shown = yaml.safe_load(block.text) if block.language == "yaml" else None
    if not isinstance(shown, dict) or not {"name", "models", "loads"} <= set(shown):
        return None
    return str(shown["name"]) if shown["name"] not in COPIES else None


def test_what_is_listed_is_shown() -> None:
    commands = [command for block in all_blocks() for command in block.commands]
    assert len(commands) > 30
    for beginning in NOT_TYPED:
        assert any(command.startswith(beginning) for command in commands), f"{beginning}: no page shows it"


def test_what_is_promised_is_of_a_page_or_part_that_is_typed() -> None:
    assert set(PROMISED) <= {shown.id for shown in with_commands()}
