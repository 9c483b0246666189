"""The ways in which a segmentation fails badly, image by image. The definitions are ours.

Shapes: masks (H, W), True where the lesion, or the artifact, is. Parts of a mask are 8-connected.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

MISSED_BELOW, PART, SPILLED_ABOVE, ON_ARTIFACT_ABOVE = 0.1, 0.05, 0.25, 0.1
FAILURES: Mapping[str, tuple[str, str]] = {
    "missed": ("missed lesion", "less than a tenth of the lesion is found"),
    "split": ("split lesion", "one part of the lesion falls into two or more found parts of a twentieth of it each"),
    "spilled": ("spill over the border", "what is found and touches the lesion reaches beyond it by a quarter of it"),
    "on_artifact": ("artifact segmented", "more than a tenth of the artifact outside the lesion is called lesion"),
}


def failure_modes(prediction: Mask, reference: Mask, artifact: Mask | None = None) -> dict[str, float]:
    """1 or 0 for each of `FAILURES`; NaN where an image cannot fail so, having no lesion or no artifact outside it.

    >>> lesion = np.array([[False, True, True, True, False]])
    >>> failure_modes(lesion & [[True, True, False, True, True]], lesion)["split"]
    1.0
    """
    n_lesion = np.count_nonzero(reference)
    modes = dict.fromkeys(FAILURES, float("nan"))
    if artifact is not None:
        share = artifact_fpr(prediction, reference, artifact)
        modes["on_artifact"] = share if np.isnan(share) else float(share > ON_ARTIFACT_ABOVE)
    if n_lesion:
        found = _parts(prediction)
        beyond = np.bincount(found[~reference], minlength=found.max() + 1)
        touching = np.unique(found[reference & prediction])
        modes["missed"] = float(np.count_nonzero(prediction & reference) < MISSED_BELOW * n_lesion)
        modes["split"] = float(_is_split(found, _parts(reference)))
        modes["spilled"] = float(beyond[touching].sum() > SPILLED_ABOVE * n_lesion)
    return modes


def artifact_fpr(prediction: Mask, reference: Mask, artifact: Mask) -> float:
    """Share of the artifact's pixels outside the lesion that were predicted as lesion; NaN where there are none."""
    outside = artifact & ~reference
    n_outside = np.count_nonzero(outside)
    return np.count_nonzero(prediction & outside) / n_outside if n_outside else float("nan")


def _parts(mask: Mask) -> NDArray[np.int32]:
    """(H, W) the number of the part that a pixel belongs to; 0 outside."""
    return np.asarray(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[1], dtype=np.int32)


def _is_split(found: NDArray[np.int32], lesion: NDArray[np.int32]) -> bool:
    n_found, n_lesion = found.max() + 1, lesion.max() + 1
    shared = np.bincount((lesion * n_found + found).ravel(), minlength=n_lesion * n_found).reshape(n_lesion, n_found)
    parts = shared[1:, 1:] >= PART * shared[1:].sum(axis=1, keepdims=True)
    return bool((parts.sum(axis=1) >= 2).any())
