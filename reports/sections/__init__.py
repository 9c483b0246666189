"""The sections of a study's report, in the order of the page."""

from . import (
    comparisons,
    cost,
    curves,
    deployed,
    failing,
    gallery,
    generalization,
    paste,
    people,
    probabilities,
    published,
    real_artifacts,
    reproducibility,
    robustness,
    spread,
    variants,
)

SECTIONS = (
    published.SECTION,
    variants.SECTION,
    comparisons.SECTION,
    cost.SECTION,
    deployed.SECTION,
    curves.SECTION,
    spread.SECTION,
    robustness.SECTION,
    real_artifacts.SECTION,
    failing.SECTION,
    generalization.SECTION,
    probabilities.SECTION,
    people.SECTION,
    gallery.SECTION,
    paste.SECTION,
    reproducibility.SECTION,
)
