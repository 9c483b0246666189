"""How training went: loss and validation Dice by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..drawing import as_svg, colour_of, count_along, dash_of, drawing, estimate, legend
from ..evidence import Evidence
from ..notes import number
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    """The store's histories hold every number; none is repeated."""


def make(evidence: Evidence) -> Part:
    trials = evidence.study.trials
    histories = [t.history.assign(variant=t.variant, trial=t.id) for t in trials if t.history is not None]
    if not histories:
        return Part(facts=Facts(), is_shown=False)
    table = pd.concat(histories, ignore_index=True)
    drawn = draw(table, evidence.names, evidence.id("curves"))
    return Part(facts=Facts(), is_shown=True, figures={"curves": drawn})


def draw(histories: pd.DataFrame, variants: Sequence[str], name: str) -> str:
    """Training loss and validation Dice by epoch: a line for the mean over trials, a band from lowest to highest, and
    a thin line for each trial, which page.js finds by its id. Of one epoch alone, its values by variant.

    Args:
        histories: variant, trial, epoch, train_loss, validation_dice; one row a trial and epoch.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    titles = {"train_loss": "Training loss", "validation_dice": "Validation Dice"}
    titles = {column: title for column, title in titles.items() if len(histories[column].dropna())} or titles
    with_values: Any = histories.dropna(subset=list(titles), how="all")
    drawn = [variant for variant in variants if variant in set(with_values["variant"])]
    epochs = sorted({int(epoch) for epoch in histories["epoch"]})
    is_single = len(epochs) == 1
    with drawing(1, len(titles), 0.7 + 0.36 * len(drawn) if is_single else 2.7) as (figure, axes):
        for axis, (column, title) in zip(axes, titles.items(), strict=True):
            grouped: Any = histories.groupby(["variant", "epoch"])[column]
            ranges = grouped.agg(["mean", "min", "max"]).dropna().reset_index()
            for line, variant in enumerate(drawn):
                known = ranges[ranges["variant"] == variant]
                colour, dash = colour_of(variants.index(variant)), dash_of(variants.index(variant))
                if is_single:
                    for _, _, mean, low, high in known.itertuples(index=False):
                        estimate(axis, mean, line, low, high, colour)
                        axis.annotate(
                            number(mean), (mean, line), xytext=(0, 6), textcoords="offset points", ha="center"
                        )
                else:
                    axis.fill_between(known["epoch"], known["min"], known["max"], color=colour, alpha=0.16, linewidth=0)
                    marker = "o" if len(known) == 1 else None
                    axis.plot(known["epoch"], known["mean"], color=colour, linestyle=dash, marker=marker, linewidth=1.6)
            if not is_single:
                once = histories.drop_duplicates(["trial", "epoch"])  # variants may share trials
                for trial, own in once.groupby("trial", sort=False):
                    colour, id = colour_of(variants.index(own["variant"].iloc[0])), f"{column}-of-{trial}"
                    axis.plot(own["epoch"], own[column], color=colour, linewidth=0.7, alpha=0.6, gid=id)
            if is_single:
                axis.set(title=f"{title} after epoch {epochs[0]}", ylim=(len(drawn) - 0.5, -0.8))
                axis.set_yticks(range(len(drawn)), drawn if axis is axes[0] else [""] * len(drawn))
                axis.margins(x=0.25)
                axis.locator_params(axis="x", nbins=4)
                axis.grid(visible=False, axis="y")
            else:
                axis.set(title=title, xlabel="epoch")
                count_along(axis, epochs)
        if not is_single:
            legend(figure, variants, drawn)
        return as_svg(figure, name, "Training curves: loss and validation Dice by epoch")


SECTION = Section(name="curves", title="Training", make=make)
