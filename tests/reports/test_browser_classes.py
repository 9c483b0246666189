"""Pictures of several classes in a browser: which classes and whose contours are seen. Needs Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

from medbench.reports.page import write_report

from ..chromium import CHROMIUM, PHONE, opened
from ..fabricated_store import HEART, fabricate

pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own event loop
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = tmp_path_factory.mktemp("store")
    fabricate(store, "heart", n_seeds=1, variants=("medlitenet", "no_baa"), target=HEART)
    return write_report([store], store / "out").as_uri()


@pytest.fixture
def phone(browser: Any, index: str) -> Iterator[Any]:
    with opened(browser, index, viewport=PHONE) as page:
        yield page


def colours_of(lines: Any) -> set[str]:
    return set(lines.evaluate_all("each => each.map((path) => path.style.getPropertyValue('--colour').trim())"))


def controls_of(page: Any, heading: str) -> Any:
    """Beside the legend of the pictures below this heading."""
    return page.locator(heading).locator(
        "xpath=following::div[contains(@class, 'legend')][1]/following-sibling::div[1]"
    )


def test_each_class_has_a_colour_and_goes_at_a_click(page: Any) -> None:
    figure = page.locator("#heart-gallery ~ .gallery figure", has_text="ISIC_0000001")
    lines = figure.locator("path[data-class]:visible:not(.halo)")
    assert colours_of(lines) == {"var(--c0)", "var(--c1)", "var(--c2)"}
    assert lines.count() == 6  # of the reference, dashed, and of the baseline

    controls = controls_of(page, "#heart-gallery")
    controls.get_by_label("myocardium").uncheck()
    assert colours_of(lines) == {"var(--c0)", "var(--c2)"}
    controls.get_by_label("reference").uncheck()
    assert lines.count() == 2
    assert figure.locator("path.dashed:visible").count() == 0


def test_one_variant_is_seen_at_a_time(page: Any) -> None:
    figure = page.locator("#heart-gallery ~ .gallery figure", has_text="ISIC_0000001")
    seen = figure.locator("path[data-variant]:visible")
    of = "each => [...new Set(each.map((path) => path.dataset.variant))]"
    assert seen.evaluate_all(of) == ["medlitenet"]

    controls_of(page, "#heart-gallery").get_by_label("Contours of").select_option("no_baa")

    assert seen.evaluate_all(of) == ["no_baa"]
    apart = page.locator("#heart-spread ~ .gallery figure").first  # has a choice of its own
    assert apart.locator("path[data-variant]:visible").evaluate_all(of) == ["no_baa"]


def test_every_image_shows_the_classes_and_the_variant_that_are_chosen(page: Any) -> None:
    gallery = page.locator("#heart-explorer")
    card = gallery.locator(".card", has_text="ISIC_0000001")
    assert card.locator("path:not(.halo)").count() == 6
    before = card.locator("path:not(.halo, .dashed)").first.get_attribute("d")

    gallery.get_by_label("Contours of").select_option("no_baa")
    assert card.locator("path:not(.halo, .dashed)").first.get_attribute("d") != before
    for name in ("right ventricle", "left ventricle"):
        gallery.get_by_label(name).uncheck()
    assert colours_of(card.locator("path:not(.halo)")) == {"var(--c1)"}

    card.click()
    stage = page.get_by_role("dialog").locator(".stage path:not(.halo)")
    assert colours_of(stage) == {"var(--c1)"}


def test_a_picture_that_is_large_keeps_its_legend(page: Any) -> None:
    figure = page.locator("#heart-gallery ~ .gallery figure").first
    figure.locator("svg").first.click()

    assert page.get_by_role("dialog").get_by_text("dashed: reference").is_visible()


def test_nothing_is_wider_than_a_phone(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
