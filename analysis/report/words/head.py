"""What stands at the head of a page: what was measured, on what, when, for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from analysis.cells.context import Context
from analysis.opened import OpenedRun
from analysis.report.words.load import by_words
from analysis.results.headline import note_of
from analysis.results.points import Results
from configs.restarts import EngineRestarts, Resident
from configs.schema import FixedOutput, RecordedOutput
from traces.cell import CellRecord, Phase, Served
from traces.layout import CellKey
from traces.streams import has_trace

_DAY = "%Y-%m-%d"


def head_of(run: OpenedRun, results: Results) -> list[tuple[str, str]]:
    """Return name and value of each line; a line of which the run says nothing is left out."""
    lines = (
        ("Model", _models(run, results)),
        ("Data set", _dataset(run, results)),
        ("Asked", _asked(run)),
        ("Machine", _machine(run.context)),
        ("Board", boards_words(run.context.gpus)),
        ("Power", _power(run, results)),
        ("Engine", "; ".join(engines(run.records))),
        ("Measured by", _others(run)),
        ("Date", date_of(run.context.manifest)),
        ("Duration", duration_words(run.records.values())),
        ("Blocks", _blocks(run, results)),
    )
    return [(name, words) for name, words in lines if words]


def intro_words(run: OpenedRun, results: Results) -> str:
    """Say in a line what the page of a study, or of several loads that were imported, is about."""
    batched = any(contrast.kind == "batched_vs_single" for contrast in results.contrasts)
    how = ", batched and one request at a time" if batched else ""
    whose = "As others measured it" if _others(run) else "On this machine"
    models = ", ".join(results.models)
    return f"What it costs, in joules, to serve {models}{how}. {whose}; another of the same kind may differ."


def length_words(run: OpenedRun) -> str:
    """Return how answers ended: what a comparison of J/request is at."""
    study = run.context.study
    if study is None:
        return "answers as they came"
    if isinstance(study.prompts.output, FixedOutput):
        return f"at equal length: every answer has {study.prompts.output.fixed} tokens"
    if isinstance(study.prompts.output, RecordedOutput):
        return "at equal length: an answer has as many tokens as were recorded for its task, whatever the variant"
    return "at natural length: a variant that rambles pays for it in tokens/request"


def engines(records: Mapping[CellKey, CellRecord]) -> list[str]:
    """Name engine, version and model implementation, each combination once."""
    named = {_engine(record.served) for record in records.values()} - {""}
    # cells of one engine say more and less of it: the most that any says
    return sorted(name for name in named if not any(other.startswith(f"{name} ") for other in named))


def _engine(served: Served) -> str:
    known = (served.engine, served.version, served.model_implementation)
    repeated = bool(served.engine and served.version and served.version.startswith(f"{served.engine} "))
    return " ".join(filter(None, known[repeated:]))


def boards_words(gpus: Iterable[Mapping[str, Any]]) -> str:
    """Return the GPUs, each kind once with how many there are and their power limit."""
    kinds = Counter((str(gpu.get("name") or "GPU"), gpu.get("power_limit_w")) for gpu in gpus)
    return "; ".join(
        (f"{count} x " if count > 1 else "") + name + (f" ({limit:g} W limit)" if limit else "")
        for (name, limit), count in kinds.items()
    )


def date_of(manifest: Mapping[str, Any]) -> str:
    """Return the day on which it began, by UTC; until which one, where it was continued on another."""
    sessions = manifest.get("sessions")
    known = (
        [session for session in sessions if isinstance(session, dict)] if isinstance(sessions, list) else []
    )
    begun = [str(session.get("begun", ""))[:10] for session in known]
    days = sorted({day for day in begun if day})
    if not days:
        host = manifest.get("host")
        at_ns = host.get("realtime_ns") if isinstance(host, dict) else None
        days = [datetime.fromtimestamp(at_ns / 1e9, UTC).strftime(_DAY)] if isinstance(at_ns, int) else []
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def duration_words(records: Iterable[CellRecord]) -> str:
    """Say how long it took from the first cell's beginning to the last one's end, summed over boots and hosts."""
    spans: dict[str, tuple[int, int]] = {}
    for record in records:
        phases = [phase for _, phase in record.phases if isinstance(phase, Phase)]
        if phases:
            first, last = spans.get(record.boot_id, (phases[0].start_ns, phases[0].end_ns))
            spans[record.boot_id] = (
                min(first, *(phase.start_ns for phase in phases)),
                max(last, *(phase.end_ns for phase in phases)),
            )
    seconds = sum(last - first for first, last in spans.values()) / 1e9
    if not spans:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return (
        f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
    )


def _models(run: OpenedRun, results: Results) -> str:
    drawn = {key.model for key, record in run.records.items() if record.served.random_weights}

    def words(model: str) -> str:
        known = (("memorised the tasks", model in results.memorised), ("random weights", model in drawn))
        marks = ", ".join(mark for mark, holds in known if holds)
        return f"{model} ({marks})" if marks else model

    return ", ".join(map(words, results.models))


def _dataset(run: OpenedRun, results: Results) -> str:
    if results.tasks_words:
        return results.tasks_words
    tasks = run.context.study.prompts.tasks if run.context.study else None
    if isinstance(tasks, int):
        return results.task_set.words(tasks)
    total = results.task_set.total
    return " ".join(filter(None, (results.task_set.name, f"({total} tasks)" if total else "")))


def _asked(run: OpenedRun) -> str:
    """How, where a study says that it is by chat; most ask for completions."""
    study = run.context.study
    return "by chat, each model in its own template" if study is not None and study.endpoint == "chat" else ""


def _machine(context: Context) -> str:
    nodes = context.manifest.get("nodes")
    if isinstance(nodes, dict) and len(nodes) > 1:
        return f"{len(nodes)}: {', '.join(sorted(map(str, nodes)))}"
    host = context.host
    parts = [str(host["name"])] if host.get("name") else []
    parts += (
        [f"{host['cpus']} CPUs" + (f" of {host['cpu']}" if host.get("cpu") else "")]
        if host.get("cpus")
        else []
    )
    parts += [f"{host['memory_gib']:g} GiB"] if isinstance(host.get("memory_gib"), int | float) else []
    return ", ".join(parts)


def _power(run: OpenedRun, results: Results) -> str:
    if results.pair is not None:
        return f"{results.pair[0]}, by {results.pair[1]}{note_of(results)}"
    return "of no answered request" if is_metered(run) else "not metered"


def is_metered(run: OpenedRun) -> bool:
    """Say whether power was recorded beside any cell, whatever came of it."""
    return any(has_trace(run.dir.cell(key), "power") for key in run.dir.finished_cells())


def _blocks(run: OpenedRun, results: Results) -> str:
    cells = {(row["model"], row["variant"], row["load"], row["block"]) for row in results.cell_rows}
    blocks = {block for *_, block in cells}
    if not blocks:
        return ""
    study = run.context.study
    starts = ""
    if study is not None:
        starts = _starts(study.engine_restarts, max(blocks))
        starts = "engines that ran already" if set(study.variants) <= set(study.remote) else starts
    return f"{len(blocks)}{', ' * bool(starts)}{starts}; {len(cells)} cells"


def _others(run: OpenedRun) -> str:
    """Name the tools whose files were imported."""
    named = (by_words(record.imported) for record in run.records.values() if record.imported is not None)
    return ", ".join(dict.fromkeys(named))


def _starts(restarts: EngineRestarts, last: int) -> str:
    """``last``: the last block that was measured."""
    if isinstance(restarts, Resident):
        anew = "anew in each" if restarts.every == 1 else f"anew every {restarts.every}"
        return f"all engines loaded beside each other, started {anew if restarts.start_of(last) else 'once'}"
    return "one engine start for all" if restarts == "once" else "engines started anew in each"
