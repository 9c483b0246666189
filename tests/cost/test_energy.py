"""Energy meters: counters that wrap, several packages, and why there is none."""

from pathlib import Path

import pytest
import torch

from medbench.bench.cost import energy
from medbench.bench.cost.energy import conditions, meter_of

CPU = torch.device("cpu")


def package(folder: Path, number: int, name: str, joules: float) -> Path:
    place = folder / f"intel-rapl:{number}"
    place.mkdir(exist_ok=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text("100000000\n")
    (place / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return place


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


def test_the_packages_are_added_and_their_parts_are_not(powercap: Path) -> None:
    for number, name in enumerate(("package-0", "package-1", "dram")):
        package(powercap, number, name, 10)
    meter = meter_of(CPU)
    assert not isinstance(meter, str)
    before = meter()

    package(powercap, 0, "package-0", 12)
    package(powercap, 1, "package-1", 13)
    package(powercap, 2, "dram", 90)

    assert meter() - before == pytest.approx(5)


def test_a_counter_that_starts_again_goes_on(powercap: Path) -> None:
    package(powercap, 0, "package-0", 99)
    meter = meter_of(CPU)
    assert not isinstance(meter, str)

    package(powercap, 0, "package-0", 1)

    assert meter() == pytest.approx(2)
    package(powercap, 0, "package-0", 4)
    assert meter() == pytest.approx(5)


def test_without_a_counter_the_reason_is_given(powercap: Path) -> None:
    assert meter_of(CPU) == "this processor, or virtual machine, shows no RAPL counter"


def test_a_counter_that_may_not_be_read_is_told(powercap: Path) -> None:
    (package(powercap, 0, "package-0", 1) / "energy_uj").unlink()

    found = meter_of(CPU)

    assert isinstance(found, str)
    assert "may not be read" in found


def test_without_a_gpu_nvml_is_no_failure() -> None:
    assert conditions(CPU) is None
    if not torch.cuda.is_available():
        assert conditions(torch.device("cuda")) is None
        found = meter_of(torch.device("cuda"))
        assert isinstance(found, str)
        assert found.startswith("NVML does not give this GPU's energy")
