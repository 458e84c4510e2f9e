"""CPU packages and DRAM by RAPL, through the kernel's powercap files."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from server.power.meter import Boundary, Device, Reading
from server.power.rapl_mirrors import find_mirrors
from starwatt_errors import MeterError
from traces.clock import now_ns

POWERCAP = Path("/sys/class/powercap")
_MOST_DIGITS = 19  # of 64 bits
_LIMIT_FACTOR = 3.0  # over the highest limit: power for an instant is above it
_MOST_W = 5_000.0  # of a zone that names no limit
_SHORTEST_S = 0.1  # a counter may be renewed this late, and a wrap seen right after another reading


class UnreadableZoneError(MeterError):
    """The kernel offers the zone, and this user may not read it; ``remedy`` is what lets them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remedy = f"as root, once per boot: chmod -R a+r {path.parent}/"
        super().__init__(f"RAPL: {path} may only be read by root; {self.remedy}")


class MaskedZonesError(MeterError):
    """The kernel offers zones, and this container hides their files; ``remedy`` is what shows them."""

    def __init__(self, root: Path) -> None:
        self.why = f"this container hides the zones of {root}"
        self.remedy = (
            "docker run --security-opt systempaths=unconfined, or podman run --security-opt "
            "unmask=/sys/devices/virtual/powercap"
        )
        super().__init__(f"RAPL: {self.why}: {self.remedy}")


@dataclass(frozen=True)
class Zone:
    """One zone of the kernel's tree that is a package or a memory."""

    folder: Path
    name: str
    """The kernel's own (``package-0``, ``package-0-die-1``); a memory has its package's (``dram-0-die-1``)."""
    boundary: Boundary

    def energy_uj(self) -> int:
        """Return its counter just now; MeterError where it cannot be read, or is no number."""
        return _number(self.folder / "energy_uj")

    def limit_w(self) -> float | None:
        """Return the highest power limit that is set; None where it has none (AMD, most memories)."""
        return max(self._constraints_w("power_limit_uw"), default=None)

    def most_w(self) -> float:
        """Return more than it can draw: three times the highest power or limit that the kernel names."""
        named_w = [*self._constraints_w("max_power_uw"), *self._constraints_w("power_limit_uw")]
        return _LIMIT_FACTOR * max(named_w) if named_w else _MOST_W

    def _constraints_w(self, what: str) -> list[float]:
        """Read long-term, short-term and peak power; a kernel that has none, or says 0, names no limit."""
        limits_w: list[float] = []
        for path in sorted(self.folder.glob(f"constraint_*_{what}")):
            with suppress(MeterError):
                limits_w.append(_number(path, least=1) * 1e-6)
        return limits_w


@dataclass
class _Counter:
    zone: Zone
    device: Device
    range_uj: int
    most_w: float
    last_uj: int
    last_ns: int
    total_uj: int = 0


def find_zones(root: Path = POWERCAP) -> list[Zone]:
    """Find every package and DRAM zone, in the kernel's order; empty where the kernel offers none.

    Raises:
        MaskedZonesError: they are hidden, as from most containers.
    """
    zones: list[Zone] = []
    folders = sorted(root.glob("intel-rapl:*"), key=_place)  # AMD's zones have that name too
    if folders and not any(folder.exists() for folder in folders):
        raise MaskedZonesError(root)
    for folder in folders:
        kind = _read(folder / "name")
        if kind.startswith("package"):
            zones.append(Zone(folder, kind, "cpu"))
        elif kind == "dram":
            package = folder.with_name(folder.name.rpartition(":")[0]) / "name"
            of = _read(package) if package.is_file() else ""
            number = of.removeprefix("package-") if of.startswith("package-") else folder.name.split(":")[1]
            zones.append(Zone(folder, f"dram-{number}", "dram"))
    often = Counter(zone.name for zone in zones)
    return [
        zone if often[zone.name] == 1 else replace(zone, name=f"{zone.name} ({zone.folder.name})")
        for zone in zones
    ]


class RaplMeter:
    """Every package and DRAM zone. A counter wraps at ``max_energy_range_uj``; wraps are counted.

    A boundary is read whole or not at all: the joules of half of the packages would pass for those of all. One whose
    zones do not all answer is in ``left_out``, where another one is read. Zones that mirror one counter are read once.

    Raises:
        MeterError: the kernel offers no zone, or no boundary can be read whole.
        UnreadableZoneError: this user may not read one (the message says which file).
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._counters: list[_Counter] = []
        self.left_out: list[MeterError] = []
        zones = find_zones(root)
        for boundary in sorted({zone.boundary for zone in zones}):
            try:
                self._counters += _open([zone for zone in zones if zone.boundary == boundary])
            except MeterError as error:
                self.left_out.append(error)
        if self.left_out and not self._counters:
            raise self.left_out[0]
        if not self._counters:
            raise MeterError(f"RAPL: the kernel offers no zone under {root} (a virtual machine rarely does)")
        self._counters.sort(key=lambda counter: _place(counter.zone.folder))
        self.devices = [counter.device for counter in self._counters]
        self.named = [device.name for device in self.devices]

    def read(self, *, slow: bool) -> list[Reading]:
        """Read the energy since the first reading, and the mean power since the last; with ``slow``, power limits."""
        return [_read_counter(counter, slow=slow) for counter in self._counters]

    def close(self) -> None:
        """Do nothing: nothing stays open between readings."""


def _open(zones: list[Zone]) -> list[_Counter]:
    """Return the counters of one boundary, each once, its device's note naming the zones that show it again."""
    for zone in zones:
        zone.energy_uj()  # of those that are not counted too: a boundary is read whole
    mirrors = find_mirrors([zone.name for zone in zones], [zone.energy_uj for zone in zones])
    counters = []
    for place, zone in enumerate(zones):
        if place in mirrors:
            continue
        again = [zones[other].name for other, first in mirrors.items() if first == place]
        counters.append(_open_counter(zone, again))
    return counters


def _open_counter(zone: Zone, again: list[str]) -> _Counter:
    note = "the whole package, whoever uses it; power is the mean since the last reading"
    if again:
        note += f"; {', '.join(again)} show the same counter, which is counted once"
    return _Counter(
        zone=zone,
        device=Device(zone.name, zone.boundary, "rapl", note),
        range_uj=_number(zone.folder / "max_energy_range_uj", least=1),
        most_w=zone.most_w(),
        last_uj=zone.energy_uj(),
        last_ns=now_ns(),
    )


def _read_counter(counter: _Counter, *, slow: bool) -> Reading:
    """Read a counter; one that went back without a wrap (it began anew) takes ``energy_j`` back, and shows no power."""
    before_ns = now_ns()
    counter_uj = counter.zone.energy_uj()
    after_ns = now_ns()
    t_ns = (before_ns + after_ns) // 2
    elapsed_s = (t_ns - counter.last_ns) * 1e-9
    step_uj = counter_uj - counter.last_uj
    if step_uj < 0 and _may_wrap(counter, step_uj, elapsed_s):
        step_uj += counter.range_uj
    counter.total_uj += step_uj
    counter.last_uj, counter.last_ns = counter_uj, t_ns
    return Reading(
        counter.device,
        t_ns,
        after_ns - before_ns,
        power_w=step_uj * 1e-6 / elapsed_s if elapsed_s > 0 and step_uj >= 0 else None,
        energy_j=counter.total_uj * 1e-6,
        power_limit_w=counter.zone.limit_w() if slow else None,
    )


def _may_wrap(counter: _Counter, step_uj: int, elapsed_s: float) -> bool:
    """Say whether the zone can have drawn what a wrap would mean."""
    wrapped_uj = step_uj + counter.range_uj
    return 0 <= wrapped_uj <= counter.most_w * max(elapsed_s, _SHORTEST_S) * 1e6


def _place(folder: Path) -> list[int]:
    """Return the numbers of a zone's folder, so that intel-rapl:10 comes after intel-rapl:9."""
    return [int(number) if number.isdecimal() else 0 for number in folder.name.split(":")[1:]]


def _number(path: Path, *, least: int = 0) -> int:
    text = _read(path)
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) >= least):
        raise MeterError(f"RAPL: {path} holds {text[:40]!r}, where the kernel writes a number of microjoules")
    return int(text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise UnreadableZoneError(path) from error
    except UnicodeDecodeError as error:
        raise MeterError(f"RAPL: {path} holds no text: {error.reason}") from error
    except OSError as error:
        raise MeterError(f"RAPL: {path} cannot be read: {error.strerror}") from error
