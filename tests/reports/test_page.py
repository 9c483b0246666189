"""What the page shows beyond the tables: published numbers, pairs, ranks, sparklines, the gallery's data, prose."""

import base64
import hashlib
import io
import json
import re
import threading
import xml.etree.ElementTree as ElementTree
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medbench.bench.stats import compare, holm, summarize
from medbench.bench.store.records import write_yaml
from medbench.reports import load
from medbench.reports.drawing import PALETTE
from medbench.reports.every_image import Room, every_image
from medbench.reports.load import load_studies
from medbench.reports.page import write_report
from medbench.reports.sections.published import published_rows
from medbench.reports.sections.variants import sparks
from medbench.reports.tables import cells
from medbench.reports.watching import watched

from ..conftest import ROOT
from ..fabricated_store import fabricate, paint, trial_id
from .test_report import OWN_SCRIPT, Links, scripts_in

CLAIM = {
    "metric": "dice",
    "value": 0.9,
    "spread": 0.01,
    "variant": "medlitenet",
    "evaluation": "clean",
    "under": {},
    "source": "somebody",
    "note": "",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    study = fabricate(store)
    write_yaml(store / "studies" / "baa.yaml", study | {"claims": [CLAIM]})
    return store


@pytest.fixture(scope="module")
def out(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([store], tmp_path_factory.mktemp("out")).parent


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text()


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())["studies"][0]


def verdict(store: Path, **changes: Any) -> tuple[str, str]:
    (study,) = load_studies([store])
    study.spec["claims"] = [CLAIM | changes]
    (row,) = published_rows(study, cells(study, study.scores))
    return row["verdict"], row["why"]


def test_a_published_number_is_set_against_our_interval(store: Path) -> None:
    scores = load(store).query("variant == 'medlitenet' and evaluation == 'clean'")
    ours = summarize(scores.pivot(index="seed", columns="image", values="dice"), bounds=(0, 1))
    hd95 = summarize(scores.pivot(index="seed", columns="image", values="hd95"), bounds=(0, inf))
    assert ours.ci_low is not None
    assert ours.ci_high is not None
    assert hd95.ci_low is not None
    wide = (ours.ci_high - ours.ci_low) / 2
    under = {"size": 128}

    def said(value: float, **changes: Any) -> tuple[str, str]:
        return verdict(store, **{"value": value, "under": under, "spread": wide + 0.001} | changes)

    assert said(ours.mean) == ("reached", "it lies within our interval")
    assert said(ours.ci_low - 0.01) == ("reached", "our interval lies above it")
    assert said(ours.ci_high + 0.01) == ("not reached", "our interval lies below it")
    assert said(hd95.ci_low - 0.1, metric="hd95") == ("not reached", "our interval lies above it")
    assert said(ours.mean, under={})[1].endswith("; it does not say under which settings it was measured")
    assert said(ours.mean, spread=None)[0] == ("reached" if wide <= 0.02 else "not comparable")


def test_an_interval_that_any_value_would_lie_in_says_nothing(store: Path) -> None:
    (study,) = load_studies([store])
    study.spec["claims"], study.spec["margin"] = [CLAIM | {"spread": 0.001, "value": 0.85}], 0.0
    known = cells(study, study.scores)
    table = known["clean", "medlitenet"].tables["dice"]
    table.iloc[0] = 0.1

    (row,) = published_rows(study, known)

    assert row["verdict"] == "not comparable"
    assert row["why"].startswith("our interval is too wide to tell: 0.9")
    assert 0 < row["ci_low"] < 0.1
    assert 0.9 < row["ci_high"] < 1


@pytest.mark.parametrize(("metric", "says"), [("dice", "it lies within"), ("hd95", "our interval is too wide to tell")])
def test_the_margin_is_of_the_primary_metric_alone(store: Path, metric: str, says: str) -> None:
    (study,) = load_studies([store])
    known = cells(study, study.scores)
    value = known["clean", "medlitenet"].tables[metric].to_numpy().mean()
    study.spec["claims"] = [CLAIM | {"metric": metric, "value": value, "spread": None, "under": {}}]
    study.spec["margin"] = 5.0

    (row,) = published_rows(study, known)

    assert row["why"].startswith(says)


def test_what_was_measured_otherwise_is_not_comparable(store: Path) -> None:
    apart = {"size": 256, "training.epochs": 12}

    assert verdict(store, value=0.1, under=apart) == ("not comparable", "size 128 here, 256 there")
    assert verdict(store, value=0.1, under={"dataset": "ph2"})[1] == "dataset isic2018 here, ph2 there"
    assert verdict(store, value=0.1, under={"split": "official"})[1] == "split holdout here, official there"
    assert verdict(store, value=0.1, under={"score_at": "input"})[1] == "score_at native here, input there"
    assert verdict(store, evaluation="nowhere") == ("not comparable", "there is no score of ours yet")
    assert (
        verdict(store, value=0.1, variant="ensemble", under={"training.epochs": 300})[1] == "epochs 12 here, 300 there"
    )


def test_with_one_seed_a_published_number_is_not_comparable(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1)

    assert verdict(tmp_path) == ("not comparable", "no interval with 1 seed")


def test_every_pair_is_compared_and_adjusted_over_all_pairs(store: Path, facts: dict[str, Any]) -> None:
    scores = load(store).query("evaluation == 'clean'")
    tables = {v: part.pivot(index="seed", columns="image", values="dice") for v, part in scores.groupby("variant")}

    found = {(row["a"], row["b"]): row for row in facts["pairwise"]}

    assert set(found) == {("medlitenet", "no_baa"), ("medlitenet", "ensemble"), ("no_baa", "ensemble")}
    for (a, b), row in found.items():
        expected = compare(tables[a], tables[b])
        assert (row["difference"], row["p_value"]) == pytest.approx((expected.difference, expected.p_value))
    adjusted = holm([row["p_value"] for row in found.values()])
    assert [row["p_adjusted"] for row in found.values()] == pytest.approx(adjusted)


def test_ranks_are_shares_and_the_best_comes_first(facts: dict[str, Any]) -> None:
    ranks = facts["ranks"]

    assert facts["ranking"] == ["ensemble", "medlitenet", "no_baa"]
    assert np.sum(ranks["share"], axis=1) == pytest.approx([1, 1, 1])
    assert dict(zip(ranks["variants"], ranks["place"], strict=True)) == {"ensemble": 1, "medlitenet": 2, "no_baa": 3}


def test_sparklines_lie_on_one_scale(store: Path) -> None:
    (study,) = load_studies([store])

    found = sparks(cells(study, study.scores), "clean", "dice")

    assert found is not None
    every = [x for row in found["rows"].values() for x in [*row["seeds"], row["low"], row["high"], row["mean"]]]
    assert (min(every), max(every)) == (5, 115)
    for row in found["rows"].values():
        assert row["low"] < row["mean"] < row["high"]
        assert np.mean(row["seeds"]) == pytest.approx(row["mean"], abs=0.1)
        assert row["text"].startswith("mean 0.")
    assert sparks({}, "clean", "dice") is None


# The gallery


def explored(store: Path, n_bytes: int) -> tuple[dict[str, Any], Room]:
    (study,) = load_studies([store])
    room = Room(n_bytes)
    found = every_image(study, study.scores, room)
    assert found is not None
    return found, room


def test_the_gallery_holds_every_image_with_its_scores_and_contours(store: Path) -> None:
    found, room = explored(store, 10**6)
    scores = load(store).query("evaluation == 'clean'")
    means: Any = scores.groupby(["image", "variant"])["dice"].mean()

    clean = found["evaluations"][0]
    dice = [metric["name"] for metric in found["metrics"]].index("dice")

    assert (clean["name"], clean["total"], len(clean["images"])) == ("clean", 12, 12)
    for image in clean["images"]:
        for variant in found["variants"]:
            assert image["scores"][variant][dice] == pytest.approx(means[image["id"], variant], abs=1e-4)
            assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+)*Z)+", image["paths"][variant])
        head, data = room.thumbnails[image["key"]].split(",")
        assert head == "data:image/webp;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (image["w"], image["h"])
    over_variants = means.groupby("image").mean()
    assert [image["id"] for image in clean["images"]] == list(over_variants.sort_values(kind="stable").index)


def test_painted_images_are_shown_with_what_they_alone_have_scores_of(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=2, n_images=8, variants=("medlitenet", "no_baa"))
    paint(tmp_path, study)

    found, room = explored(tmp_path, 10**6)

    names = [metric["name"] for metric in found["metrics"]]
    clean, hair = found["evaluations"]
    assert [clean["painted"], hair["painted"], hair["total"]] == [False, True, 8]
    assert {names[i] for i in hair["metrics"]} - {names[i] for i in clean["metrics"]} == {"artifact_fpr"}
    assert 3 <= len(hair["images"]) < 8
    for image in hair["images"]:
        assert image["truth"]
        assert any(image["paths"].values())
        assert image["key"] not in {each["key"] for each in clean["images"]}
        assert image["key"] in room.thumbnails


def test_a_full_page_keeps_the_hardest_images(store: Path) -> None:
    whole, _ = explored(store, 10**6)
    part, room = explored(store, 9000)

    kept = [image["id"] for image in part["evaluations"][0]["images"]]
    assert 1 <= len(kept) < 12
    assert kept == [image["id"] for image in whole["evaluations"][0]["images"]][: len(kept)]
    assert part["evaluations"][0]["total"] == 12
    assert sum(map(len, room.thumbnails.values())) <= 9000


def test_a_thumbnail_of_two_studies_is_in_the_page_once(store: Path) -> None:
    (study,) = load_studies([store])
    room = Room()
    first = every_image(study, study.scores, room)
    n = len(room.thumbnails)

    assert every_image(study, study.scores, room) == first
    assert len(room.thumbnails) == n == 12


# Colours

# Machado et al. (2009), "A physiologically-based model for simulation of color vision deficiency", full severity.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colours: list[str]) -> np.ndarray:
    values = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def cielab(values: np.ndarray) -> np.ndarray:
    xyz = values.clip(0, 1) @ TO_XYZ.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_variants_can_be_told_apart_whatever_the_sight(scheme: int) -> None:
    style = (ROOT / "reports" / "page.css").read_text()
    colours = re.findall(r"--c\d: (#[0-9a-f]{6})", style)[8 * scheme : 8 * scheme + 8]
    paper = re.findall(r"--paper: (#[0-9a-f]+)", style)[scheme]

    for matrix in SIGHTS.values():
        seen = cielab(linear(colours) @ matrix.T)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        for n, least in ((3, 25), (4, 20), (8, 11)):
            assert apart[:n, :n][np.triu_indices(n, 1)].min() > least
    light = linear([*colours, paper]) @ TO_XYZ[1]
    contrast = (np.maximum(light[:-1], light[-1]) + 0.05) / (np.minimum(light[:-1], light[-1]) + 0.05)
    assert contrast.min() > 3  # what WCAG asks of graphics
    assert scheme or tuple(colours) == PALETTE


# The page around it


def test_only_the_pages_own_script_may_run(page: str) -> None:
    *data, script = scripts_in(page)
    digest = base64.b64encode(hashlib.sha256(OWN_SCRIPT.encode()).digest()).decode()

    assert script == OWN_SCRIPT
    assert all(json.loads(each) for each in data)
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert not re.search(r"\son[a-z]+=\"", page)


def test_the_contents_lead_to_every_section(page: str) -> None:
    menu = page[page.index("<nav") : page.index("</nav>")]
    targets = Links(menu).targets

    assert {
        "#baa",
        "#baa-published",
        "#baa-variants",
        "#baa-comparisons",
        "#baa-gallery",
        "#baa-reproducibility",
    } <= set(targets)
    assert {target[1:] for target in targets} <= set(Links(page).ids)


def test_the_digest_of_the_numbers_is_in_the_page(out: Path, page: str) -> None:
    assert hashlib.sha256((out / "report.json").read_bytes()).hexdigest() in page


def test_figures_are_files_that_need_no_page(out: Path) -> None:
    files = sorted((out / "figures").glob("*.svg"))

    assert [path.stem for path in files] == [
        f"baa-{name}" for name in ("cost", "curves", "distribution", "forest", "ranks")
    ]
    for path in files:
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in path.read_text()


def test_the_abstract_says_what_the_tables_say(page: str, facts: dict[str, Any]) -> None:
    row = next(
        row
        for row in facts["comparisons"]
        if (row["variant"], row["evaluation"], row["metric"]) == ("no_baa", "clean", "dice")
    )
    text = re.sub(r"<[^>]+>", "", page)

    assert "Over 3 trainings and 12 test images medlitenet reached a mean Dice of" in text
    assert f"no_baa differed by −{abs(row['difference']):.3f} (95 % CI" in text
    assert "@software{medbench," in text
    assert "@article{isic2018," in text
    assert "@inproceedings{ph2," not in text  # this store does not say which set the evaluation ph2 is


def test_a_score_beside_a_contour_is_that_of_the_seed_which_it_names(page: str, facts: dict[str, Any]) -> None:
    captions = re.findall(r"<figcaption>(ISIC.*?)</figcaption>", page)

    assert len(captions) >= 9 + 3
    assert all(". Dice of seed 0: " in caption for caption in captions)
    picture = facts["gallery"][0]
    assert all(f"{contour['score']:.3f}" in captions[-9] for contour in picture["contours"])


def test_where_colours_come_round_again_chips_are_rings_and_contours_dashed(
    store: Path, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench.reports.page.PALETTE", PALETTE[:2])

    again = write_report([store], tmp_path / "out").read_text(encoding="utf-8")

    first, third = (
        '<span class="chip" style="--colour: var(--c0)">',
        '<span class="chip again" style="--colour: var(--c0)">',
    )
    assert first in again
    assert third in again
    assert re.search(r'<path class="again" style="--colour: var\(--c0\)" d="[^"]+"><title>ensemble<', again)
    assert not re.search(r'<path class="again"[^>]*><title>(medlitenet|no_baa)<', again)
    assert '"chip again"' not in page


def test_refreshing_is_asked_for_only_when_told(store: Path, page: str, tmp_path: Path) -> None:
    watched = write_report([store], tmp_path, refresh=30).read_text()

    assert 'http-equiv="refresh" content="30"' in watched
    assert 'http-equiv="refresh"' not in page


def test_a_watched_report_is_written_anew_when_a_trial_is_finished(tmp_path: Path) -> None:
    fabricate(tmp_path / "store", n_seeds=2, n_images=4)
    trial = tmp_path / "store" / "trials" / trial_id("no_baa", 1)
    trial.rename(tmp_path / "unfinished")
    written = watched([tmp_path / "store"], tmp_path / "out", look_every_s=0.05)

    before = next(written).read_text()
    threading.Timer(0.2, lambda: (tmp_path / "unfinished").rename(trial)).start()
    after = next(written).read_text()

    assert "5 of 6 trials" in before
    assert "6 of 6 trials" in after
