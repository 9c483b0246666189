"""What a reader sees on the figures: read from the SVG that is drawn."""

import re
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from medbench.bench.metrics.calibration import N_BINS
from medbench.bench.stats import Ranks
from medbench.reports.sections.comparisons import draw_forest as forest
from medbench.reports.sections.comparisons import draw_ranks as rank_stability
from medbench.reports.sections.cost import draw as cost
from medbench.reports.sections.curves import draw as training_curves
from medbench.reports.sections.deployed import draw as latencies
from medbench.reports.sections.probabilities import draw as reliability
from medbench.reports.sections.robustness import draw as severity
from medbench.reports.sections.spread import draw as distribution

from ..fabricated_store import timing_of

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["medlitenet", "no_baa", "ensemble"]
TWELVE = [f"variant_{i:02d}" for i in range(12)]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in the drawing's units


class Panel:
    """One axes of a figure."""

    def __init__(self, group: ElementTree.Element, name: str) -> None:
        axis, other = (each for each in group if each.get("id", "").startswith(f"{name}-matplotlib.axis_"))
        self.x_ticks, self.y_ticks = ticks_of(axis), ticks_of(other)
        self.texts = [text for text in (each.text or "" for each in group.iter(f"{SVG}text")) if text]
        self.notes = [
            each for child in group if "text_" in child.get("id", "") for each in child.iter(f"{SVG}text")
        ]  # written into the axes
        path = next(each for each in group if "patch_" in each.get("id", "")).find(f"{SVG}path")
        assert path is not None
        corners = np.array(re.findall(r"[\d.]+", path.get("d", "")), dtype=float).reshape(-1, 2)
        self.box: Box = (*corners.min(axis=0), *corners.max(axis=0))


class Drawn:
    """A figure as it is read back."""

    def __init__(self, svg: str | None) -> None:
        assert svg is not None
        self.svg = svg
        root = ElementTree.fromstring(svg)
        groups = [each for each in root.iter(f"{SVG}g") if re.search(r"axes_\d+$", each.get("id", ""))]
        self.panels = [Panel(each, each.get("id", "").rsplit("-", 1)[0]) for each in groups]
        self.texts = [each.text or "" for each in root.iter(f"{SVG}text")]
        legends = [each for each in root.iter(f"{SVG}g") if re.search(r"legend_\d+$", each.get("id", ""))]
        self.legend = [each.text for legend in legends for each in legend.iter(f"{SVG}text")]


def ticks_of(axis: ElementTree.Element) -> list[str]:
    ticks = [each for each in axis if "tick_" in each.get("id", "")]
    return [text.text or "" for tick in ticks for text in tick.iter(f"{SVG}text")]


def box_of(text: ElementTree.Element) -> Box:
    """Where a text that starts at x and stands on y is, measured by its outlines."""
    size = re.search(r"font-size: ([\d.]+)px", text.get("style", ""))
    assert size is not None
    assert "text-anchor" not in text.get("style", "") or "text-anchor: start" in text.get("style", "")
    x, y = float(text.get("x", "")), float(text.get("y", ""))
    extent = TextPath((0, 0), text.text or "", prop=FontProperties(size=float(size[1]))).get_extents()
    return x + extent.x0, y - extent.y1, x + extent.x1, y - extent.y0


def is_apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def histories(*epochs: int, variants: list[str] = NAMES) -> pd.DataFrame:
    rows = [
        {
            "variant": name,
            "trial": f"{name}{trial}",
            "epoch": e,
            "train_loss": 1 / e + trial / 8,
            "validation_dice": 0.5,
        }
        for name, trial, e in product(variants, (0, 1), epochs)
    ]
    return pd.DataFrame(rows)


def costs(names: list[str], parameters: list[float], **columns: object) -> pd.DataFrame:
    means = 0.85 + 0.003 * np.sin(np.arange(len(names)))
    rows = pd.DataFrame({"variant": names, "parameters": parameters, "dice_mean": means})
    return rows.assign(dice_ci_low=means - 0.01, dice_ci_high=means + 0.01, **columns)


def differences(*values: float, half: float = 0.001) -> pd.DataFrame:
    rows = pd.DataFrame({"evaluation": "clean", "variant": NAMES[1 : 1 + len(values)], "difference": values})
    return rows.assign(ci_low=rows["difference"] - half, ci_high=rows["difference"] + half)


def losses(of: dict[str, list[int]], variants: list[str] = NAMES, drop: float = 0.04) -> pd.DataFrame:
    rows = [
        {"artifact": kind, "severity": each, "variant": name, "drop": drop * each}
        for kind, severities in of.items()
        for each, name in product(severities, variants)
    ]
    return pd.DataFrame(rows).assign(drop_ci_low=lambda t: t["drop"] - 0.01, drop_ci_high=lambda t: t["drop"] + 0.01)


def ranks(names: list[str]) -> Ranks:
    share = np.full((len(names), len(names)), 1 / len(names))
    return Ranks(names=tuple(names), place=np.arange(1, len(names) + 1), share=share)


def sums(*evaluations: str, variants: list[str] = NAMES[:2]) -> dict[tuple[str, str], dict[int, np.ndarray]]:
    probability = (np.arange(N_BINS) + 0.5) / N_BINS
    table = np.stack([np.full(N_BINS, 100.0), 100 * probability, 100 * probability**2], axis=1)
    return {(each, name): {0: table} for each, name in product(evaluations, variants)}


def timings() -> list[dict[str, object]]:
    return [timing_of(name, "OpenVINO", dtype, 3.0, 0, True) for name, dtype in product(NAMES, ("fp32", "int8"))]


def draw_every_figure() -> list[str]:
    images = pd.DataFrame([{"variant": v, "image": i, "dice": 0.8 + i / 100} for v in NAMES for i in range(12)])
    times = {"latency_ms": [20.0, 21.0, 60.0], "latency_ratio": [1.0, 1.05, 3.0]}
    times |= {"latency_low": [None, 1.0, 2.9], "latency_high": [None, 1.1, 3.1]}
    priced = cost(costs(NAMES, [4100, 2e6, 3.1e7], **times), NAMES, "dice", {}, "a")
    assert priced is not None
    return [
        training_curves(histories(*range(1, 13)), NAMES, "b"),
        training_curves(histories(1), NAMES, "c"),
        distribution(images, NAMES, "dice", "d"),
        priced,
        rank_stability(ranks(NAMES), NAMES, "e"),
        forest(differences(-0.4, 0.02), NAMES, "dice", 0.01, "f"),
        latencies(timings(), NAMES, "g"),
        severity(losses({"hair": [1, 3, 5]}, drop=-0.04), NAMES, "dice", "h"),
        severity(losses({"hair": [5]}, drop=-0.04), NAMES, "dice", "i"),
        reliability(sums("clean", "ph2"), NAMES, "j"),
    ]


@pytest.fixture(scope="module")
def every_figure() -> list[str]:
    return draw_every_figure()


# Epochs


@pytest.mark.parametrize("n", [2, 3, 8])
def test_few_epochs_are_the_ticks(n: int) -> None:
    drawn = Drawn(training_curves(histories(*range(1, n + 1)), NAMES, "curves"))

    assert [panel.x_ticks for panel in drawn.panels] == 2 * [[str(epoch) for epoch in range(1, n + 1)]]


def test_many_epochs_have_round_whole_ticks() -> None:
    drawn = Drawn(training_curves(histories(*range(1, 301)), NAMES, "curves"))

    assert drawn.panels[0].x_ticks == ["50", "100", "150", "200", "250", "300"]  # and there is no epoch 0


def test_a_training_that_variants_share_is_one_line() -> None:
    own = histories(1, 2, 3)
    shared = own.assign(trial=own["trial"].str[-1])

    paths = re.findall(
        r'id="curves-(?:train_loss|validation_dice)-of-(\d)">\s*<path d="([^"]*)"',
        training_curves(shared, NAMES, "curves"),
    )

    assert [trial for trial, _ in paths] == ["0", "1", "0", "1"]
    assert [len(re.findall("[ML]", path)) for _, path in paths] == 4 * [3]


def test_one_epoch_alone_is_its_values_by_variant() -> None:
    drawn = Drawn(training_curves(histories(1), NAMES, "curves"))

    assert "epoch" not in drawn.texts
    assert [panel.y_ticks for panel in drawn.panels] == [NAMES, []]
    assert "Training loss after epoch 1" in drawn.texts
    assert drawn.texts.count("1.062") == 3  # the mean of two trials
    assert drawn.legend == []


def test_a_variant_of_one_epoch_beside_longer_ones_is_a_point() -> None:
    both = pd.concat([histories(1, variants=["no_baa"]), histories(1, 2, 3, variants=["ensemble"])])

    points = set(re.findall(r"<use[^>]*fill: var\(--(c\d)\); stroke: ", training_curves(both, NAMES, "curves")))

    assert points == {"c1"}


def test_what_no_trial_measured_has_no_panel() -> None:
    drawn = Drawn(training_curves(histories(1, 2).assign(validation_dice=np.nan), NAMES, "curves"))

    assert len(drawn.panels) == 1
    assert "Validation Dice" not in drawn.texts


@pytest.mark.parametrize("n", [1, 3])
def test_trainings_that_measured_nothing_are_empty_panels(n: int) -> None:
    nothing = histories(*range(1, n + 1)).assign(train_loss=np.nan, validation_dice=np.nan)

    drawn = Drawn(training_curves(nothing, NAMES, "curves"))

    assert (len(drawn.panels), drawn.legend) == (2, [])


# Legends


def test_a_legend_names_those_that_are_drawn() -> None:
    two = NAMES[1:]

    assert Drawn(training_curves(histories(1, 2, variants=two), NAMES, "a")).legend == two
    assert Drawn(severity(losses({"hair": [1, 3]}, two), NAMES, "dice", "b")).legend == two
    assert Drawn(reliability(sums("clean"), NAMES, "c")).legend == NAMES[:2]


@pytest.mark.parametrize("evaluations", [["clean"], ["clean", "ph2"], ["clean", "ph2", "ham10000"], [*"abcd"]], ids=len)
def test_below_square_panels_the_label_is_whole(evaluations: list[str]) -> None:
    drawn = reliability(sums(*evaluations, variants=TWELVE), TWELVE, "r")

    root = ElementTree.fromstring(drawn)
    bottom = float(root.get("viewBox", "").split()[3])
    labels = [each for each in root.iter(f"{SVG}text") if each.text == "probability"]
    assert len(labels) == len(evaluations)
    for label in labels:
        assert box_of(label)[3] < bottom
    for panel in Drawn(drawn).panels[: len(evaluations)]:
        left, top, right, low = panel.box
        assert (right - left) / (low - top) == pytest.approx(1, abs=0.05)


def test_beyond_eight_variants_lines_are_dashed() -> None:
    drawn = training_curves(histories(1, 2, variants=TWELVE), TWELVE, "curves")

    solid, dashed = (len(re.findall(rf"stroke-dasharray: {each}", drawn)) for each in ("none", r"\d"))
    assert (solid, dashed) == (0, 4 * 3)  # two panels and the legend


# Cost


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
@pytest.mark.parametrize("spread", [0, 1e-3], ids=["the same cost", "nearly the same cost"])
def test_names_beside_points_cover_nothing_and_stay_inside(n: int, spread: float) -> None:
    names = TWELVE[:n]
    parameters = [3.2e6 * (1 + spread * (i % 3)) for i in range(n)]

    drawn = Drawn(cost(costs(names, parameters), TWELVE, "dice", {}, "cost"))

    (panel,) = drawn.panels
    boxes = {each.text or "": box_of(each) for each in panel.notes}
    assert set(boxes) == set(names)
    for left, top, right, bottom in boxes.values():
        assert panel.box[0] <= left < right <= panel.box[2]
        assert panel.box[1] <= top < bottom <= panel.box[3]
    together = [(a, b) for a, b in product(boxes, boxes) if a < b and not is_apart(boxes[a], boxes[b])]
    assert together == []
    points = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: var\(--(?:c\d|paper)\)', drawn.svg)
    assert len(points) == n
    for x, y in np.array(points, dtype=float):
        assert all(is_apart(box, (x - 3, y - 3, x + 3, y + 3)) for box in boxes.values())


def test_long_names_stay_inside_as_well() -> None:
    names = ["medlitenet_without_boundary_attention_" + letter * 30 for letter in "abc"]

    drawn = Drawn(cost(costs(names, [1e6, 2e6, 3e6], joules=[1.0, 2.0, 3.0]), names, "dice", {}, "cost"))

    assert [len(panel.notes) for panel in drawn.panels] == [3, 3]
    for panel in drawn.panels:
        for left, _, right, _ in map(box_of, panel.notes):
            assert panel.box[0] <= left < right <= panel.box[2]


def test_small_models_are_counted_in_thousands() -> None:
    drawn = Drawn(cost(costs(NAMES[:2], [4100, 4300]), NAMES, "dice", {}, "cost"))

    ticks = drawn.panels[0].x_ticks
    assert len(ticks) >= 2
    assert all(re.fullmatch(r"\d(\.\d+)? k", tick) for tick in ticks)
    assert "1 M" in Drawn(cost(costs(NAMES, [4100, 2e6, 3.1e7]), NAMES, "dice", {}, "cost")).texts


@pytest.mark.parametrize("joules", [None, [0.0, 0.0, 0.0], [1.0, None, None]])
def test_a_cost_that_less_than_two_have_is_not_drawn(joules: list[float | None] | None) -> None:
    drawn = Drawn(cost(costs(NAMES, [1e6, 2e6, 3e6], joules=joules), NAMES, "dice", {}, "cost"))

    assert len(drawn.panels) == 1
    assert not any("energy" in text for text in drawn.texts)


def test_nearly_equal_scores_do_not_span_the_panel() -> None:
    rows = costs(NAMES, [1e6, 2e6, 3e6]).assign(dice_ci_low=np.nan, dice_ci_high=np.nan)

    drawn = Drawn(cost(rows.assign(dice_mean=[0.88, 0.8801, 0.8802]), NAMES, "dice", {}, "cost"))

    low, *_, high = map(float, drawn.panels[0].y_ticks)
    assert high - low > 0.01


# Severity


def test_severities_are_the_ticks_and_the_same_in_every_panel() -> None:
    drawn = Drawn(severity(losses({"hair": [1, 3, 5], "ink": [5]}), NAMES, "dice", "severity"))

    assert [panel.x_ticks for panel in drawn.panels] == [["1", "3", "5"], ["1", "3", "5"]]


def test_one_severity_of_each_artifact_is_a_line_a_variant() -> None:
    drawn = Drawn(severity(losses({"hair": [5], "ink": [3]}), NAMES, "dice", "severity"))

    (panel,) = drawn.panels
    assert panel.y_ticks == [*NAMES, *NAMES]
    assert {"hair, severity 5", "ink, severity 3", "Dice lost (above 0 is worse)"} <= set(panel.texts)


def test_nothing_lost_is_not_enlarged() -> None:
    none = losses({"hair": [1, 3]}, drop=0.0).assign(drop_ci_low=np.nan, drop_ci_high=np.nan)
    tiny = none.assign(drop=1e-7 * np.arange(len(none)))

    ends = [Drawn(severity(rows, NAMES, "dice", "severity")).panels[0].y_ticks for rows in (none, tiny)]

    assert all(float(ticks[-1]) >= 0.002 for ticks in ends)


# Differences


def test_the_margin_is_a_band_between_lines_and_said_in_the_label() -> None:
    drawn = Drawn(forest(differences(-0.03, 0.02), NAMES, "dice", 0.01, "forest"))

    assert len(drawn.panels) == 1
    assert drawn.svg.count("stroke-dasharray") == 2
    assert "between the dashed lines: the margin of ± 0.01, practically nothing" in drawn.texts


def test_a_margin_too_thin_to_see_is_drawn_enlarged_as_well() -> None:
    drawn = Drawn(forest(differences(-0.4, 0.005), NAMES, "dice", 0.01, "forest"))

    assert [panel.x_ticks for panel in drawn.panels][1] == ["−0.02", "0.00", "0.02"]
    assert {"all differences", "the margin enlarged"} <= set(drawn.texts)


def test_without_a_margin_there_is_no_band() -> None:
    drawn = Drawn(forest(differences(-0.4, 0.005), NAMES, "dice", None, "forest"))

    assert len(drawn.panels) == 1
    assert "stroke-dasharray" not in drawn.svg
    assert not any("margin" in text for text in drawn.texts)


# Places


def test_places_are_across_with_their_shares() -> None:
    drawn = Drawn(rank_stability(ranks(NAMES[:2]), NAMES, "ranks"))

    assert (drawn.panels[0].x_ticks, drawn.panels[0].y_ticks) == (["1", "2"], NAMES[:2])
    assert drawn.texts.count("50 %") == 4


# All of them


def test_numbers_are_written_one_way(every_figure: list[str]) -> None:
    texts = [text for svg in every_figure for text in Drawn(svg).texts]

    assert any(text.startswith("−") for text in texts)
    assert [text for text in texts if re.search(r"(^|\s)-\d|\d%|e[-−+]\d", text)] == []


def test_text_is_neither_tiny_on_a_phone_nor_huge_on_a_screen(every_figure: list[str]) -> None:
    for svg in every_figure:
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
        width = float(re.findall(r'viewBox="0 0 ([\d.]+)', svg)[0])
        widest = 16 * float(re.findall(r"max-width: (\d+)rem", svg)[0])

        assert 544 / width * min(sizes) >= 9  # 34rem, what the page gives a figure at least
        assert widest / width * max(sizes) <= 16


def test_letters_are_the_pages(every_figure: list[str]) -> None:
    for svg in every_figure:
        assert set(re.findall(r"font-family: ([^;\"]*)", svg)) == {"inherit"}
        assert "font:" not in svg
        assert "<style" not in svg  # it would hold for the whole page


def test_colours_are_the_pages(every_figure: list[str]) -> None:
    for svg in every_figure:
        colours = set(re.findall(r"(?:fill|stroke): ([^;\"]*)", svg))
        assert colours - {"none"} == {each for each in colours if re.fullmatch(r"var\(--(ink|rule|paper|c\d)\)", each)}


def test_the_same_data_are_the_same_bytes(every_figure: list[str]) -> None:
    np.random.seed(1)  # noqa: NPY002

    assert draw_every_figure() == every_figure
