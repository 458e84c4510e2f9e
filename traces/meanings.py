"""Say what each column of a run's files means: the third column of docs/reference/files.md."""

from __future__ import annotations

_KEYS = {
    "model": "The model's name in paths",
    "variant": "The variant; null in `nodes` for the machine itself",
    "load": "The load's name in paths; null in `nodes` for the machine itself",
    "block": "Number of the block, from 1",
    "boundary": "What the joules are of: `gpu`, `cpu`, `dram` or `host`; null where a metric has none",
    "source": "Which meter: `nvml`, `rapl`, `modelled` or `external`; null where a metric has none",
}
_REQUESTS = {
    "request_id": "Unique within the cell",
    "task_id": "Name of the task in its data set",
    "sample": "Number of the pass over the prompts, from 0",
    "role": "`warmup`, `measured` or `filler`; only `measured` is graded and tabulated",
    "worker": "Which process of the load generator sent it",
    "scheduled_ns": "When it was due: of an open load by its schedule, otherwise when its place fell free",
    "sent_ns": "When it was sent; where a connection had to be opened for it, when that began",
    "first_token_ns": "When the first text arrived; null where none did",
    "end_ns": "When the last text, token or finish reason arrived",
    "chunk_ns": "Arrival of every chunk with text",
    "chunk_tokens": "Tokens that came with each chunk; null where the server does not say",
    "prompt_tokens": "Tokens of the prompt, as the server counts them",
    "cached_tokens": "Of these, tokens from the prefix cache; null unless the server says so",
    "output_tokens": "Tokens of the answer, as the server counts them",
    "finish_reason": "Why the answer ended, in the server's word",
    "status": "`ok`, `http_error`, `timeout`, `connection_error`, `malformed` or `aborted`",
    "http_status": "Status of the HTTP answer; null where none came",
    "error": "What went wrong, in the server's own words where it said any",
    "completion": "The text of the answer",
    "position": "Place in the schedule, or in the order of measuring",
    "pass_phase_ns": "By how much later a place goes on that comes to this pass, so that passes begin at all phases of"
    " a power sensor; null in open loads, and where nothing is dithered",
    "due_ns": "When it is due, counted from the load's start; null where a request waits for a free place",
}
_POWER = {
    "t_ns": "When the reading was taken",
    "device": "UUID of a board, name of a zone (`package-0`), `engine`, or a name from the study",
    "power_w": "W. NVML: instantaneous; RAPL and modelled: mean since the last reading; external: what the log says",
    "power_avg_w": "W, the board's own slow average",
    "energy_j": "J since the first reading, by the device's counter; of NVML in rows of its own",
    "temperature_c": "°C of the chip",
    "sm_clock_mhz": "MHz of the multiprocessors",
    "mem_clock_mhz": "MHz of the memory",
    "utilization": "Share of time in which a kernel ran, 0 to 1",
    "throttle": "Bit mask of NVML's reasons for lower clocks",
    "power_limit_w": "W that the device is limited to; null in traces that are older than the column",
    "read_ns": "How long the reading itself took",
    "state": "`exclusive`, `shared` or `unknown`: who was on the board",
    "pids": "Processes on the board, as the driver names them",
    "foreign": "Of these, processes that do not descend from the engine",
    "engine": "Whether the engine is on the board; null where that cannot be seen",
    "occupancy.power_w": "W that a visible board draws which is not metered",
}
_ENGINE = {
    "running": "Requests in the batch",
    "waiting": "Requests in the engine's queue",
    "kv_cache_usage": "Share of the KV cache that is in use, 0 to 1",
    "prompt_tokens_total": "Prompt tokens since the engine's start",
    "generation_tokens_total": "Output tokens since the engine's start",
    "prefix_hits_total": "Prompt tokens that came from the prefix cache since the engine's start",
    "preemptions_total": "Requests that were preempted since the engine's start",
}
_GRADES = {
    "base": "Whether the base tests passed",
    "plus": "Whether base and plus tests passed",
    "grades.reason": "The verdict: see [troubleshooting](../troubleshooting.md#verdicts-of-a-program)",
    "detail": "The first failing input",
    "retried": "Whether the program was run again, alone, before it counted",
    "samples": "Graded answers of the task",
    "base_passed": "Of these, how many passed the base tests; null where nothing was graded",
    "plus_passed": "Of these, how many passed base and plus tests; null where nothing was graded",
    "graded": "Whether there are verdicts",
    "accuracy.reason": "Why there are none: a reason code",
}
_PLAN = {
    "engine_start": "Which start of an engine serves it, from 0",
    "estimated_s": "Seconds that it was expected to take",
}
_TABLES = {
    "contrast": "Which comparison: see [statistics](../statistics.md#contrasts-tablescontrasts)",
    "reference_variant": "The variant of the other side",
    "reference_load": "The load of the other side",
    "blocks": "How many blocks the figure rests on",
    "node": "The machine, or the slot of one",
    "beside": "The metric with others measured beside it",
    "alone": "The metric of the same cell measured alone",
    "overlap": "Share of the window in which others were measured",
    "metric": "What `value` is",
    "value": "The figure; null with reasons where there is none",
    "unit": "Unit of the figure",
    "lo": "Lower end of its 95 % interval",
    "hi": "Upper end of its 95 % interval",
    "interval_kind": "What the interval covers, such as `measurement`, `blocks`, `tasks` or `gain`",
    "valid": "Whether the figure is to be believed",
    "reasons": "Reason codes: see [troubleshooting](../troubleshooting.md#reason-codes)",
    "tokens_in_window": "Output tokens that arrived inside the window",
    "share_in_window": "These over all tokens of the answer, 0 to 1",
    "ttft_ms": "Time to the first token from `scheduled_ns`",
    "e2e_ms": "Time to the end from `scheduled_ns`",
    "tpot_ms": "Time per output token after the first",
    "energy_in_flight_j": "J by the rule [in_flight](../attribution.md#in_flight)",
    "energy_tokens_j": "J by the rule [tokens](../attribution.md#tokens)",
    "energy_phase_j": "J by the rule [phase](../attribution.md#phase); null where it is not identified",
}
_MEANINGS = _KEYS | _REQUESTS | _POWER | _ENGINE | _GRADES | _PLAN | _TABLES


def meaning(file: str, column: str) -> str:
    """Say what a column means, in one line of Markdown; a column of a file can have a meaning of its own.

    Args:
        file: the file's name without its suffix, such as ``requests`` or ``tables/requests``.
        column: the column's name in its schema.

    Raises:
        KeyError: nobody has written it down yet.
    """
    of_this_file = f"{file}.{column}"
    return _MEANINGS[of_this_file] if of_this_file in _MEANINGS else _MEANINGS[column]
