"""Whether a probability means what it says: of the pixels called 80 % lesion, are 80 % lesion?

Shapes: an image of H x W pixels; probabilities lie in [0, 1]. Bins divide [0, 1] into N_BINS equal parts.
"""

import numpy as np
from numpy.typing import NDArray

N_BINS = 20  # an even number: one half, from which a pixel is called lesion, is the edge of a bin

Probability = NDArray[np.floating]
Mask = NDArray[np.bool_]


def brier(probability: Probability, reference: Mask) -> float:
    """Mean squared difference of probability and truth over the pixels, in [0, 1]; 0 is perfect.

    Source: Brier (1950), Monthly Weather Review 78(1).

    >>> brier(np.array([[0.5, 1.0]]), np.array([[True, True]]))
    0.125
    """
    return float(np.mean(np.square(probability - reference)))


def reliability(probability: Probability, reference: Mask) -> NDArray[np.float64]:
    """(N_BINS, 3) for each bin: its pixels, the sum of their probabilities, and how many of them are lesion.

    Sums of several images are the sums over all their pixels.
    """
    flat = probability.ravel()
    bins = np.minimum((flat * N_BINS).astype(np.intp), N_BINS - 1)
    counts = np.bincount(bins, minlength=N_BINS), np.bincount(bins[reference.ravel()], minlength=N_BINS)
    return np.stack([counts[0], np.bincount(bins, flat, N_BINS), counts[1]], axis=1).astype(np.float64)


def calibration_error(sums: NDArray[np.float64]) -> float:
    """Expected calibration error of `reliability`'s sums, in [0, 1]: the mean over pixels of the distance between a
    bin's mean probability and its share of lesion. NaN without pixels.

    Source: Guo et al. (2017), "On calibration of modern neural networks", ICML, for the foreground's probability.

    >>> calibration_error(np.array([[10.0, 2.0, 1.0], [10.0, 9.0, 9.0]]))
    0.05
    """
    pixels, confidence, positives = sums.T
    return float(np.abs(confidence - positives).sum() / pixels.sum()) if pixels.sum() else float("nan")
