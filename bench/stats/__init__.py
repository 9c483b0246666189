"""What scores of S seeds x N images per variant allow to say: intervals, tests, power, ranks, and the words for it.

`crossed` is the analysis that claims rest on. `fixed` and `ranks` describe; neither speaks of new trainings.
"""

from .claims import Claim, claim, same_scores, same_training
from .crossed import Comparison, Components, Summary, compare, summarize
from .families import holm, holm_over, in_order
from .findings import Finding, against_baseline
from .fixed import Effects, FixedModel, effects, fixed_model
from .groups import Labels
from .intervals import ALPHA, Bounds, Tested
from .looking import chance_at_next, compare_in_looks
from .margins import equivalence, non_inferiority
from .power import Needed, minimum_detectable, needed
from .ranks import Ranks, rank_stability
from .ratios import Ratio, paired_ratio
from .samples import Gap, gap, paired_gap
from .sequential import SPENDING, Looks
from .strata import Estimate, stratified, stratified_difference

__all__ = [
    "ALPHA",
    "SPENDING",
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
    "Looks",
    "Needed",
    "Ranks",
    "Ratio",
    "Summary",
    "Tested",
    "against_baseline",
    "chance_at_next",
    "claim",
    "compare",
    "compare_in_looks",
    "effects",
    "equivalence",
    "fixed_model",
    "gap",
    "holm",
    "holm_over",
    "in_order",
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
