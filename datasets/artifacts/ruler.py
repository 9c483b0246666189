"""The scale of a dermatoscope: ticks, numbers and unit, near a border, or across at the higher severities."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .painting import Canvas, Field, Image, artifact, frame_of

LENGTHS = (0.3, 0.42, 0.56, 0.74, 0.95)  # in shorter sides, by severity
TICKS = (0.018, 0.023, 0.029, 0.036, 0.044)  # length of a tick; every fifth is twice as long
WIDTHS = (0.004, 0.005, 0.006, 0.0075, 0.009)  # of the lines
INSETS = (0.06, 0.09, 0.13, 0.2, 0.3)  # distance from the border
SPACING = 0.035  # of ticks
STEP = 0.11  # of digits and letters, as a share of their height
# Lines through points (x, y) in a box of width 0.6 and height 1, y down.
GLYPHS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "1": (((0.1, 0.25), (0.35, 0), (0.35, 1)),),
    "2": (((0, 0.2), (0.3, 0), (0.6, 0.2), (0, 1), (0.6, 1)),),
    "3": (((0, 0), (0.6, 0), (0.25, 0.4), (0.6, 0.7), (0.3, 1), (0, 0.9)),),
    "4": (((0.45, 1), (0.45, 0), (0, 0.65), (0.6, 0.65)),),
    "5": (((0.6, 0), (0.05, 0), (0, 0.45), (0.5, 0.45), (0.55, 0.85), (0, 1)),),
    "6": (((0.5, 0), (0, 0.6), (0.3, 1), (0.6, 0.7), (0.05, 0.6)),),
    "m": (
        ((0, 1), (0, 0.4)),
        ((0, 0.55), (0.15, 0.4), (0.3, 0.55), (0.3, 1)),
        ((0.3, 0.55), (0.45, 0.4), (0.6, 0.55), (0.6, 1)),
    ),
    "M": (((0, 1), (0, 0), (0.3, 0.6), (0.6, 0), (0.6, 1)),),
}


@artifact("ruler", is_local=True)
def ruler(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Dark ticks along one border, slightly askew, on a line or without one."""
    frame = frame_of(image)
    length, tick, width = LENGTHS[severity - 1], TICKS[severity - 1], WIDTHS[severity - 1]
    border, tilt, place = int(rng.integers(4)), rng.normal(0, 0.12), rng.uniform(0.42, 0.58)
    has_line, has_numbers, unit = rng.random() < 0.8, rng.random() < 0.35, "MM" if rng.random() < 0.4 else "mm"
    colour, opacity = rng.uniform(20, 60) * np.ones(3), rng.uniform(0.75, 0.95)
    inset = INSETS[severity - 1] + rng.uniform(0, 0.04)
    spacing = SPACING * np.exp(rng.normal(0, 0.15))
    across, down = (frame.width, frame.height) if border % 2 == 0 else (frame.height, frame.width)

    # Drawn along the x axis below the middle, then turned to its border.
    middle = np.array([(place - 0.5) * across, down / 2 - inset])
    to_border, tilted = _rotation(border * np.pi / 2), _rotation(tilt)
    canvas = Canvas(image)

    def stroke(points: Field) -> None:
        placed = (points - (length / 2, 0)) @ tilted + middle
        canvas.line(placed @ to_border + (frame.width / 2, frame.height / 2), width, colour, opacity)

    if has_line:
        stroke(np.array([(0, 0), (length, 0)]))
    for index in range(int(length / spacing) + 1):
        is_long = index % 5 == 0
        stroke(np.array([(index * spacing, 0), (index * spacing, -tick * (2 if is_long else 1))]))
        if has_numbers and is_long and 0 < index <= 30:
            _write(stroke, str(index // 5), index * spacing - tick / 2, 0.5 * tick, 1.5 * tick)
    _write(stroke, unit, -2.5 * tick if has_line else 0.0, 0.5 * tick, 1.5 * tick)
    return canvas.over(image)


def _rotation(angle: float) -> Field:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _write(stroke: Callable[[Field], None], text: str, x: float, y: float, height: float) -> None:
    for position, character in enumerate(text):
        for line in GLYPHS[character]:
            placed = np.array(line) * height + (x + position * (0.6 + STEP) * height, y)
            for start, end in pairwise(placed):
                stroke(np.array([start, end]))
