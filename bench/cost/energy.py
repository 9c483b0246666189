"""Energy meters of the hardware, where it has one that can be read: NVML of NVIDIA's GPUs, RAPL of processors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")
Joules = Callable[[], float]


def meter_of(device: torch.device) -> Joules | str:
    """A function that gives the joules used up to now, or the reason why there is none.

    A GPU's meter counts the board, a processor's the whole package, other programs and idling included.
    """
    return _nvml(device) if device.type == "cuda" else _rapl()


def conditions(device: torch.device) -> dict[str, float] | None:
    """Clocks (MHz), temperature (°C) and power (W) of the GPU now; None on a CPU, or where NVML does not answer."""
    if device.type != "cuda":
        return None
    try:
        nvml, handle = _handle(device)
        return {
            "sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        }
    except Exception:  # NVML's own kind of error, or no NVML at all
        return None


def _handle(device: torch.device) -> tuple[Any, Any]:
    """By its UUID: CUDA counts the GPUs that it may see, NVML all of them."""
    import pynvml

    pynvml.nvmlInit()
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")


def _nvml(device: torch.device) -> Joules | str:
    try:
        nvml, handle = _handle(device)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception as error:
        return f"NVML does not give this GPU's energy ({error})"
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000


def _rapl() -> Joules | str:
    """The sum over processor packages; each counter starts again from 0 at its range's end."""
    packages = [path for path in sorted(POWERCAP.glob("intel-rapl:*")) if _text(path / "name").startswith("package")]
    if not packages:
        return "this processor, or virtual machine, shows no RAPL counter"
    try:
        counters = [_Counter(path) for path in packages]
    except OSError:
        return f"the RAPL counters below {POWERCAP} may not be read: give this user the right to read energy_uj"
    return lambda: sum(each.joules() for each in counters)


class _Counter:
    def __init__(self, package: Path) -> None:
        self.path = package / "energy_uj"
        self.range = int(_text(package / "max_energy_range_uj"))
        self.last = int(self.path.read_text(encoding="ascii"))
        self.total = 0

    def joules(self) -> float:
        now = int(self.path.read_text(encoding="ascii"))
        self.total += (now - self.last) % self.range
        self.last = now
        return self.total / 1e6


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
