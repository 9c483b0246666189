"""Do images occur twice, within a set, across sets, or on both sides of a split?

Copies are found though they were resized, recompressed, brightened, cropped a little, mirrored or turned. A perceptual
hash, the middle of the image as a small band-pass picture, proposes for every image those that look most alike in any
of the eight positions; each proposal is then laid over the original at several scales, moved to fit, and accepted where
the fine structure correlates. Skin lesions look alike at a glance, pores and pigment do not.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import ImageSet

VERSION = 1  # of the verdicts: raised when other pairs would be found
HASH_SIDE, HASH_BLUR, HASH_SCALES = 24, 3.0, (1.0, 0.9, 0.8)
FINE_SIDE, FINE_BLUR, EDGE = 128, 4.0, 3.0  # EDGE: in medians of the absolute structure
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8)
PROPOSALS = 5  # a picture, over all positions
PROMISING, CERTAIN = 0.2, 0.9  # a rough fit between these is refined
LEAST_SHARED = 0.5  # of a picture that the other must show
NEAR = 0.68  # correlation of fine structure from which two pictures are copies
THREADS = 2

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that are one; `similarity` is 1 for equal pixels, else the correlation of fine structure."""

    a: str  # NAME/id
    b: str
    kind: Literal["exact", "near"]
    similarity: float


@dataclass(frozen=True, slots=True)
class _Look:
    pixels: str
    hashes: Picture  # (scales, HASH_SIDE, HASH_SIDE) of the middle at every scale, zero mean and unit norm each
    fine: Picture  # (FINE_SIDE, FINE_SIDE)


def audit(sets: Sequence[ImageSet], *, progress: Callable[[int, int], None] = lambda *_: None) -> list[Pair]:
    """Every pair of images of these sets that shows the same picture, the most alike first.

    Args:
        sets: one or more; all their images are compared with each other.
        progress: called with the numbers of images looked at and to look at.
    """
    names = [f"{each.name}/{id}" for each in sets for id in each.ids]
    looks: list[_Look] = []
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [(each, id) for each in sets for id in each.ids]
        for look in pool.map(lambda job: _look(job[0].image(job[1])), jobs):
            looks.append(look)
            progress(len(looks), len(names))
    pairs: list[Pair] = []
    first: dict[str, int] = {}
    for index, look in enumerate(looks):
        twin = first.setdefault(look.pixels, index)
        if twin != index:
            pairs.append(Pair(names[twin], names[index], "exact", 1.0))
    for i, j, position in _proposals(np.stack([look.hashes for look in looks])):
        if looks[i].pixels != looks[j].pixels:
            similarity = _fit(looks[i].fine, _turned(looks[j].fine, position))
            if similarity >= NEAR:
                pairs.append(Pair(names[i], names[j], "near", min(similarity, 1.0)))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def _look(image: NDArray[np.uint8]) -> _Look:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    grey = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    fine = _shrunk(grey, FINE_SIDE)
    hashes = [_normed(_band(_shrunk(_cut(fine, scale), HASH_SIDE), HASH_BLUR)) for scale in HASH_SCALES]
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    return _Look(digest, np.stack(hashes), fine)


def _shrunk(grey: NDArray[Any], side: int) -> Picture:
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _band(picture: Picture, blur: float) -> Picture:
    """What is finer than `blur` pixels: brightness, contrast and shading are gone."""
    return picture - np.asarray(cv2.GaussianBlur(picture, (0, 0), blur, borderType=cv2.BORDER_REFLECT))


def _texture(picture: Picture) -> Picture:
    """Fine structure with strong edges cut down: a dark spot, a black border or a patch is no proof of identity."""
    fine = _band(picture, FINE_BLUR)
    limit = np.float32(EDGE * max(float(np.median(np.abs(fine))), 0.1))
    return np.clip(fine, -limit, limit)


def _normed(picture: Picture) -> Picture:
    picture = picture - picture.mean()
    return picture / max(float(np.linalg.norm(picture)), 1e-6)


def _turned(picture: Picture, position: int) -> Picture:
    """One of the eight positions of a square; axes -2 and -1."""
    turned = np.rot90(picture, position % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if position >= 4 else turned)


def _proposals(hashes: Picture) -> Iterator[tuple[int, int, int]]:
    """Index pairs i < j, and the position of j, that look most alike: the best few for each picture."""
    n = len(hashes)
    best = np.full((n, PROPOSALS), -1.0, np.float32)
    what = np.zeros((n, PROPOSALS, 2), np.int64)
    for scale, position in product(range(len(HASH_SCALES)), range(8)):
        flat = hashes[:, scale].reshape(n, -1)
        turned = _turned(hashes[:, 0], position).reshape(n, -1)
        for start in range(0, n, 512):
            alike = flat[start : start + 512] @ turned.T
            rows = np.arange(len(alike))
            alike[rows, start + rows] = -1
            k = min(PROPOSALS, n)
            columns = np.argpartition(-alike, k - 1, axis=1)[:, :k]
            values = np.concatenate([best[start + rows], np.take_along_axis(alike, columns, axis=1)], axis=1)
            marks = np.stack([columns, np.full_like(columns, position)], axis=2)
            marks = np.concatenate([what[start + rows], marks], axis=1)
            order = np.argsort(-values, axis=1)[:, :PROPOSALS]
            best[start + rows] = np.take_along_axis(values, order, axis=1)
            what[start + rows] = np.take_along_axis(marks, order[..., None], axis=1)
    seen: set[tuple[int, int]] = set()
    for i in range(n):
        for value, (j, position) in zip(best[i], what[i], strict=True):
            pair = (min(i, int(j)), max(i, int(j)))
            if value > 0 and pair not in seen:
                seen.add(pair)
                # Seen from the other side, a turn goes the other way; a mirrored position is its own opposite.
                back = int(position) if i < j or position >= 4 else -int(position) % 4
                yield (*pair, back)


def _fit(a: Picture, b: Picture) -> float:
    """The correlation of the fine structure of two pictures, in [-1, 1], one of them scaled and shifted to fit."""
    fits = [(_correlation(_cut(a, scale), b), scale, True) for scale in SCALES]
    fits += [(_correlation(a, _cut(b, scale)), scale, False) for scale in SCALES[1:]]
    rough, scale, of_a = max(fits)
    if not PROMISING < rough < CERTAIN:
        return rough
    return max(rough, _refined(_cut(a, scale), b) if of_a else _refined(a, _cut(b, scale)))


def _cut(picture: Picture, scale: float) -> Picture:
    """The middle of a picture, enlarged to its size."""
    if scale == 1:
        return picture
    offset = (1 - scale) / 2 * (FINE_SIDE - 1)
    zoom = np.array([[scale, 0, offset], [0, scale, offset]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, zoom, (FINE_SIDE, FINE_SIDE), flags=flags), dtype=np.float32)


def _correlation(a: Picture, b: Picture) -> float:
    """Of two pictures, the second shifted to where they agree best."""
    p, r = _texture(a), _texture(b)
    dx, dy = _shift(p, r)
    n = FINE_SIDE
    p = p[max(-dy, 0) : n - max(dy, 0), max(-dx, 0) : n - max(dx, 0)]
    r = r[max(dy, 0) : n - max(-dy, 0), max(dx, 0) : n - max(-dx, 0)]
    return float((_normed(p) * _normed(r)).sum())


def _shift(p: Picture, r: Picture) -> tuple[int, int]:
    (x, y), _ = cv2.phaseCorrelate(p.astype(np.float64), r.astype(np.float64), WINDOW)
    dx, dy = round(x), round(y)
    return (dx, dy) if max(abs(dx), abs(dy)) <= FINE_SIDE // 5 else (0, 0)


def _refined(a: Picture, b: Picture) -> float:
    """The same after the affine map that raises the enhanced correlation coefficient most (Evangelidis 2008)."""
    p, r = _texture(a), _texture(b)
    dx, dy = _shift(p, r)
    start = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
    try:
        _, found = cv2.findTransformECC(p, r, start, cv2.MOTION_AFFINE, stop)
    except cv2.error:  # it did not settle: no copy
        return -1.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (FINE_SIDE, FINE_SIDE)
    moved = np.asarray(cv2.warpAffine(r, found, size, flags=flags), dtype=np.float32)
    shared = np.asarray(cv2.warpAffine(np.ones_like(r), found, size, flags=flags)) > 0.99
    if shared.mean() < LEAST_SHARED:
        return -1.0
    return float((_normed(p[shared]) * _normed(moved[shared])).sum())


WINDOW = cv2.createHanningWindow((FINE_SIDE, FINE_SIDE), cv2.CV_64F)
