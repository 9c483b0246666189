"""How scores spread from image to image, and the images on which variants disagree most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import seaborn as sns

from ..drawing import INK, as_svg, colour_of, drawing
from ..evidence import Evidence, Row
from ..pictures import disagreements, variants_in
from ..section import Part, Section
from ..tables import KNOWN

FEW = 10  # images that are drawn one by one


@dataclass(frozen=True, slots=True)
class Facts:
    disagreements: dict[str, list[Row]]
    """By variant the images on which it and the baseline lie furthest apart."""


def make(evidence: Evidence) -> Part:
    primary = evidence.primary
    apart = disagreements(evidence.study, evidence.scores)
    scored: Any = evidence.scores.reindex(columns=["evaluation", "variant", "image", primary]).dropna()
    scored = scored[scored["evaluation"] == evidence.first]
    drawn: dict[str, str] = {}
    if len(scored):
        images = scored.groupby(["variant", "image"], sort=False, as_index=False)[primary].mean()
        name = evidence.id("distribution")
        drawn["distribution"] = draw(images, evidence.names, primary, name)
    return Part(
        facts=Facts({variant: [each.told() for each in found] for variant, found in apart.items()}),
        is_shown=bool(drawn),
        figures=drawn,
        view={"apart": apart, "shown": variants_in(each for found in apart.values() for each in found)},
    )


def draw(scores: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """Violins of the per-image scores, averaged over trials, from the lowest to the highest, with quartiles dashed;
    a few images are dots as well.

    Args:
        scores: variant, image and the metric; one row an image and variant.
        variants: every variant of the study in order.
        metric: name of the column.
        name: unique in the page.
    """
    shown = [variant for variant in variants if variant in set(scores["variant"])]
    with drawing(1, 1, 0.7 + 0.5 * len(shown)) as (figure, (axis,)):
        sns.violinplot(
            scores,
            x=metric,
            y="variant",
            order=shown,
            hue="variant",
            hue_order=shown,
            palette=[colour_of(variants.index(variant)) for variant in shown],
            cut=0,
            density_norm="width",
            inner="quart",
            inner_kws={"color": INK, "linewidth": 1.1},
            width=0.8,
            linecolor=INK,
            linewidth=0.8,
            saturation=1,
            alpha=0.75,
            legend=False,
            ax=axis,
        )
        for line, variant in enumerate(shown):
            values = scores.loc[scores["variant"] == variant, metric]
            if len(values) < FEW:
                axis.plot(values, [line] * len(values), "o", color=INK, markersize=3)
        axis.grid(visible=False, axis="y")
        axis.set(xlabel=f"{KNOWN[metric].label} of an image", ylabel="")
        return as_svg(figure, name, f"Distribution of {KNOWN[metric].label} over images")


SECTION = Section(name="spread", title="From image to image", make=make)
