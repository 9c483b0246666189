"""Marks that cover skin: surgical ink, bubbles in the gel, the dark corners of a round field, coloured patches."""

import cv2
import numpy as np

from .painting import Canvas, Field, Image, artifact, blend, frame_of, noise, places, until_covered

INK_COVERAGE = (0.006, 0.015, 0.03, 0.055, 0.09)  # shares of the image, by severity
BUBBLE_COVERAGE = (0.005, 0.012, 0.025, 0.045, 0.075)
CORNER_COVERAGE = (0.03, 0.08, 0.15, 0.23, 0.33)
PATCH_COVERAGE = (0.02, 0.04, 0.07, 0.11, 0.16)
INKS = np.array([[86, 48, 150], [104, 70, 168], [62, 40, 120], [58, 62, 150]], np.float64)
FULL = np.full(3, 255.0)
BATCH = 32  # bubbles drawn from the generator at once
STROKES = ((0.1, 0.09, 0.3), (0.35, 0.05, 1.2), (0.02, 0.05, 0.0))  # field, arc, spot: length, thickness, bend
STROKE_SHARES = (0.4, 0.25, 0.35)
PATCHES = np.array(
    [
        [92, 186, 178],
        [6, 124, 190],
        [70, 130, 235],
        [250, 150, 60],
        [226, 40, 30],
        [180, 170, 220],
        [160, 160, 162],
        [70, 160, 80],
    ],
    np.float64,
)


@artifact("ink", is_local=True)
def ink(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Violet fields, arcs and spots of a marker, broken up by the lines of the skin."""
    frame = frame_of(image)
    canvas = Canvas(image)
    colour, opacity = INKS[rng.integers(len(INKS))], rng.uniform(0.7, 0.95)
    skin_lines, density = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.3)
    side = min(image.shape[:2])

    def stroke() -> float:
        middle = rng.uniform(0.05, 0.95, 2) * (frame.width, frame.height)
        length, thickness, bend = STROKES[rng.choice(len(STROKES), p=STROKE_SHARES)]
        length, thickness = np.array([length, thickness]) * np.exp(rng.normal(0, 0.3, 2))
        turns = rng.uniform(0, 2 * np.pi) + rng.normal(0, bend) * np.linspace(-0.5, 0.5, 16)
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * length / 16
        canvas.line(np.cumsum(steps, axis=0) - steps.sum(axis=0) / 2 + middle, thickness, FULL, 1)
        return 0.6 * (length + thickness) * thickness  # the rest of a stroke is broken away

    until_covered(stroke, image, INK_COVERAGE[severity - 1])
    # Skin lines are noise drawn out along one direction; where they run deep, no ink arrives.
    fine = noise(rng, image, 180)
    reach = max(1, round(0.03 * side))
    streak = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    tip = np.rint(reach * np.array([np.cos(skin_lines), np.sin(skin_lines)])).astype(int)
    cv2.line(streak, (reach - tip[0], reach - tip[1]), (reach + tip[0], reach + tip[1]), 1.0)
    lines = np.asarray(cv2.filter2D(fine, -1, streak / streak.sum()))
    lines = lines / lines.std() + 0.5 * fine
    soft = np.asarray(cv2.GaussianBlur(canvas.coverage(), (0, 0), 0.015 * side))
    return blend(image, colour, opacity * np.clip(1.5 * (lines + density + 2.4 * soft - 1.6), 0, 1) * (soft > 0.05))


@artifact("bubbles", is_local=True)
def bubbles(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Rings in the gel: a dark rim, a bright one inside it, a glint towards the lamp, the middle a little brighter."""
    frame = frame_of(image)
    canvas = Canvas(image)
    lamp = rng.uniform(0, 2 * np.pi)
    typical = np.exp(rng.uniform(np.log(0.012), np.log(0.035)))

    wanted = BUBBLE_COVERAGE[severity - 1] * frame.area
    around, glint = np.linspace(0, 2 * np.pi, 25), lamp + np.linspace(-0.5, 0.5, 7)
    arc = 0.7 * np.stack([np.cos(glint), np.sin(glint)], axis=1)
    while wanted > 0:
        radius = np.minimum(typical * np.exp(rng.normal(0, 0.35, BATCH)), 0.08)
        centre = rng.uniform(0, 1, (BATCH, 2)) * (frame.width, frame.height)
        squashed = rng.uniform(0.85, 1, BATCH)
        covered = np.cumsum(np.pi * radius**2)
        n = int(np.searchsorted(covered, wanted)) + 1
        radius, centre = radius[:n, None, None], centre[:n, None]
        rim = np.maximum(0.1 * radius[..., 0], 0.0025)
        ring = np.stack(np.broadcast_arrays(np.cos(around), np.sin(around) * squashed[:n, None]), axis=2) * radius
        for place, size in zip(centre[:, 0], radius.flat, strict=True):
            canvas.disc((place[0], place[1]), size, np.array([255.0, 250.0, 245.0]), 0.1)
        canvas.lines(centre + ring, 1.2 * rim, np.array([70.0, 52.0, 45.0]), 0.3)
        canvas.lines(centre + 0.82 * ring, rim, np.array([250.0, 245.0, 238.0]), 0.35)
        canvas.lines(centre + arc * radius, 1.5 * rim, FULL, 0.95)
        wanted -= covered[-1]
    return canvas.over(image)


@artifact("corners", is_local=True)
def corners(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """The round field of a dermatoscope: black outside a circle, with a soft edge."""
    frame = frame_of(image)
    x, y = places(image)
    centre = rng.normal(0.5, 0.03, 2) * (frame.width, frame.height)
    softness, black = rng.uniform(0.01, 0.05), rng.uniform(2, 16) * np.array([1.0, 0.95, 1.1])
    distance = np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1]))
    radius = np.quantile(distance, 1 - CORNER_COVERAGE[severity - 1])
    return blend(image, black, _step((distance - radius) / softness))


@artifact("patch", is_local=True)
def patch(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """A coloured disc of felt that reaches in from the border, some with a smaller disc in its middle."""
    frame = frame_of(image)
    x, y = places(image)
    angle, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.2)
    has_middle, colours = rng.random() < 0.3, PATCHES[rng.permutation(len(PATCHES))[:2]]
    centre = 0.5 + np.array([np.cos(angle), np.sin(angle)]) * 0.62
    centre = np.clip(centre, -0.02, 1.02) * (frame.width, frame.height)
    distance = np.hypot(x - np.float32(centre[0]), (y - np.float32(centre[1])) * np.float32(stretch))
    radius = np.quantile(distance, PATCH_COVERAGE[severity - 1])
    colour = np.where((distance < 0.5 * radius)[..., None] & has_middle, colours[1], colours[0])
    felt = 1 + 0.05 * noise(rng, image, 120)[..., None]
    return blend(image, colour * felt, _step((radius - distance) / 0.012))


def _step(value: Field) -> Field:
    """0 below -1/2, 1 above 1/2, smooth between."""
    t = np.clip(value + 0.5, 0, 1)
    return t * t * (3 - 2 * t)
