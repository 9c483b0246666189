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
from itertools import combinations_with_replacement, product
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import ImageSet

VERSION = 1  # of the verdicts: raised when other pairs would be found
HASH_SIDE, HASH_BLUR, HASH_SCALES = 24, 3.0, (1.0, 0.9, 0.8)
FINE_SIDE, FINE_BLUR, EDGE = 128, 4.0, 3.0  # EDGE: in medians of the absolute structure
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8)
PROPOSALS = 5  # a picture
BLOCK = 512  # pictures compared at once
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
class Looks:
    """What the audit keeps of a set's images."""

    names: list[str]  # NAME/id
    pixels: list[str]  # digests
    hashes: Picture  # (N, scales, HASH_SIDE, HASH_SIDE) of the middle at every scale, zero mean and unit norm each
    fine: Picture  # (N, FINE_SIDE, FINE_SIDE)


Progress = Callable[[int, int], None]


def audit(sets: Sequence[ImageSet], *, progress: Progress = lambda *_: None) -> list[Pair]:
    """Every pair of images of these sets that shows the same picture, the most alike first.

    Sets are compared two by two, so that no third one changes what is found between them.

    Args:
        sets: one or more; all their images are compared with each other.
        progress: called with the numbers of images looked at or compared, and to look at or compare.
    """
    looks = [look_at(each, progress) for each in sets]
    pairs = [pair for a, b in combinations_with_replacement(looks, 2) for pair in copies(a, b, progress)]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def look_at(image_set: ImageSet, progress: Progress = lambda *_: None) -> Looks:
    """Reads every image of a set, once."""
    found: list[tuple[str, Picture, Picture]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for look in pool.map(lambda id: _look(image_set.image(id)), image_set.ids):
            found.append(look)
            progress(len(found), len(image_set.ids))
    pixels, hashes, fine = zip(*found, strict=True)
    return Looks([f"{image_set.name}/{id}" for id in image_set.ids], list(pixels), np.stack(hashes), np.stack(fine))


def copies(a: Looks, b: Looks, progress: Progress = lambda *_: None) -> list[Pair]:
    """The pairs between two sets, or within one where `a` is `b`."""
    if len(a.names) > len(b.names):
        a, b = b, a
    pairs: list[Pair] = []
    first: dict[str, int] = {}
    for j, pixels in enumerate(b.pixels):
        twin = first.setdefault(pixels, j)
        if a is b and twin != j:
            pairs.append(_pair(b.names[twin], b.names[j], "exact", 1.0))
    if a is not b:
        twins = [(i, first[pixels]) for i, pixels in enumerate(a.pixels) if pixels in first]
        pairs += [_pair(a.names[i], b.names[j], "exact", 1.0) for i, j in twins]
    proposed = [(i, j, position) for i, j, position in _proposals(a, b) if a.pixels[i] != b.pixels[j]]
    with ThreadPoolExecutor(THREADS) as pool:
        fits = pool.map(lambda each: _fit(a.fine[each[0]], _turned(b.fine[each[1]], each[2])), proposed)
        for done, ((i, j, _), similarity) in enumerate(zip(proposed, fits, strict=True), start=1):
            progress(done, len(proposed))
            if similarity >= NEAR:
                pairs.append(_pair(a.names[i], b.names[j], "near", min(similarity, 1.0)))
    return pairs


def _pair(one: str, other: str, kind: Literal["exact", "near"], similarity: float) -> Pair:
    return Pair(min(one, other), max(one, other), kind, similarity)


def _look(image: NDArray[np.uint8]) -> tuple[str, Picture, Picture]:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    grey = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    fine = _shrunk(grey, FINE_SIDE)
    hashes = [_normed(_band(_shrunk(_cut(fine, scale), HASH_SIDE), HASH_BLUR)) for scale in HASH_SCALES]
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    return digest, np.stack(hashes), fine


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


def _proposals(a: Looks, b: Looks) -> Iterator[tuple[int, int, int]]:
    """For each picture of `a` the few of `b` that look most alike, at any scale of either: both indices, and the
    position of the second. Within one set, a pair is proposed once."""
    first = a.hashes.reshape(*a.hashes.shape[:2], -1)
    turned = [_turned(b.hashes, position).reshape(*b.hashes.shape[:2], -1) for position in range(8)]
    scales = [(scale, 0) for scale in range(len(HASH_SCALES))] + [(0, scale) for scale in range(1, len(HASH_SCALES))]
    seen: set[tuple[int, int]] = set()
    for start in range(0, len(first), BLOCK):
        block = first[start : start + BLOCK]
        best = np.full((len(block), len(b.names)), -1, np.float32)
        positions = np.zeros(best.shape, np.uint8)
        for position, (of_a, of_b) in product(range(8), scales):
            alike = block[:, of_a] @ turned[position][:, of_b].T
            is_better = alike > best
            best[is_better], positions[is_better] = alike[is_better], position
        if a is b:
            best[np.arange(len(block)), start + np.arange(len(block))] = -1
        n_proposals = min(PROPOSALS, len(b.names))
        for row, columns in enumerate(np.argpartition(-best, n_proposals - 1, axis=1)[:, :n_proposals]):
            for j in columns.tolist():
                i = start + row
                if best[row, j] > 0 and (a is not b or (j, i) not in seen):
                    seen.add((i, j))
                    yield i, j, int(positions[row, j])


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
