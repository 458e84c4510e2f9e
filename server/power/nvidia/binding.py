"""The module ``pynvml`` of the distribution nvidia-ml-py, or what says that another one lies in its place.

Older distributions (pynvml before 12, nvidia-ml-py3) install a module of the same name, which lacks what is read here.
Commands that ask no GPU run beside them; those that do say which distribution is in the way, and what helps.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from server.process.installed import installed_version
from starwatt_errors import MeterError

_WANTED = "nvidia-ml-py"
_RIVALS = ("pynvml", "nvidia-ml-py3", "nvidia-ml-py2")
_NEEDED = (
    "NVMLError", "NVML_CLOCK_MEM", "NVML_CLOCK_SM", "NVML_FI_DEV_POWER_AVERAGE", "NVML_FI_DEV_POWER_INSTANT",
    "NVML_TEMPERATURE_GPU", "nvmlDeviceGetClockInfo", "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetCount",
    "nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetEccMode",
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetFieldValues", "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMigMode",
    "nvmlDeviceGetName", "nvmlDeviceGetPersistenceMode", "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetPowerUsage", "nvmlDeviceGetTemperature", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetUUID",
    "nvmlDeviceGetUtilizationRates", "nvmlInit", "nvmlShutdown", "nvmlSystemGetCudaDriverVersion_v2",
    "nvmlSystemGetDriverVersion",
)  # fmt: skip


class BindingError(MeterError):
    """The module ``pynvml`` is missing, or is not nvidia-ml-py's; ``remedy`` is what mends it."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why, self.remedy = why, remedy
        super().__init__(f"{why}: {remedy}")


class _Unusable:
    """Stands where the module would be: whoever asks it for anything is told why there is none."""

    def __init__(self, why: str, remedy: str) -> None:
        self._why, self._remedy = why, remedy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise BindingError(self._why, self._remedy)


def load() -> Any:
    """Load the module, or its stand-in, any use of which raises BindingError."""
    try:
        module = importlib.import_module("pynvml")
    except ImportError as error:
        return _Unusable(f"NVML: the Python module pynvml cannot be imported ({error})", _remedy([]))
    lacking = [name for name in _NEEDED if not hasattr(module, name)]
    if not lacking:
        return module
    rivals = [f"{name} {version}" for name in _RIVALS if (version := installed_version(name)) is not None]
    whose = " and ".join(rivals) or f"{_WANTED} {installed_version(_WANTED)}"
    return _Unusable(
        f"NVML: the Python module pynvml that is found here is of {whose}, and has no {lacking[0]}",
        _remedy([rival.split()[0] for rival in rivals]),
    )


def _remedy(rivals: list[str]) -> str:
    version = installed_version(_WANTED)
    pinned = _WANTED if version is None else f"{_WANTED}=={version}"
    pip = f"{sys.executable} -m pip"
    steps = [f"{pip} uninstall {' '.join(rivals)}"] if rivals else []
    return " && ".join([*steps, f"{pip} install --force-reinstall --no-deps {pinned}"])


pynvml: Any = load()
