"""Define what every file of a run holds, column by column; ``traces/meanings.py`` says what each column means.

Times are int64 nanoseconds of ``CLOCK_MONOTONIC`` in columns ending in ``_ns``. What a device or a server
does not offer is null, never 0.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns])


REQUESTS = _schema(
    ("request_id", pa.int64()),
    ("task_id", pa.string()),
    ("sample", pa.int32()),
    ("role", pa.string()),
    ("worker", pa.int32()),
    ("scheduled_ns", pa.int64()),
    ("sent_ns", pa.int64()),
    ("first_token_ns", pa.int64()),
    ("end_ns", pa.int64()),
    ("chunk_ns", pa.list_(pa.int64())),
    ("chunk_tokens", pa.list_(pa.int32())),
    ("prompt_tokens", pa.int32()),
    ("cached_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    ("finish_reason", pa.string()),
    ("status", pa.string()),
    ("http_status", pa.int16()),
    ("error", pa.string()),
    ("completion", pa.large_string()),
)

# What a load was going to ask. `due_ns` counts from the load's start; null where a request waits for a free place.
SCHEDULE = _schema(
    ("position", pa.int64()),
    ("task_id", pa.string()),
    ("sample", pa.int32()),
    ("role", pa.string()),
    ("due_ns", pa.int64()),
    ("pass_phase_ns", pa.int64()),
)

POWER = _schema(
    ("t_ns", pa.int64()),
    ("device", pa.string()),
    ("boundary", pa.string()),
    ("source", pa.string()),
    ("power_w", pa.float64()),
    ("power_avg_w", pa.float64()),
    ("energy_j", pa.float64()),
    ("temperature_c", pa.float64()),
    ("sm_clock_mhz", pa.float64()),
    ("mem_clock_mhz", pa.float64()),
    ("utilization", pa.float64()),
    ("throttle", pa.int64()),
    ("power_limit_w", pa.float64()),
    ("read_ns", pa.int64()),
)

# Who is on a GPU: `state` is exclusive, shared or unknown; `foreign` are processes that are not the engine's; `engine`:
# whether the engine is on it, null where that cannot be seen; `power_w`: of a visible board that is not metered.
OCCUPANCY = _schema(
    ("t_ns", pa.int64()),
    ("device", pa.string()),
    ("state", pa.string()),
    ("pids", pa.list_(pa.int64())),
    ("foreign", pa.list_(pa.int64())),
    ("engine", pa.bool_()),
    ("power_w", pa.float64()),
)

ENGINE = _schema(
    ("t_ns", pa.int64()),
    ("running", pa.float64()),
    ("waiting", pa.float64()),
    ("kv_cache_usage", pa.float64()),
    ("prompt_tokens_total", pa.float64()),
    ("generation_tokens_total", pa.float64()),
    ("prefix_hits_total", pa.float64()),
    ("preemptions_total", pa.float64()),
)

GRADES = _schema(
    ("request_id", pa.int64()),
    ("task_id", pa.string()),
    ("base", pa.bool_()),
    ("plus", pa.bool_()),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("retried", pa.bool_()),
)

PLAN = _schema(
    ("model", pa.string()),
    ("variant", pa.string()),
    ("load", pa.string()),
    ("block", pa.int32()),
    ("position", pa.int32()),
    ("engine_start", pa.int32()),
    ("estimated_s", pa.float64()),
)

_CONDITION = (("model", pa.string()), ("variant", pa.string()), ("load", pa.string()))
_METER = (("boundary", pa.string()), ("source", pa.string()))
_MEASURE = (
    ("metric", pa.string()),
    ("value", pa.float64()),
    ("unit", pa.string()),
    ("lo", pa.float64()),
    ("hi", pa.float64()),
    ("interval_kind", pa.string()),
    ("valid", pa.bool_()),
    ("reasons", pa.list_(pa.string())),
)

# Long tables: their keys, then one row a metric. `boundary` and `source` are null where a metric has none.
CELLS = _schema(*_CONDITION, ("block", pa.int32()), *_METER, *_MEASURE)

CONTRASTS = _schema(
    ("model", pa.string()),
    ("contrast", pa.string()),
    ("variant", pa.string()),
    ("reference_variant", pa.string()),
    ("load", pa.string()),
    ("reference_load", pa.string()),
    *_METER,
    ("blocks", pa.int32()),
    *_MEASURE,
)

# Where a run has several machines: of each side on each of them; variant and load are null for the machine itself.
NODES = _schema(*_CONDITION, ("node", pa.string()), *_METER, ("blocks", pa.int32()), *_MEASURE)

# Where engines were measured side by side: a cell beside others over the same cell alone; `value` is beside / alone.
NEIGHBOURS = _schema(
    *_CONDITION,
    *_METER,
    ("blocks", pa.int32()),
    ("beside", pa.float64()),
    ("alone", pa.float64()),
    ("overlap", pa.float64()),
    *_MEASURE,
)

ACCURACY = _schema(
    *_CONDITION,
    ("task_id", pa.string()),
    ("samples", pa.int32()),
    ("base_passed", pa.int32()),
    ("plus_passed", pa.int32()),
    ("graded", pa.bool_()),
    ("reason", pa.string()),
)

TRACES = {"requests": REQUESTS, "power": POWER, "engine": ENGINE, "grades": GRADES, "occupancy": OCCUPANCY}
LATER_COLUMNS = {"power": ("power_limit_w",), "occupancy": ("engine", "power_w")}
"""Columns that came after version 1's first runs, by trace: null in traces that lack them."""
STATUSES = ("ok", "http_error", "timeout", "connection_error", "malformed", "aborted")
ROLES = ("warmup", "measured", "filler")
