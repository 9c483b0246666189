"""What the levels of a mask file mean: one rule for data sets, references and predictions.

A file is read by itself where it can be, and it is told how (`Coding`). What could be read in two ways is refused: more
labels than one, a range that is neither black and white nor 0 and 1, and levels that mean something else in other files
of the folder (`clashes`).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 0.25, 0.75  # of the highest level that a file can hold; below the one is black, above the other white
NOISE = 0.1  # of the range in use: what lies this near to the ground or to the lesion is no label of its own
FEW = 8  # levels or colours; a lossless file with so few has no noise
MOST_LABELS = 32  # levels of a label map; a smooth map of probability has more
MOST_FLAT = 0.1  # of the grey pixels may lie in flat patches: a rim has hardly any, a label is one
KERNEL = np.ones((3, 3), np.uint8)
LABELS = "seems to hold several labels"
REMEDY = "save the lesion as 255 and the rest as 0"
CLASSES_REMEDY = f"{REMEDY}, or name the classes: medbench data describe FOLDER --write"


@dataclass(frozen=True, slots=True)
class Levels:
    """What a mask file holds.

    Attributes:
        values: (H, W) integers from 0, or floats from 0 to 1; the lesion is the brighter side.
        top: the highest level that the file can hold: 1, 255 or 65535.
        is_lossy: whether its compression moves levels.
        source: "" for brightness, "alpha", or "palette" for the indices into one.
        colours: (H, W, 3), None where there is no colour.
    """

    values: NDArray[Any]
    top: int
    is_lossy: bool = False
    source: str = ""
    colours: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a mask file is read, in plain values.

    Attributes:
        low, high: the lowest and highest level in use.
        n_levels: how many levels are in use.
        top, is_lossy, source: as in `Levels`.
        cut: pixels above this level are lesion.
        refusal: why that is not certain, and what to do; empty where it is.
    """

    low: float
    high: float
    n_levels: int
    top: int
    is_lossy: bool
    source: str
    cut: float
    refusal: str = ""

    @property
    def scale(self) -> int:
        """The highest level possible; a wide file without a level above 255 holds 8 bits."""
        return 255 if self.top > 255 >= self.high else self.top

    @property
    def is_empty(self) -> bool:
        return self.cut >= self.high

    @property
    def is_full(self) -> bool:
        return self.cut < self.low

    @property
    def is_white(self) -> bool:
        """Whether the brightest pixel is white."""
        return self.high >= WHITE * self.scale

    @property
    def is_coded(self) -> bool:
        """Whether a level is a sign, not a shade: lossless, and two levels at most."""
        return not self.is_lossy and self.n_levels <= 2

    @property
    def is_label_map(self) -> bool:
        """Whether it is refused for labels that no map of probability shows: a smooth one may lie in flat patches too,
        of many levels."""
        return self.refusal.startswith(LABELS) and self.n_levels <= MOST_LABELS and not self.is_lossy

    @property
    def name(self) -> str:
        """The coding in a few words, equal for files that are read alike."""
        half = "cut at half" if self.is_white and self.low <= BLACK * self.scale else "cut at half of a narrow range"
        how = "empty" if self.is_empty else "full" if self.is_full else "" if self.is_coded else half
        levels = f"all {self.high:g}" if self.n_levels == 1 else f"{self.low:g}/{self.high:g}"
        told = levels if self.is_coded else "JPEG" if self.is_lossy else "grey"
        return f"{self.source} {told}{', ' if how else ''}{how}".strip()


def coding_of(levels: Levels) -> Coding:
    """How a file is read by itself.

    - Lossless with one level: full, or empty if that level is 0. With 0 and another level: that one is the lesion.
    - Else, where all levels lie close together, black is empty in a JPEG, and white is full.
    - Else cut at half of the range in use, so that grey rims fall to the nearer side.
    - Refused: a third level or colour in flat patches, which is a label; a narrow range that is none of the above.

    >>> coding_of(Levels(np.array([[0, 1, 1]]), top=255)).name
    '0/1'
    >>> coding_of(Levels(np.array([[1, 1, 2]]), top=255, is_lossy=True)).name
    'JPEG, empty'
    """
    used, counts = _used(levels.values)
    low, high = used[0].item(), used[-1].item()
    half = (low + high) / 2
    found = Coding(
        low=low,
        high=high,
        n_levels=len(used),
        top=levels.top,
        is_lossy=levels.is_lossy,
        source=levels.source,
        cut=half,
    )
    is_dark, is_narrow = high < BLACK * found.scale, high - low < BLACK * found.scale
    is_exact = len(used) <= FEW and not levels.is_lossy
    if (is_dark and is_exact and len(used) > 2) or _has_labels(levels, used, counts, half, is_exact):
        shown = ", ".join(f"{level:g}" for level in used[:FEW]) + (", ..." if len(used) > FEW else "")
        why = f"{LABELS} (levels {shown}), and does not say which is the lesion"
        return replace(found, refusal=f"{why}; {CLASSES_REMEDY}")
    if found.is_coded and len(used) == 1:
        return replace(found, cut=low if low == 0 else -1)
    if (found.is_coded and low == 0) or not is_narrow:
        return found
    if low > WHITE * found.scale:
        return replace(found, cut=-1)
    if levels.is_lossy and is_dark:
        return replace(found, cut=high)
    why = f"its levels, {low:g} to {high:g} of {found.scale}, are neither black and white nor 0 and 1"
    return replace(found, refusal=f"{why}; {REMEDY}")


def clashes(codings: Mapping[str, Coding]) -> dict[str, str]:
    """The masks of a folder that the others make doubtful, each with the reason and the remedy.

    White is the lesion in any file, and so is 1 over 0. Another level may be one of several labels where it is not the
    level of all masks, and a level that fills a file says nothing unless others use it.
    """
    lesions = {key: each for key, each in codings.items() if not each.is_empty and not each.refusal}
    signs = {key: each for key, each in lesions.items() if each.is_coded and each.n_levels == 2}
    plain = next((key for key, each in lesions.items() if each.is_white or (key in signs and each.high == 1)), None)
    usual = Counter(each.high for each in signs.values()).most_common(1)
    brightest = max(lesions, key=lambda key: lesions[key].high, default="")
    found: dict[str, str] = {}
    for key, each in codings.items():
        why = ""
        if key not in lesions:
            if each.is_lossy and each.n_levels > 1 and not each.refusal and not lesions:
                why = f"is a JPEG with the levels {each.low:g} to {each.high:g}, and no mask is brighter: 0 and 1?"
        elif not each.is_coded or each.is_white or (key in signs and each.high == 1):
            continue
        elif each.n_levels == 1 and each.high == 1:
            if lesions[brightest].high > 1:
                why = f"has the level 1 alone, {brightest} goes up to {lesions[brightest].high:g}: empty or full?"
        elif each.n_levels == 1 and each.high not in {sign.high for sign in signs.values()}:
            why = f"has the level {each.high:g} alone, neither black nor white: empty or full?"
        elif plain:
            why = f"has the lesion at level {each.high:g}, {plain} at {lesions[plain].high:g}: several labels?"
        elif each.high != usual[0][0]:
            why = f"has the lesion at level {each.high:g}, other masks at {usual[0][0]:g}: several labels?"
        if why:
            found[key] = f"{why} {REMEDY}"
    return found


def grey_share(levels: Levels) -> float:
    """Share of a mask's pixels, in [0, 1], that lie off both ends of the range in use by more than a tenth of it."""
    used, counts = _used(levels.values)
    rim = (used[-1] - used[0]) / 10
    return float(counts[(used > used[0] + rim) & (used < used[-1] - rim)].sum() / levels.values.size)


def _used(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The levels in use, from the lowest to the highest, and how many pixels have each."""
    if values.dtype.kind == "f":
        return np.unique(values, return_counts=True)
    narrow = np.ascontiguousarray(values if values.dtype == np.uint8 else values.astype(np.uint16))
    n_bins = 256 if narrow.dtype == np.uint8 else 65536
    counts = cv2.calcHist([narrow], [0], None, [n_bins], [0, n_bins]).ravel()  # five times as fast as NumPy's bincount
    used = np.flatnonzero(counts)
    return used, counts[used]


def _has_labels(levels: Levels, used: NDArray[Any], counts: NDArray[Any], half: float, is_exact: bool) -> bool:
    """Whether what is neither the commonest ground nor the commonest lesion lies in flat patches."""
    codes, shades = levels.values, used[:, None]
    if levels.colours is not None:
        red, green, blue = (levels.colours[..., i].astype(np.int32) for i in range(3))
        codes = (red << 16) + (green << 8) + blue
        used, counts = np.unique(codes, return_counts=True)
        shades = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1)
    if len(used) < 3:
        return False
    is_ground = shades.max(axis=1) <= half
    distances = [
        abs(shades - shades[np.where(side, counts, 0).argmax()]).max(axis=1) for side in (is_ground, ~is_ground)
    ]
    other = np.minimum(*distances) > (0 if is_exact else NOISE * (shades.max() - shades.max(axis=1).min()))
    if not other.any():
        return False
    wide = codes.astype(np.float32)
    is_flat = cv2.erode(wide, KERNEL) == cv2.dilate(wide, KERNEL)
    n_flat = np.count_nonzero(is_flat & np.isin(codes, used[other]))
    return bool(n_flat > MOST_FLAT * counts[other].sum())
