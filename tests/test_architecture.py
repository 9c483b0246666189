"""The folders are the architecture: who may import whom, and that everything is packed into the wheel."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ablations", "bench", "datasets", "models", "reports")
GROUND = {"errors", "registry", "records", "metrics", "calibration", "failures", "stats"}
CLI = {"cli", "completing", "cost_cli", "data_cli", "run_cli", "use_cli", "terminal", "view", "__main__"}
MAY_IMPORT: dict[str, set[str]] = {
    "ground": set(),
    "models": {"ground"},
    "datasets": {"ground"},
    "ablations": {"ground"},
    "reports": {"ground"},
    "bench": {"ground", "models", "datasets", "ablations"},
    "cli": {"ground", "models", "datasets", "ablations", "reports", "bench"},
}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def layer_of(package: str, module: str) -> str:
    if package != "bench":
        return package
    if module in CLI:
        return "cli"
    return "ground" if module in GROUND or module == "__init__" else "bench"


def imported_layers(path: Path) -> set[str]:
    """The layers that a file's relative imports lead to, its own left out."""
    where = path.relative_to(ROOT)
    layers: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        below = [*where.parts[: -node.level], *(node.module.split(".") if node.module else [])]
        targets = [[*below, alias.name] for alias in node.names] if len(below) < 2 else [below]
        layers |= {layer_of(target[0], target[1]) for target in targets}
    return layers - {layer_of(*module_of(path))}


def module_of(path: Path) -> tuple[str, str]:
    """The package of a file, and the module or subpackage in it that the file belongs to."""
    package, module, *_ = path.relative_to(ROOT).with_suffix("").parts
    return package, module


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    assert imported_layers(path) <= MAY_IMPORT[layer_of(*module_of(path))]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_inside_the_package_imports_are_relative(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert "from medbench" not in text
    assert "import medbench" not in text


def test_the_ground_floor_and_reports_know_no_torch() -> None:
    light = [path for path in FILES if layer_of(*module_of(path)) in ("ground", "reports")]

    assert {module_of(path)[1] for path in light} >= GROUND
    assert [name_of(path) for path in light if "import torch" in path.read_text(encoding="utf-8")] == []


def test_every_folder_with_code_is_in_the_wheel() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    with_code = {
        path.parent.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }

    assert with_code == set(config["package-dir"].values())
    assert set(config["packages"]) == set(config["package-dir"])
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_everything_that_is_read_at_run_time_is_in_the_wheel() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packed = config["package-data"]["*"]
    others = [
        path for package in PACKAGES for path in (ROOT / package).iterdir() if path.is_file() and path.suffix != ".py"
    ]

    assert [path.name for path in others if not any(path.match(pattern) for pattern in packed)] == []


def test_files_keep_to_one_subject() -> None:
    too_long = {path.name: n for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400}

    assert too_long == {}
