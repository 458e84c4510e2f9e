"""CPU packages and DRAM by RAPL, through the kernel's powercap files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.power.meter import Boundary, Device, Reading
from starwatt_errors import MeterError
from traces.clock import now_ns

POWERCAP = Path("/sys/class/powercap")
_MOST_DIGITS = 19  # of 64 bits


class UnreadableZoneError(MeterError):
    """The kernel offers the zone, and this user may not read it; ``remedy`` is what lets them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remedy = f"as root, once per boot: chmod -R a+r {path.parent}/"
        super().__init__(f"RAPL: {path} may only be read by root; {self.remedy}")


@dataclass
class _Zone:
    device: Device
    path: Path
    range_uj: int
    last_uj: int
    last_ns: int
    total_uj: int = 0


def find_zones(root: Path = POWERCAP) -> list[tuple[Path, str, Boundary]]:
    """(folder, device name, boundary) of every package and DRAM zone; empty where the kernel offers none."""
    zones: list[tuple[Path, str, Boundary]] = []
    for folder in sorted(root.glob("intel-rapl:*")):  # AMD's zones have that name too
        kind = _read(folder / "name")
        number = folder.name.split(":")[1]
        if kind.startswith("package"):
            zones.append((folder, f"package-{number}", "cpu"))
        elif kind == "dram":
            zones.append((folder, f"dram-{number}", "dram"))
    return zones


class RaplMeter:
    """Every package and DRAM zone. A counter wraps at ``max_energy_range_uj``; wraps are counted.

    A boundary is read whole or not at all: the joules of half of the packages would pass for those of all. One whose
    zones do not all answer is in ``left_out``, where another one is read.

    Raises:
        MeterError: the kernel offers no zone, or no boundary can be read whole.
        UnreadableZoneError: this user may not read one (the message says which file).
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones: list[_Zone] = []
        self.left_out: list[MeterError] = []
        zones = find_zones(root)
        for boundary in sorted({boundary for _, _, boundary in zones}):
            try:
                self._zones += [_open_zone(*zone) for zone in zones if zone[2] == boundary]
            except MeterError as error:
                self.left_out.append(error)
        if self.left_out and not self._zones:
            raise self.left_out[0]
        if not self._zones:
            raise MeterError(f"RAPL: the kernel offers no zone under {root} (a virtual machine rarely does)")
        self._zones.sort(key=lambda zone: zone.path)

    @property
    def devices(self) -> list[Device]:
        """Packages and DRAM zones."""
        return [zone.device for zone in self._zones]

    def read(self, *, slow: bool) -> list[Reading]:  # noqa: ARG002 -- all of it is cheap
        """Energy since the first reading, and the mean power since the last one."""
        return [_read_zone(zone) for zone in self._zones]

    def close(self) -> None:
        """Nothing stays open between readings."""


def _open_zone(path: Path, name: str, boundary: Boundary) -> _Zone:
    device = Device(
        name, boundary, "rapl", "the whole package, whoever uses it; power is the mean since the last reading"
    )
    return _Zone(
        device=device,
        path=path / "energy_uj",
        range_uj=_number(path / "max_energy_range_uj", least=1),
        last_uj=_number(path / "energy_uj"),
        last_ns=now_ns(),
    )


def _read_zone(zone: _Zone) -> Reading:
    before_ns = now_ns()
    counter_uj = _number(zone.path)
    after_ns = now_ns()
    t_ns = (before_ns + after_ns) // 2
    step_uj = counter_uj - zone.last_uj
    if step_uj < 0:
        step_uj += zone.range_uj
    zone.total_uj += step_uj
    elapsed_s = (t_ns - zone.last_ns) * 1e-9
    zone.last_uj, zone.last_ns = counter_uj, t_ns
    power_w = step_uj * 1e-6 / elapsed_s if elapsed_s > 0 else None
    return Reading(zone.device, t_ns, after_ns - before_ns, power_w=power_w, energy_j=zone.total_uj * 1e-6)


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
