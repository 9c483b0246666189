"""What many tests share."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app

ROOT = Path(__file__).parent.parent
SMALL_VARIANTS = """\
variants:
  one: {model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32}}
  two: {model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32, boundary_attention: false}}
  both: {ensemble: {members: [one, two], weighting: equal}}
dataset: {name: synthetic, images: 40, size: 64}
encoder_weights: none
"""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, or the test is skipped."""
    named = os.environ.get("MEDBENCH_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "isic2018").is_dir():
        pytest.skip("no real images: set MEDBENCH_DATA")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor leave anything in the user's cache, store or data."""
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("MEDBENCH_STORE", raising=False)
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two small variants and their ensemble, trained for an epoch on synthetic images; only to be read."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(
        f"""\
question: What does it cost?
baseline: one
{SMALL_VARIANTS}seeds: 1
training: {{epochs: 1, batch_size: 8}}
"""
    )
    words = ["run", folder / "small.yaml", "--store", folder / "runs"]
    done = CliRunner().invoke(app, list(map(str, words)), env={"MEDBENCH_CACHE": str(folder / "cache")})
    assert done.exit_code == 0, done.output
    return folder / "runs"
