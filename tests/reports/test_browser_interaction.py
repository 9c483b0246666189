"""What a reader does with the page beyond reading: enlarging, stepping, linking to an image, copying, printing.

Needs Chromium, as `test_browser` does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbench.bench.store.records import write_yaml
from medbench.reports.page import write_report

from ..chromium import CHROMIUM, PHONE, WIDE, opened
from ..fabricated_store import fabricate
from .test_page import CLAIM

pytest.importorskip("playwright.sync_api")
ELSEWHERE = "a clinic/100 %"
LINK = "#baa-image/a%20clinic%2F100%20%25/ISIC_0000007"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own event loop
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of two studies; in the first an evaluation has a name that an address cannot hold as it is."""
    store = tmp_path_factory.mktemp("store")
    study = fabricate(store, evaluations=["clean", ELSEWHERE], claims=[CLAIM])
    for variant in study["variants"].values():
        for trial in variant["trials"]:
            trial["evaluations"] = {"clean": trial["evaluations"]["clean"], ELSEWHERE: trial["evaluations"]["ph2"]}
    write_yaml(store / "studies" / "baa.yaml", study)
    fabricate(store, "another")
    return write_report([store], store / "out").as_uri()


@pytest.fixture
def phone(browser: Any, index: str) -> Iterator[Any]:
    with opened(browser, index, viewport=PHONE) as page:
        yield page


def hash_of(page: Any) -> str:
    return page.evaluate("window.location.hash")


def title_of(page: Any) -> str:
    return page.get_by_role("dialog").get_by_role("heading").inner_text()


# Large, and from one to the next


def test_arrow_keys_go_through_the_images_of_the_list(page: Any) -> None:
    gallery = page.locator("#baa-explorer")
    names = [text.split("\n")[0] for text in gallery.locator(".card").all_inner_texts()]
    gallery.locator(".card").first.click()
    told = page.get_by_role("dialog").get_by_role("status")

    page.keyboard.press("ArrowRight")
    assert told.inner_text().split() == [names[1], "2", "of", "12"]
    page.get_by_role("dialog").locator("svg").first.click()  # takes the focus from the buttons
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert told.inner_text().split() == [names[-1], "12", "of", "12"]
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.classList.contains('card')")  # a busy machine takes a moment
    assert gallery.locator(".card").last.evaluate("each => each === document.activeElement")


def test_arrow_keys_of_a_field_are_its_own(page: Any) -> None:
    page.locator("#baa-explorer .card").first.click()
    title = title_of(page)

    page.get_by_role("dialog").get_by_label("Dividing line").press("ArrowRight")

    assert title_of(page) == title


@pytest.mark.parametrize("kind", ["plot", "photograph"])
def test_every_figure_is_seen_large_and_goes_back(page: Any, kind: str) -> None:
    figures = page.locator(f"#baa figure.{kind}")
    n, where = figures.count(), f"figure.{kind}"
    small = figures.nth(1).locator("svg").first.evaluate("each => each.getBoundingClientRect().height")

    figures.nth(1).get_by_role("button", name="Enlarge").press("Enter")
    inside = page.get_by_role("dialog").locator(where)
    assert inside.count() == 1
    has_legend = page.get_by_role("dialog").locator(".legend").is_visible()
    assert has_legend == (kind == "photograph")  # a plot has its own
    assert inside.locator("svg").first.evaluate("e => e.getBoundingClientRect().height") > small
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("dialog").get_by_role("status").inner_text().endswith(f"3 of {n}")
    assert page.get_by_role("dialog").locator(where).count() == 1
    page.keyboard.press("Escape")

    assert figures.count() == n
    assert figures.nth(2).get_by_role("button", name="Enlarge").evaluate("each => each === document.activeElement")
    figures.nth(0).locator("svg").first.click()
    assert page.get_by_role("dialog").locator(where).is_visible()


def test_a_score_in_an_enlarged_photograph_leads_to_its_trial(page: Any) -> None:
    page.locator("#baa figure.photograph svg").first.click()

    page.get_by_role("dialog").locator(".scores a").first.click()
    page.wait_for_timeout(1000)  # the page scrolls smoothly

    row = page.locator("tr:target")
    assert not page.get_by_role("dialog").is_visible()
    assert 0 < row.evaluate("each => each.getBoundingClientRect().top") < WIDE["height"]
    ground = "each => getComputedStyle(each).backgroundColor"
    other = page.locator("#baa tr[id]:not(:target)").first
    for cell in ("th", "td"):
        assert row.locator(cell).first.evaluate(ground) != other.locator(cell).first.evaluate(ground)


def test_a_link_finds_a_row_that_a_filter_left_out(page: Any) -> None:
    trials = page.locator("#baa").get_by_role("region", name="Trials")
    trials.locator("xpath=preceding-sibling::div[1]").get_by_role("searchbox").fill("ensemble of")
    assert trials.locator("tbody tr:visible").count() == 3

    page.locator("#baa .scores a[title^='medlitenet, seed 0']").first.click()

    assert page.locator("tr:target").is_visible()


# One trial among its like


def chosen(page: Any) -> tuple[str, set[str]]:
    """What the list of trials says, and whose lines are thicker than the others."""
    figure = page.locator("#baa figure.plot:has(g[id*='-of-'])")
    widths = figure.locator("g[id*='-of-']").evaluate_all(
        "all => all.map(g => [g.id, getComputedStyle(g.querySelector('path')).strokeWidth])"
    )
    thick = max(float(width.removesuffix("px")) for _, width in widths)
    label = figure.get_by_label("Curve of").evaluate("each => each.selectedOptions[0].text")
    return label, {id.removeprefix("baa-curves-") for id, width in widths if float(width.removesuffix("px")) == thick}


def test_the_curve_of_a_trial_is_found_from_its_row_in_a_list_and_by_its_line(page: Any) -> None:
    row = page.locator("#baa tr[id*='-trial-']", has_text="no_baa").nth(1)
    trial = row.locator(".id").first.inner_text()
    lines = {f"train_loss-of-{trial}", f"validation_dice-of-{trial}"}
    figure = page.locator("#baa figure.plot:has(g[id*='-of-'])")
    assert len(chosen(page)[1]) == 12  # of two variants of three seeds each, in two panels, all alike

    row.get_by_role("button", name="Curve of no_baa, seed 1").click()
    page.wait_for_timeout(1000)  # the page scrolls smoothly
    assert chosen(page) == ("no_baa, seed 1", lines)
    assert 0 < figure.evaluate("each => each.getBoundingClientRect().top") < WIDE["height"]

    figure.get_by_label("Curve of").select_option(label="all trials")
    line = figure.locator(f"#baa-curves-validation_dice-of-{trial}")
    line.dispatch_event("mousemove")
    assert chosen(page) == ("all trials", lines)
    line.dispatch_event("mouseleave")
    assert len(chosen(page)[1]) == 12
    line.dispatch_event("click")
    assert chosen(page) == ("no_baa, seed 1", lines)
    assert not page.get_by_role("dialog").is_visible()
    figure.get_by_role("button", name="Enlarge").click()
    page.get_by_role("dialog").get_by_label("Curve of").select_option(label="medlitenet, seed 2")
    page.keyboard.press("Escape")
    figure.locator("g[id*='-of-']").first.wait_for(state="attached")
    assert chosen(page)[0] == "medlitenet, seed 2"


# An image has an address


def test_an_open_image_has_an_address_that_opens_it_again(browser: Any, index: str, page: Any) -> None:
    gallery = page.locator("#baa-explorer")
    gallery.get_by_label("Images of").select_option(label=ELSEWHERE)
    gallery.get_by_label("Image id").fill("0000007")
    gallery.locator(".card").click()
    assert hash_of(page) == LINK
    page.keyboard.press("Escape")
    page.wait_for_function("window.location.hash === ''")

    with opened(browser, index + LINK, viewport=WIDE) as linked:
        assert title_of(linked) == "ISIC_0000007, a clinic/100 %"
        assert linked.locator("#baa-explorer").get_by_label("Images of").evaluate("each => each.selectedIndex") == 1
        linked.keyboard.press("ArrowRight")
        assert hash_of(linked) != LINK
        linked.keyboard.press("Escape")
        linked.wait_for_function("window.location.hash === ''")


def test_an_address_of_an_image_is_followed_in_an_open_page(page: Any) -> None:
    page.locator("#baa-explorer").get_by_label("Image id").fill("no such image")

    page.evaluate(f"window.location.hash = '{LINK}'")

    assert title_of(page) == "ISIC_0000007, a clinic/100 %"


def test_a_photograph_has_the_address_of_its_image(page: Any) -> None:
    figure = page.locator("#another figure.photograph").first
    figure.locator("svg").first.click()

    assert hash_of(page) == f"#another-image/clean/{title_of(page)}"


def test_an_address_of_no_image_opens_nothing(browser: Any, index: str) -> None:
    for wrong in ("#baa-image/clean/no%20such", "#baa-image/%zz", "#nowhere"):
        with opened(browser, index + wrong) as page:
            assert not page.get_by_role("dialog").is_visible()


# Contours


def luminance(colour: str) -> float:
    values = np.array([float(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["#baa figure.photograph", "#baa-explorer .card", "dialog[open]"])
def test_every_contour_stands_out_from_its_halo(browser: Any, index: str, scheme: str, where: str) -> None:
    """Whatever the skin, one of two colours so far apart is seen: WCAG asks 3 of graphics."""
    with opened(browser, index, color_scheme=scheme, viewport=WIDE) as page:
        if where.startswith("dialog"):
            page.locator("#baa-explorer .card").first.click()
        picture = page.locator(where).first.locator("svg:has(image)")
        drawn = picture.locator("path").evaluate_all(
            "all => all.map(p => [p.getAttribute('d'), p.classList.contains('halo'), getComputedStyle(p).stroke,"
            " parseFloat(getComputedStyle(p).strokeWidth)])"
        )

    halos = {path: (colour, width) for path, is_halo, colour, width in drawn if is_halo}
    lines = [(path, colour, width) for path, is_halo, colour, width in drawn if not is_halo]
    assert len(lines) == (2 if where.startswith("dialog") else 4)
    for path, colour, width in lines:
        dark, light = sorted([luminance(colour), luminance(halos[path][0])])
        assert (light + 0.05) / (dark + 0.05) > 3
        assert halos[path][1] > 1.5 * width
    assert where.startswith("dialog") or [each[1] for each in drawn] == [True] * 4 + [False] * 4  # none hides a line


# On a phone


def test_what_scrolls_shows_at_its_edge_that_there_is_more(phone: Any) -> None:
    for region in (phone.get_by_role("region", name="Variants on clean").first, phone.locator(".plot .wide").first):
        mask = "each => getComputedStyle(each).maskImage"
        region.scroll_into_view_if_needed()
        assert "more-right" in region.get_attribute("class")
        assert region.evaluate(mask) != "none"
        region.evaluate("each => (each.scrollLeft = each.scrollWidth)")
        phone.wait_for_function("each => !each.classList.contains('more-right')", arg=region.element_handle())
        assert "more-left" in region.get_attribute("class")


def test_the_name_of_a_row_stays_in_sight(phone: Any) -> None:
    region = phone.get_by_role("region", name="Variants on clean").first
    region.evaluate("each => (each.scrollLeft = each.scrollWidth)")

    edge = region.evaluate("each => each.getBoundingClientRect().left")
    for cell in ("thead th", "tbody th"):
        assert region.locator(cell).first.evaluate("each => each.getBoundingClientRect().left") == pytest.approx(edge)


def test_answers_come_first_and_within_the_screen(phone: Any) -> None:
    row = phone.get_by_role("region", name="All studies").locator("tbody tr").first
    top = "each => each.getBoundingClientRect().top"
    answer = row.locator(".verdicts")

    assert answer.evaluate(top) < row.locator(".question").evaluate(top)
    assert answer.evaluate("each => getComputedStyle(each, '::before').content") == '"Answer"'
    for region in ("All studies", "Published numbers"):
        assert phone.get_by_role("region", name=region).evaluate("each => each.scrollWidth <= each.clientWidth")


# Copying, printing, moving


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_a_text_is_copied(browser: Any, index: str, tmp_path: Path, has_clipboard: bool) -> None:
    with opened(browser, index, viewport=WIDE) as page:
        if not has_clipboard:
            page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        block = page.locator("#baa details.paste", has_text="Abstract")
        block.locator("summary").click()

        block.get_by_role("button", name="Copy").click()
        page.wait_for_function("e => e.textContent === 'Copied'", arg=block.get_by_role("status").element_handle())

        field = page.locator("#baa-explorer").get_by_label("Image id")
        field.press("Control+v")
        assert field.input_value() == block.locator("pre").inner_text().replace("\n", "")


def test_nothing_that_is_clicked_is_printed(page: Any) -> None:
    page.locator("#baa figure.photograph svg").first.click()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")

    assert page.locator("button:not(.sort):visible, dialog:visible, input:visible, select:visible").count() == 0
    assert page.locator("#baa figure.photograph").first.is_visible()
    assert page.locator(".wide").first.evaluate("each => getComputedStyle(each).maskImage") == "none"


def test_who_wants_no_motion_gets_none(browser: Any, index: str) -> None:
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    with opened(browser, index, reduced_motion="reduce") as page:
        assert page.evaluate(behaviour) == "auto"
    with opened(browser, index, reduced_motion="no-preference") as page:
        assert page.evaluate(behaviour) == "smooth"
