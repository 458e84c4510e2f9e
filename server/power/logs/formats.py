"""Find which form a log has: what the study says, or what its first lines look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from configs.files.csv_lines import is_before_a_header, separator_of, split
from configs.meters import ExternalLog
from server.power.logs.programs import DcgmiDmon, FreeIpmi, Ipmitool, NvidiaDmon, PtDaemon
from server.power.logs.reader import Reader
from server.power.logs.table import Columns, Table

_TABLES: dict[str, Columns] = {
    "nvidia-smi": Columns(
        ("timestamp",),
        ("power.draw.instant [W]", "power.draw [W]", "power.draw.average [W]",
         "power.draw.instant", "power.draw", "power.draw.average"),
        ("uuid", "gpu_uuid", "index", "pci.bus_id", "gpu_bus_id", "name"),
    ),
    "ear": Columns(("TIMESTAMP", "time"), ("DC_NODE_POWER_W", "DC_POWER_W"), ("NODENAME", "NODE_ID", "node_id")),
    "influxdb": Columns(("_time",), ("_value",), ("table",)),
    "home-assistant": Columns(("last_changed", "last_updated"), ("state",), ("entity_id",)),
}  # fmt: skip
_PLAIN = Columns(
    ("time", "timestamp", "datetime", "date"),
    (),
    ("device", "device_id", "gpu", "gpu_id", "gpu_index", "gpu_uuid", "uuid", "sensor", "sensor_id", "entity_id",
     "host", "hostname", "node", "nodename", "instance", "outlet", "channel"),
)  # fmt: skip
_PROGRAMS: dict[str, Callable[[ExternalLog], Reader]] = {
    "ptdaemon": PtDaemon,
    "dcgmi-dmon": DcgmiDmon,
    "nvidia-dmon": NvidiaDmon,
    "ipmitool-dcmi": Ipmitool,
    "ipmi-dcmi": FreeIpmi,
}
_FIRST_LINES = {
    "ptdaemon": r"Time,[^,]+,Watts,",
    "dcgmi-dmon": r".*#\s*Entity\b",
    "nvidia-dmon": r"#\s*(Date\W+)?(Time\W+)?gpu\b",
    "ipmitool-dcmi": r"Instantaneous power reading\s*:",
    "ipmi-dcmi": r"Current Power\s*:",
    "influxdb": r"#(group|datatype|default)\b",
}


def recognised(log: ExternalLog, lines: Sequence[str]) -> str:
    """Return the name of the log's form: what the study says, otherwise what its first lines look like."""
    if log.format != "auto":
        return log.format
    first = next((line.strip() for line in lines if not is_before_a_header(line)), "")
    by_line = (
        name
        for name, pattern in _FIRST_LINES.items()
        if any(re.match(pattern, line.strip()) for line in lines)
    )
    names = split(first[:10_000], separator_of(first))
    by_header = (
        name
        for name, columns in _TABLES.items()
        if not _lacks(columns.time, names) and not _lacks(columns.power, names)
    )
    return next(by_line, None) or next(by_header, "csv")


def _lacks(wanted: Sequence[str], names: Sequence[str]) -> bool:
    """Say whether a header has none of these."""
    return not any(column in names for column in wanted)


def format_of(log: ExternalLog, lines: Sequence[str]) -> Reader:
    """Return the reader of a log that begins with these lines.

    Raises:
        MeterError: its header lacks a column that the study names.
    """
    name = recognised(log, lines)
    if name in _PROGRAMS:
        return _PROGRAMS[name](log)
    columns, known = _TABLES.get(name, _PLAIN), name in _TABLES
    # InfluxDB's header may still be to come; of others one that does not fit is told at once.
    if name != "influxdb":
        header = next((line for line in lines if not is_before_a_header(line)), "")
        Table(log, columns, known=known).line(header, 1)
    return Table(log, columns, known=known)
