"""The report in a real browser: what a reader does with it, what an eye, a printer and a screen reader get.

Needs Chromium (Debian's package, `make browser-test` says how); skipped without.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from medbench.bench.store.records import write_yaml
from medbench.reports.every_image import Room
from medbench.reports.page import write_report

from ..chromium import CHROMIUM, PHONE, WIDE
from ..fabricated_store import fabricate, paint, write_deployment
from .test_page import CLAIM

pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own event loop
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = tmp_path_factory.mktemp("store")
    study = fabricate(store, n_images=40)
    write_yaml(store / "studies" / "baa.yaml", study | {"claims": [CLAIM]})
    write_deployment(store, study)
    paint(store, fabricate(store, "another", n_images=40))
    return write_report([store], store / "out").as_uri()


def column(table: Any, number: int) -> list[str]:
    return [text.split("\n")[0].strip() for text in table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()]


def test_a_heading_sorts_turns_round_and_restores(page: Any) -> None:
    table = page.locator("#baa table.sortable").first
    heading = table.locator("thead th", has_text="Dice").first
    before = column(table, 1)

    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(table, 1) == ["no_baa", "medlitenet", "ensemble"]
    heading.get_by_role("button").press("Enter")
    assert column(table, 1) == ["ensemble", "medlitenet", "no_baa"]
    heading.get_by_role("button").click()
    assert column(table, 1) == before


def test_rows_are_filtered(page: Any) -> None:
    trials = page.locator("#baa").get_by_role("region", name="Trials")
    controls = trials.locator("xpath=preceding-sibling::div[1]")

    controls.get_by_role("searchbox").fill("ensemble of")

    assert trials.locator("tbody tr:visible").count() == 3
    assert controls.get_by_role("status").inner_text() == "3 of 9 rows"


def test_the_gallery_is_searched_and_sorted(page: Any) -> None:
    gallery = page.locator("#baa-explorer")
    assert gallery.locator(".card").count() == 24
    gallery.get_by_role("button", name="Show more").click()
    assert gallery.locator(".card").count() == 40

    gallery.get_by_label("Sort by").select_option(label="HD95 (px)")
    scores = [
        float(text) for text in re.findall(r"HD95 (\d+\.\d+)", "".join(gallery.locator(".card").all_inner_texts()))
    ]
    assert scores == sorted(scores, reverse=True)
    gallery.get_by_label("Order").select_option("best")
    assert "hardest: 1 of" not in gallery.locator(".card").first.inner_text()

    gallery.get_by_label("Image id").fill("0000007")
    assert gallery.locator(".card").count() == 1
    assert "ISIC_0000007" in gallery.locator(".card").inner_text()
    gallery.get_by_label("Image id").fill("no such image")
    assert gallery.get_by_role("status").inner_text().startswith("0 of 40 images;")


def test_only_what_an_evaluation_has_numbers_of_is_offered(page: Any) -> None:
    gallery = page.locator("#another-explorer")
    offered = gallery.get_by_label("Sort by")
    assert "Artifact FPR" not in offered.locator("option").all_inner_texts()

    gallery.get_by_label("Images of").select_option(label="ph2")
    offered.select_option(label="Artifact FPR")
    assert "mean Artifact FPR 0.250" in gallery.locator(".card").first.inner_text()
    n_cards = gallery.locator(".card").count()
    status = gallery.get_by_role("status").inner_text()
    assert status.startswith(f"{n_cards} of {n_cards} images;")
    assert status.endswith(f"pictures are kept of what went worst: of {n_cards} of 40 images.")
    gallery.get_by_label("Images of").select_option(label="clean")
    assert offered.evaluate("each => each.selectedOptions[0].text") == "Dice"
    assert gallery.get_by_role("status").inner_text().startswith("40 of 40 images;")


def test_where_two_variants_disagree_comes_first(page: Any) -> None:
    gallery = page.locator("#baa-explorer")

    gallery.get_by_label("of", exact=True).select_option("-no_baa")

    texts = "".join(gallery.locator(".card").all_inner_texts())
    apart = [abs(float(text.replace("−", "-"))) for text in re.findall(r"Dice (−?\d\.\d+)", texts)]
    assert apart == sorted(apart, reverse=True)


def test_images_beside_the_page_are_shown(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room.__init__, "__defaults__", (3000, None))
    fabricate(tmp_path / "store", n_images=40)
    written = write_report([tmp_path / "store"], tmp_path / "out", all_images=True)
    page = browser.new_page(viewport=WIDE)
    complaints: list[str] = []
    loaded: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("requestfinished", lambda request: loaded.append(request.url))
    page.goto(written.as_uri())
    page.locator("#baa-explorer .card").nth(23).scroll_into_view_if_needed()
    page.wait_for_timeout(500)

    assert complaints == []
    assert len(list((tmp_path / "out" / "pictures").rglob("*.webp"))) > 20
    assert len([url for url in loaded if url.endswith(".webp")]) > 10
    page.close()


def test_contours_are_switched_off_and_on(page: Any) -> None:
    gallery = page.locator("#baa-explorer")
    paths = gallery.locator(".card").first.locator("path")
    n = paths.count()

    gallery.get_by_role("checkbox", name="no_baa").uncheck()

    assert paths.count() == n - 2  # a contour and its halo


def test_the_slider_divides_two_masks_and_the_keyboard_moves_it(page: Any) -> None:
    gallery = page.locator("#baa-explorer")
    gallery.locator(".card").first.click()
    dialog = page.get_by_role("dialog")
    left = dialog.locator("clipPath rect").first
    assert float(left.get_attribute("width")) == 32

    box = dialog.locator(".stage svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert abs(float(dialog.get_by_label("Dividing line").input_value()) - 75) <= 1
    dialog.get_by_label("Dividing line").fill("25")
    assert float(left.get_attribute("width")) == 16
    dialog.get_by_label("Dividing line").press("ArrowRight")
    assert float(left.get_attribute("width")) == pytest.approx(16.64)
    first = dialog.get_by_role("heading").inner_text()
    dialog.get_by_role("button", name="Next").click()
    assert dialog.get_by_role("heading").inner_text() != first
    assert dialog.get_by_role("rowheader", name="HD95 (px)").count() == 1
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_contents_lead_where_they_say(page: Any) -> None:
    page.locator("nav").get_by_role("link", name="Reproducibility").last.click()

    page.locator("nav a[href='#baa-reproducibility'][aria-current]").wait_for()  # it scrolls past the other study's
    assert page.locator("nav [aria-current]").count() == 1
    assert page.locator("#baa-reproducibility").evaluate("each => each.getBoundingClientRect().top") < 300


def test_on_a_phone_nothing_overflows_and_the_contents_are_closed(browser: Any, index: str) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(index)

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert not page.locator("nav ul").first.is_visible()
    page.close()


def test_on_a_wide_screen_no_variants_table_is_cut(page: Any) -> None:
    page.locator("details").evaluate_all("all => all.forEach((each) => (each.open = true))")
    for region in page.get_by_role("region", name="Variants on").all():
        assert region.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_it_is_light_and_dark(browser: Any, index: str) -> None:
    seen: list[str] = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(index)
        seen.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()

    assert seen == ["rgb(252, 252, 250)", "rgb(21, 23, 26)"]


def test_without_scripts_text_tables_and_pictures_are_there(browser: Any, index: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(index)

    assert page.locator("#baa .answers li").count() >= 2
    assert page.locator("#baa-variants ~ div table").first.is_visible()
    assert page.locator("#baa-gallery ~ .gallery image").count() == 9
    assert not page.locator("#baa-explorer").is_visible()
    context.close()


def test_it_prints_on_a4_with_the_results_unfolded(page: Any, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    content = page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)

    boxes = {box for box in re.findall(rb"/MediaBox \[([^\]]+)\]", content)}
    assert [[float(x) for x in box.split()] for box in boxes] == [pytest.approx([0, 0, 595.3, 841.9], abs=1)]
    assert not page.locator("nav").is_visible()
    assert not page.locator("#baa-explorer").is_visible()
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 within its margins
    assert page.evaluate("document.documentElement.scrollWidth") == 703
    height = "each => each.getBoundingClientRect().height"
    assert page.locator("#baa details:not(.fine) table").first.evaluate(height) > 50  # nobody opened them
    assert page.locator("#baa details.fine dl.facts").last.evaluate(height) == 0  # every setting is in report.json


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_serious(browser: Any, index: str, scheme: str, viewport: dict[str, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport=viewport, color_scheme=scheme, bypass_csp=True)  # axe is a script of its own
    page.goto(index)
    page.locator("details").evaluate_all("all => all.forEach((each) => (each.open = true))")
    found = axe.run(page).response["violations"]
    page.locator("#baa-explorer .card").first.click()
    found += axe.run(page, context="dialog[open]").response["violations"]
    page.keyboard.press("Escape")
    page.locator("#baa figure.photograph .enlarge").first.click()
    found += axe.run(page, context="dialog[open]").response["violations"]
    page.close()

    serious = [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
