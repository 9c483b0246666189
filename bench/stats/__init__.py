"""What scores of S seeds x N images per variant allow to say: intervals, tests, power, ranks, and the words for it.

`crossed` is the analysis that claims rest on. `fixed` and `ranks` describe; neither speaks of new trainings.
"""

from .claims import Claim, claim, same_scores, same_training
from .crossed import Comparison, Components, Summary, compare, summarize
from .families import benjamini_hochberg, holm, holm_over
from .findings import Finding, against_baseline
from .fixed import Effects, FixedModel, effects, fixed_model
from .groups import Labels
from .intervals import ALPHA, Bounds
from .margins import equivalence, non_inferiority
from .power import Needed, minimum_detectable, needed
from .ranks import Ranks, rank_stability
from .ratios import Ratio, paired_ratio
from .samples import Gap, gap, paired_gap
from .strata import Estimate, stratified, stratified_difference

__all__ = [
    "ALPHA",
    "Bounds",
    "Claim",
    "Comparison",
    "Components",
    "Effects",
    "Estimate",
    "Finding",
    "FixedModel",
    "Gap",
    "Labels",
    "Needed",
    "Ranks",
    "Ratio",
    "Summary",
    "against_baseline",
    "benjamini_hochberg",
    "claim",
    "compare",
    "effects",
    "equivalence",
    "fixed_model",
    "gap",
    "holm",
    "holm_over",
    "minimum_detectable",
    "needed",
    "non_inferiority",
    "paired_gap",
    "paired_ratio",
    "rank_stability",
    "same_scores",
    "same_training",
    "stratified",
    "stratified_difference",
    "summarize",
]
