"""The folders are the architecture: who may import whom, and that everything is packed into the wheel."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ablations", "bench", "datasets", "models", "reports")
FLOORS = (  # of rooms; each may import what lies below its floor, and nothing beside it
    ("bench/cli",),  # and `__main__`
    ("bench/study",),
    ("bench/evaluation", "bench/cost"),
    ("bench/training",),
    ("ablations", "datasets", "models", "reports"),
    ("bench/metrics", "bench/stats", "bench/store"),
    ("bench",),  # the ground: errors, quiet and registry
)
ROOMS = {room for floor in FLOORS for room in floor}
WITHOUT_TORCH = ("bench", "bench/metrics", "bench/stats", "bench/store", "ablations", "reports")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def room_of(*parts: str) -> str:
    """The room of a module, told by the parts of its path."""
    if parts[:2] == ("bench", "__main__"):
        return "bench/cli"
    return "/".join(parts[:2]) if parts[0] == "bench" and (ROOT / "bench" / parts[1]).is_dir() else parts[0]


def room_of_file(path: Path) -> str:
    return room_of(*path.relative_to(ROOT).with_suffix("").parts)


def below(room: str) -> set[str]:
    """The rooms on the floors below that of a room."""
    [height] = [height for height, floor in enumerate(FLOORS) if room in floor]
    return {each for floor in FLOORS[height + 1 :] for each in floor}


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file's relative imports lead to, its own left out."""
    where = path.relative_to(ROOT)
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        target = [*where.parts[: -node.level], *(node.module.split(".") if node.module else [])]
        rooms |= {room_of(*target, alias.name) for alias in node.names}
    return rooms - {room_of_file(path)}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_folder_is_on_a_floor() -> None:
    assert {room_of_file(path) for path in FILES} == ROOMS


def test_the_map_shows_the_same_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = [re.findall(r"`([a-z/]+)/`", row) for row in re.findall(r"^\| \d \| (.*) \|$", text, flags=re.MULTILINE)]
    within = {"executors", "ablations/schema"}

    assert [{*floor} - within for floor in drawn[:-1]] == [{*floor} for floor in FLOORS[:-1]]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    assert imported_rooms(path) <= below(room_of_file(path))


def test_only_commands_ask_for_reports() -> None:
    assert {room_of_file(path) for path in FILES if "reports" in imported_rooms(path)} == {"bench/cli"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_inside_the_package_imports_are_relative(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert "from medbench" not in text
    assert "import medbench" not in text


def imports_torch(path: Path) -> bool:
    """Also inside functions, but in the store, where they ask what computed a number."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if room_of_file(path) == "bench/store" else list(ast.walk(tree))
    named = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return any(name.split(".")[0] == "torch" for name in named)


def test_what_reads_and_reckons_knows_no_torch() -> None:
    light = [path for path in FILES if room_of_file(path) in WITHOUT_TORCH]

    assert [name_of(path) for path in light if imports_torch(path)] == []
    assert any(imports_torch(path) for path in FILES)


def test_no_module_repeats_the_name_of_its_folder() -> None:
    assert [name_of(path) for path in FILES if path.parent.name.rstrip("s") in path.stem] == []


def test_every_room_has_its_tests() -> None:
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").glob("*/test_*.py")}

    assert folders == {Path(room).name for room in ROOMS} - {"bench"}


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
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "published" not in path.parts
    ]

    assert [path.name for path in others if not any(path.match(pattern) for pattern in packed)] == []


def test_files_keep_to_one_subject() -> None:
    too_long = {path.name: n for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400}

    assert too_long == {}
