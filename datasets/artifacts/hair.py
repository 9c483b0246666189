"""Hair: thin curved tapering strands that share a direction, and the light shadow that they throw."""

import cv2
import numpy as np

from .painting import Canvas, Field, Image, artifact, blend, frame_of

# Share of the image, by severity. By a black-hat filter (tests/benchmarks/hair.py) the first is like the median of ISIC
# images that people marked as hairy, the third like the hairiest tenth.
COVERAGE = (0.006, 0.015, 0.03, 0.055, 0.09)
COLOURS = np.array([[38, 26, 20], [30, 22, 20], [62, 40, 26], [96, 66, 42], [126, 112, 100]], np.float64)
COLOUR_SHARES = (0.35, 0.3, 0.2, 0.1, 0.05)
STUBBLE_SHARE = 0.15  # of images: shaved
BATCH = 64  # strands drawn from the generator at once
POINTS = 24  # that a strand is drawn through
TAPER = 1 - 0.8 * np.linspace(0, 1, POINTS) ** 2  # from root to tip


@artifact("hair", is_local=True)
def hair(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Strands of one head: direction, thickness and colour vary around those of the image."""
    frame = frame_of(image)
    direction, spread = rng.uniform(0, np.pi), rng.uniform(0.15, 0.6)
    thickness = np.exp(rng.normal(np.log(0.004), 0.25))
    colour = COLOURS[rng.choice(len(COLOURS), p=COLOUR_SHARES)]
    opacity = rng.uniform(0.7, 0.95)
    is_stubble = rng.random() < STUBBLE_SHARE
    canvas = Canvas(image)
    wanted = COVERAGE[severity - 1] * frame.area
    while wanted > 0:
        length = rng.uniform(0.03, 0.1, BATCH) if is_stubble else np.exp(rng.normal(np.log(0.55), 0.5, BATCH))
        width = thickness * np.exp(rng.normal(0, 0.25, BATCH)) * (1.3 if is_stubble else 1)
        middle = rng.uniform(0, 1, (BATCH, 2)) * (frame.width, frame.height)
        heading = direction + rng.normal(0, spread, BATCH) + np.pi * rng.integers(2, size=BATCH)
        bend = rng.normal(0, 0.25 if is_stubble else 1.1, BATCH)
        ripple = rng.normal(0, 0.03 if is_stubble else 0.25, BATCH)
        own = np.clip(colour + rng.normal(0, 10, (BATCH, 1)), 0, 255)
        covered = np.cumsum(length * width * TAPER.mean())
        n = int(np.searchsorted(covered, wanted)) + 1
        points = _curves(middle[:n], heading[:n], length[:n], bend[:n], ripple[:n])
        canvas.lines(points, width[:n, None] * TAPER, own[:n], opacity)
        wanted -= covered[-1]
    side = min(image.shape[:2])
    shift = np.array([[1, 0, 0.006 * side], [0, 1, 0.006 * side]], np.float32)
    shadow = cv2.warpAffine(canvas.coverage(), shift, canvas.size)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.004 * side, 0.3))
    return canvas.over(blend(image, np.zeros(3), 0.18 * np.asarray(shadow)))


def _curves(middle: Field, heading: Field, length: Field, bend: Field, ripple: Field) -> Field:
    """(L, POINTS, 2) points along lines that turn by `bend` radians on their way, a little unevenly."""
    along = np.linspace(-0.5, 0.5, POINTS)
    angle = heading[:, None] + bend[:, None] * along + ripple[:, None] * np.sin(2 * np.pi * along)
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=2) * (length / (POINTS - 1))[:, None, None]
    points = np.cumsum(steps, axis=1)
    return middle[:, None] + points - points[:, POINTS // 2 : POINTS // 2 + 1]
