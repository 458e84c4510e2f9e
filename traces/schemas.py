"""Define what every file of a run holds: each column once, with its type and its meaning, and each file as a list.

Times are int64 nanoseconds of ``CLOCK_MONOTONIC`` in columns ending in ``_ns``. What a device or a server
does not offer is null, never 0.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

_TEXT, _BOOL, _FLOAT, _INT, _COUNT = pa.string(), pa.bool_(), pa.float64(), pa.int64(), pa.int32()

# fmt: off
_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "model": (_TEXT, "The model's name in paths"),
    "variant": (_TEXT, "The variant; null in `nodes` for the machine itself"),
    "load": (_TEXT, "The load's name in paths; null in `nodes` for the machine itself"),
    "board": (_TEXT, "What the boards were set to, such as `250w`, `1200mhz` or `as-found`: it stands in the load's name too, behind `@`; null where the study leaves them alone"),
    "block": (_COUNT, "Number of the block, from 1"),
    "boundary": (_TEXT, "What the joules are of: `gpu`, `cpu`, `dram` or `host`; null where a metric has none"),
    "source": (_TEXT, "Which meter: `nvml`, `amdsmi`, `rapl`, `modelled` or `external`; null where a metric has none"),
    "request_id": (_INT, "Unique within the cell"),
    "task_id": (_TEXT, "Name of the task in its data set"),
    "sample": (_COUNT, "Number of the pass over the prompts, from 0"),
    "role": (_TEXT, "`warmup`, `measured` or `filler`; only `measured` is graded and tabulated"),
    "worker": (_COUNT, "Which process of the load generator sent it"),
    "scheduled_ns": (_INT, "When it was due: of an open load by its schedule, otherwise when its place fell free"),
    "sent_ns": (_INT, "When it was sent; where a connection had to be opened for it, when that began"),
    "first_token_ns": (_INT, "When the first text arrived; null where none did"),
    "end_ns": (_INT, "When the last text, token or finish reason arrived"),
    "chunk_ns": (pa.list_(_INT), "Arrival of every chunk with text"),
    "chunk_tokens": (pa.list_(_COUNT), "Tokens that came with each chunk; null where the server does not say"),
    "prompt_tokens": (_COUNT, "Tokens of the prompt, as the server counts them"),
    "cached_tokens": (_COUNT, "Of these, tokens from the prefix cache; null unless the server says so"),
    "output_tokens": (_COUNT, "Tokens of the answer, as the server counts them"),
    "finish_reason": (_TEXT, "Why the answer ended, in the server's word"),
    "status": (_TEXT, "`ok`, `http_error`, `timeout`, `connection_error`, `malformed`, `aborted`; imported ones also `failed`"),
    "http_status": (pa.int16(), "Status of the HTTP answer; null where none came"),
    "error": (_TEXT, "What went wrong, in the server's own words where it said any"),
    "completion": (pa.large_string(), "The text of the answer"),
    "chunk_chars": (pa.list_(_COUNT), "Characters of `completion` that came with each chunk; null where halves came apart"),
    "reasoning": (pa.large_string(), "What the model wrote before its answer, where the server of a chat sends it apart"),
    "reasoning_tokens": (_COUNT, "Of `output_tokens`, those of `reasoning`; null where neither server nor chunks say so"),
    "asked_prompt_tokens": (_COUNT, "Tokens that the prompt was to have, where the load replays a recording with lengths; null elsewhere"),
    "asked_output_tokens": (_COUNT, "The same of the answer"),
    "schedule.position": (_INT, "Place in the schedule"),
    "due_ns": (_INT, "When it is due, counted from the load's start; null where a request waits for a free place"),
    "pass_phase_ns": (_INT, "By how much later a place goes on that comes to this pass, so that passes begin at all phases of a power sensor; null in open loads, and where nothing is dithered"),
    "t_ns": (_INT, "When the reading was taken"),
    "device": (_TEXT, "UUID of a board, name of a zone (`package-0`), `engine`, or a name from the study"),
    "power_w": (_FLOAT, "W. NVML, AMD SMI: instantaneous; RAPL and modelled: mean since the last reading; external: what the log says"),
    "power_avg_w": (_FLOAT, "W, the board's own slow average"),
    "energy_j": (_FLOAT, "J since the first reading, by the device's counter; of NVML and AMD SMI in rows of its own"),
    "temperature_c": (_FLOAT, "°C of the chip"),
    "sm_clock_mhz": (_FLOAT, "MHz of the multiprocessors"),
    "mem_clock_mhz": (_FLOAT, "MHz of the memory"),
    "utilization": (_FLOAT, "Share of time in which a kernel ran, 0 to 1"),
    "throttle": (_INT, "Bit mask of NVML's reasons for lower clocks"),
    "power_limit_w": (_FLOAT, "W that the device is limited to; null in traces that are older than the column"),
    "read_ns": (_INT, "How long the reading itself took"),
    "state": (_TEXT, "`exclusive`, `shared` or `unknown`: who was on the board"),
    "pids": (pa.list_(_INT), "Processes on the board, as the driver names them"),
    "foreign": (pa.list_(_INT), "Of these, processes that do not descend from the engine"),
    "engine": (_BOOL, "Whether the engine is on the board; null where that cannot be seen"),
    "occupancy.power_w": (_FLOAT, "W that a visible board draws which is not metered"),
    "running": (_FLOAT, "Requests in the batch"),
    "waiting": (_FLOAT, "Requests in the engine's queue"),
    "kv_cache_usage": (_FLOAT, "Share of the KV cache that is in use, 0 to 1"),
    "prompt_tokens_total": (_FLOAT, "Prompt tokens since the engine's start"),
    "generation_tokens_total": (_FLOAT, "Output tokens since the engine's start"),
    "prefix_hits_total": (_FLOAT, "Prompt tokens that came from the prefix cache since the engine's start"),
    "preemptions_total": (_FLOAT, "Requests that were preempted since the engine's start"),
    "drafts_total": (_FLOAT, "Steps of a request in which tokens were drafted since the engine's start; null without speculation"),
    "drafted_tokens_total": (_FLOAT, "Tokens drafted since the engine's start"),
    "accepted_tokens_total": (_FLOAT, "Of these, tokens that were kept"),
    "base": (_BOOL, "Whether the base tests passed"),
    "plus": (_BOOL, "Whether base and plus tests passed"),
    "grades.reason": (_TEXT, "The verdict: see [troubleshooting](../troubleshooting.md#verdicts-of-a-program)"),
    "detail": (_TEXT, "The first failing input"),
    "retried": (_BOOL, "Whether the program was run again, alone, before it counted"),
    "solution_chars": (pa.list_(_COUNT), "Characters of `completion` that were run: start and end of each part; null: not known"),
    "samples": (_COUNT, "Graded answers of the task"),
    "base_passed": (_COUNT, "Of these, how many passed the base tests; null where nothing was graded"),
    "plus_passed": (_COUNT, "Of these, how many passed base and plus tests; null where nothing was graded"),
    "graded": (_BOOL, "Whether there are verdicts"),
    "accuracy.reason": (_TEXT, "Why there are none: a reason code"),
    "plan.position": (_COUNT, "Place in the order of measuring"),
    "engine_start": (_COUNT, "Which start of an engine serves it, from 0"),
    "estimated_s": (_FLOAT, "Seconds that it was expected to take"),
    "contrast": (_TEXT, "Which comparison: see [statistics](../statistics.md#contrasts-tablescontrasts)"),
    "reference_variant": (_TEXT, "The variant of the other side"),
    "reference_load": (_TEXT, "The load of the other side"),
    "reference_board": (_TEXT, "What the boards of the other side were set to"),
    "blocks": (_COUNT, "How many blocks the figure rests on"),
    "node": (_TEXT, "The machine, or the slot of one"),
    "beside": (_FLOAT, "The metric with others measured beside it"),
    "alone": (_FLOAT, "The metric of the same cell measured alone"),
    "overlap": (_FLOAT, "Share of the window in which others were measured"),
    "metric": (_TEXT, "What `value` is"),
    "value": (_FLOAT, "The figure; null with reasons where there is none"),
    "unit": (_TEXT, "Unit of the figure"),
    "lo": (_FLOAT, "Lower end of its 95 % interval"),
    "hi": (_FLOAT, "Upper end of its 95 % interval"),
    "interval_kind": (_TEXT, "What the interval covers: `measurement`, `blocks`, `starts`, `tasks`, `gain` and others"),
    "valid": (_BOOL, "Whether the figure is to be believed"),
    "reasons": (pa.list_(_TEXT), "Reason codes: see [troubleshooting](../troubleshooting.md#reason-codes)"),
    "tokens_in_window": (_FLOAT, "Output tokens that arrived inside the window"),
    "share_in_window": (_FLOAT, "These over all tokens of the answer, 0 to 1"),
    "ttft_ms": (_FLOAT, "Time to the first token from `scheduled_ns`"),
    "e2e_ms": (_FLOAT, "Time to the end from `scheduled_ns`"),
    "tpot_ms": (_FLOAT, "Time per output token after the first"),
    "energy_in_flight_j": (_FLOAT, "J by the rule [in_flight](../attribution.md#in_flight)"),
    "energy_tokens_j": (_FLOAT, "J by the rule [tokens](../attribution.md#tokens)"),
    "energy_phase_j": (_FLOAT, "J by the rule [phase](../attribution.md#phase); null where it is not identified"),
}
# fmt: on
"""Type and meaning by the name of the column, or by ``file.column`` where it is another one in that file."""


def meaning(file: str, column: str) -> str:
    """Say what a column means, in one line of Markdown: the third column of docs/reference/files.md.

    Args:
        file: the file's name without its suffix, such as ``requests`` or ``tables/requests``.
        column: the column's name in its schema.

    Raises:
        KeyError: nobody has written it down yet.
    """
    return _column(file, column)[1]


def _column(file: str, column: str) -> tuple[pa.DataType, str]:
    return _COLUMNS.get(f"{file}.{column}") or _COLUMNS[column]


def _schema(file: str, columns: str) -> pa.Schema:
    return pa.schema([(name, _column(file, name)[0]) for name in columns.split()])


_CONDITION, _METER = "model variant load board", "boundary source"
_MEASURE = "metric value unit lo hi interval_kind valid reasons"

REQUESTS = _schema(
    "requests",
    "request_id task_id sample role worker scheduled_ns sent_ns first_token_ns end_ns chunk_ns chunk_tokens "
    "prompt_tokens cached_tokens output_tokens finish_reason status http_status error completion "
    "chunk_chars reasoning reasoning_tokens asked_prompt_tokens asked_output_tokens",
)
# What a load was going to ask. `due_ns` counts from the load's start; null where a request waits for a free place.
SCHEDULE = _schema(
    "schedule", "position task_id sample role due_ns pass_phase_ns asked_prompt_tokens asked_output_tokens"
)
POWER = _schema(
    "power",
    f"t_ns device {_METER} power_w power_avg_w energy_j temperature_c sm_clock_mhz mem_clock_mhz utilization "
    "throttle power_limit_w read_ns",
)
OCCUPANCY = _schema("occupancy", "t_ns device state pids foreign engine power_w")
ENGINE = _schema(
    "engine",
    "t_ns running waiting kv_cache_usage prompt_tokens_total generation_tokens_total prefix_hits_total "
    "preemptions_total drafts_total drafted_tokens_total accepted_tokens_total",
)
GRADES = _schema("grades", "request_id task_id base plus reason detail retried solution_chars")
PLAN = _schema("plan", f"{_CONDITION} block position engine_start estimated_s")
# Long tables: their keys, then one row a metric. `boundary` and `source` are null where a metric has none.
CELLS = _schema("cells", f"{_CONDITION} block {_METER} {_MEASURE}")
CONTRASTS = _schema(
    "contrasts",
    f"model contrast variant reference_variant load reference_load board reference_board {_METER} blocks {_MEASURE}",
)
# Where a run has several machines: of each side on each of them; variant and load are null for the machine itself.
NODES = _schema("nodes", f"{_CONDITION} node {_METER} blocks {_MEASURE}")
# Where engines were measured side by side: a cell beside others over the same cell alone; `value` is beside / alone.
NEIGHBOURS = _schema("neighbours", f"{_CONDITION} {_METER} blocks beside alone overlap {_MEASURE}")
ACCURACY = _schema("accuracy", f"{_CONDITION} task_id samples base_passed plus_passed graded reason")
# One row a measured request.
REQUESTS_TABLE = _schema(
    "tables/requests",
    f"{_CONDITION} block request_id task_id sample role status finish_reason scheduled_ns sent_ns first_token_ns "
    f"end_ns prompt_tokens output_tokens tokens_in_window share_in_window ttft_ms e2e_ms tpot_ms {_METER} "
    "energy_in_flight_j energy_tokens_j energy_phase_j valid",
)

TRACES = {"requests": REQUESTS, "power": POWER, "engine": ENGINE, "grades": GRADES, "occupancy": OCCUPANCY}
LATER_COLUMNS = {
    "plan": ("board",),
    "requests": (
        "chunk_chars",
        "reasoning",
        "reasoning_tokens",
        "asked_prompt_tokens",
        "asked_output_tokens",
    ),
    "power": ("power_limit_w",),
    "engine": ("drafts_total", "drafted_tokens_total", "accepted_tokens_total"),
    "occupancy": ("engine", "power_w"),
    "grades": ("solution_chars",),
}
"""Columns that came after version 1's first runs, by file: null in traces that lack them."""
STATUSES = ("ok", "http_error", "timeout", "connection_error", "malformed", "aborted", "failed")
"""``failed``: of a request that another tool made, and did not say of how it failed."""
