"""The wheel holds all that is read at run time: outside the checkout it runs and reports from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT

PACKAGES = ("ablations", "bench", "datasets", "models", "reports")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
RUN = """
import sys
from medbench.bench import __main__
from medbench.reports import page
print(__main__.__file__, page.__file__)
for words in (sys.argv[1:], ["report"], ["schema"]):
    __main__.app(words, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools", minversion="77")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    result = source / "reports" / "published" / "2026-01-31-baa"
    result.mkdir(parents=True, exist_ok=True)
    (result / "study.yaml").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-P", "-c", BUILD, str(built)], cwd=source, check=True, capture_output=True)
    [found] = built.glob("*.whl")
    return found


def test_every_file_of_the_packages_is_in_it_and_no_published_result(wheel: Path) -> None:
    files = {path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}

    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert packed == {"medbench" / path for path in files if not {"__pycache__", "published"} & {*path.parts}}


@pytest.mark.slow
def test_it_runs_and_reports_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "lib")
    (tmp_path / "empty").mkdir()
    settings = ("dataset.images=10", "dataset.size=32", "seeds=1", "training.epochs=1", "evaluate=[clean]")
    words = ["run", "baa", "--profile", "quick", *(word for each in settings for word in ("--set", each))]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "lib"), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=tmp_path / "empty", env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].count(str(tmp_path / "lib")) == 2
    assert "all 2 trials are in runs" in done.stdout
    assert (tmp_path / "empty" / "report" / "index.html").stat().st_size > 100_000
