"""Every kind of study from the first command to the page in a browser, with a network and images of somebody else's."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.store.records import write_yaml

from ..chromium import CHROMIUM, QUIET
from ..image_files import save

SIDE, SEEDS = 48, 3
QUESTION = "Is more <width> worth it?"
NETWORK = """\
from torch import nn


class Plain(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1)
        )
"""
NARROW, WIDE = ({"model": "foreign_network:Plain", "options": {"width": width}} for width in (4, 6))


@dataclass(frozen=True)
class Walk:
    """What a study says besides what all of them say, and what its page must hold."""

    keys: dict[str, Any]
    n_seeds: int = SEEDS
    n_trials: int = 2 * SEEDS
    claims: bool = True
    """Whether something may be claimed of the variants."""


def _study(**keys: Any) -> dict[str, Any]:
    return {
        "question": QUESTION,
        "baseline": "narrow",
        "variants": {"narrow": NARROW, "wide": WIDE},
        "dataset": {"folder": "mine", "size": 32},
        "encoder_weights": "none",
        "seeds": SEEDS,
        "training": {"epochs": 2, "batch_size": 4},
        **keys,
    }


TWO_SETS = {"narrow": NARROW, "elsewhere": {**NARROW, "dataset": {"folder": "theirs"}}}
WALKS = {
    "folder": Walk({}),
    "named": Walk({"dataset": {"name": "ph2", "size": 32}, "exclude_copies": True}),
    "synthetic": Walk({"dataset": {"name": "synthetic", "images": 24, "size": 32}}),
    "several sets": Walk(
        {
            "variants": TWO_SETS,
            "evaluate": [
                {"folder": "mine", "part": "test"},
                {"folder": "theirs", "part": "test"},
                {"dataset": "ph2"},
            ],
        }
    ),
    "artifacts": Walk(
        {"evaluate": ["clean", {"artifact": "hair", "severity": [1, 5]}, {"artifact": "jpeg", "severity": 5}]}
    ),
    "folds": Walk({"dataset": {"folder": "mine", "size": 32, "split": "kfold:3"}}, n_trials=6 * SEEDS),
    "ensemble": Walk(
        {
            "variants": {
                "narrow": NARROW,
                "wide": WIDE,
                "both": {"ensemble": {"members": ["narrow", "wide"], "weighting": "validation-dice"}},
            }
        },
        n_trials=3 * SEEDS,
    ),
    "one seed": Walk({"seeds": 1}, n_seeds=1, n_trials=2, claims=False),
    "one image": Walk({"evaluate": [{"folder": "single"}]}, claims=False),
    "one variant": Walk({"variants": {"narrow": NARROW}}, n_trials=SEEDS, claims=False),
    "scored at the input size": Walk({"score_at": "input"}),
}


def medbench(*words: object) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})
    assert done.exit_code == 0, f"{words}: {done.output}"
    return done


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark ellipse on light skin, of a size and place of its own, and where it is."""
    rng = np.random.default_rng(index)
    mask = np.zeros((SIDE, SIDE + 8), np.uint8)
    centre, axes = rng.integers(16, SIDE - 16, 2), rng.integers(6, 14, 2)
    cv2.ellipse(mask, centre.tolist(), axes.tolist(), float(rng.integers(180)), 0, 360, 255, -1)
    skin = np.array([205, 165, 140]) + rng.normal(0, 6, (*mask.shape, 3))
    return np.where(mask[..., None] > 0, skin - 70, skin).clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as somebody may have it: a network, two sets, one with a single image, and PH2 in its own layout."""
    root = tmp_path_factory.mktemp("walks")
    (root / "foreign_network.py").write_text(NETWORK, encoding="utf-8")
    for index in range(24):
        image, mask = picture(index)
        save(root / "mine" / "images" / f"Läsion {index}.jpg", image, quality=92)
        save(root / "mine" / "masks" / f"Läsion {index}_mask.png", mask)
        image, mask = picture(100 + index)
        save(root / "theirs" / "images" / f"{index:03}.png", image)
        save(root / "theirs" / "masks" / f"{index:03}.png", mask // 255)
        image, mask = picture(200 + index)
        case = root / "data" / "ph2" / "PH2Dataset" / f"IMD{index:03}"
        save(case / f"IMD{index:03}_Dermoscopic_Image" / f"IMD{index:03}.bmp", image)
        save(case / f"IMD{index:03}_lesion" / f"IMD{index:03}_lesion.bmp", mask)
    image, mask = picture(300)
    save(root / "single" / "images" / "only.png", image)
    save(root / "single" / "masks" / "only.png", mask)
    return root


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed where the study lies."""
    monkeypatch.chdir(place)


@pytest.fixture(scope="module")
def walked(place: Path) -> Callable[[str], Path]:
    """Goes a way, once: a folder with the store `runs` and the report `out`."""
    done: set[str] = set()

    def walk(name: str) -> Path:
        folder = place / "walks" / name.replace(" ", "-")
        if name not in done:
            done.add(name)
            file = folder / "study.yaml"
            write_yaml(file, _study(**WALKS[name].keys))
            medbench("run", file, "--store", folder / "runs", "--data", place / "data", "--jobs", 1)
            medbench("report", folder / "runs", "-o", folder / "out")
        return folder

    return walk


def study_in(folder: Path) -> dict[str, Any]:
    [study] = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))["studies"]
    return study


def scores_in(folder: Path) -> Any:
    """Of the first evaluation."""
    scores = pd.read_parquet(folder / "out" / "tables" / "study-per-image.parquet")
    return scores[scores["evaluation"] == study_in(folder)["evaluations"][0]]


@pytest.mark.parametrize("name", WALKS)
def test_a_store_is_whole_and_says_so(walked: Callable[[str], Path], name: str) -> None:
    store = walked(name) / "runs"

    [status] = json.loads(medbench("status", store, "--json").stdout)
    assert len(status["done"]) == WALKS[name].n_trials
    assert [status["running"], status["failed"], status["left"]] == [{}, {}, []]
    assert "0 damaged" in medbench("verify", store).stdout


@pytest.mark.parametrize("name", WALKS)
def test_the_page_has_the_numbers_of_the_store(walked: Callable[[str], Path], name: str) -> None:
    folder = walked(name)

    study = study_in(folder)
    wanted = scores_in(folder).groupby(["variant", "seed", "image"])["dice"].mean().groupby("variant").mean()
    rows = [row for row in study["variants"] if row["evaluation"] == study["evaluations"][0]]
    assert {row["variant"]: row["dice_mean"] for row in rows} == pytest.approx(wanted.to_dict())
    assert {row["n_seeds"] for row in rows} == {WALKS[name].n_seeds}
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert "Is more &lt;width&gt; worth it?" in page
    assert ("asked of synthetic images" in page) == (name == "synthetic")


@pytest.mark.parametrize("name", [name for name in WALKS if name != "one variant"])
def test_a_table_of_its_scores_is_compared_as_in_the_page(
    walked: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    folder = walked(name)
    scores_in(folder).to_csv(tmp_path / "scores.csv", index=False)

    words = ("compare", tmp_path / "scores.csv", "--baseline", "narrow", "--metric", "dice", "--margin", 0.01, "--json")
    compared = json.loads(medbench(*words).stdout)["comparisons"]

    keys = ("difference", "ci_low", "ci_high", "p_adjusted")
    study = study_in(folder)
    shown = [row for row in study["comparisons"] if row["evaluation"] == study["evaluations"][0]]
    of_page = {row["variant"]: row for row in shown if row["metric"] == "dice"}
    for row in compared:
        assert {key: row[key] for key in keys} == pytest.approx({key: of_page[row["variant"]][key] for key in keys})
        assert row["claim"] == of_page[row["variant"]]["claim"]
        assert (row["ci_low"] is not None) <= WALKS[name].claims


@pytest.mark.parametrize("name", ["folder", "named", "folds", "ensemble"])
def test_its_models_segment_images_that_are_then_scored(
    walked: Callable[[str], Path], place: Path, name: str, tmp_path: Path
) -> None:
    store = walked(name) / "runs"
    trial = study_in(walked(name))["trials"][-1]["trial"]

    medbench("predict", trial, place / "theirs" / "images", "-o", tmp_path / "masks", "--store", store)

    words = ("score", "--prediction", tmp_path / "masks", "--reference", place / "theirs" / "masks", "--json")
    assert json.loads(medbench(*words).stdout)["images"] == 24


def test_two_laboratories_make_one_page(place: Path, tmp_path: Path) -> None:
    write_yaml(tmp_path / "shared.yaml", _study())
    for store, seeds in (("here", "[0, 1]"), ("there", "[2, 3]")):
        medbench("run", tmp_path / "shared.yaml", "--store", tmp_path / store, "--jobs", 1, "--set", f"seeds={seeds}")

    medbench("report", tmp_path / "here", tmp_path / "there", "-o", tmp_path / "out")

    study = study_in(tmp_path)
    assert {row["n_seeds"] for row in study["variants"]} == {4}
    assert study["n_trials"] == 8


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Playwright's own event loop
def test_every_page_opens_in_a_browser_without_complaint(walked: Callable[[str], Path]) -> None:
    """Needs Chromium, and is skipped without; see test_browser.py."""
    sync_api: Any = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        for name in WALKS:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.on("console", lambda message, name=name: complaints.append(f"{name}: {message.text}"))
            page.on("pageerror", lambda error, name=name: complaints.append(f"{name}: {error}"))
            page.goto((walked(name) / "out" / "index.html").as_uri())
            assert page.get_by_role("heading", name=QUESTION).is_visible()
            assert page.locator("figure.plot svg").count() >= 2
            assert page.locator("[id$=-explorer] .card").count() >= 1
            page.close()
        browser.close()

    assert complaints == []
