"""What many tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
