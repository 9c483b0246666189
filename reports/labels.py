"""Names beside points that neither cover each other, nor a point, nor leave the axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIZE = 8.5  # of the letters, in points
STEP = 3.0  # points between the places that are tried
NEAR = 12.0  # points from a point to its name, beyond which a line leads to it
TRIED = 300  # of the places, those that are looked at for what a line to them would cross
LONGEST = 40  # letters; what is longer is cut in its middle

Boxes = NDArray[np.float64]
"""(N, 4) left, bottom, right and top, in points from the figure's corner."""


def label_points(
    figure: Figure,
    axis: Axes,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    colours: Sequence[str],
    bars: Sequence[tuple[float, float, float, float]],
) -> None:
    """Writes each name as near to its point as there is room, with a line to it where it could be another's.

    Places are tried on a grid, for one name after the other from the topmost point down. Where there is no free place
    a name takes the one that covers least. The axes must have their limits; the figure's layout is fixed by this.

    Args:
        figure: that the axes are of.
        axis: with the points drawn.
        names: of the points.
        points: their x and y, in data.
        colours: of the lines to them.
        bars: what else must not be covered, left, bottom, right and top in data.
    """
    figure.draw_without_rendering()  # settles the layout, which names inside the axes do not change
    figure.set_layout_engine("none")
    to_points = 72 / figure.dpi
    inside = np.array(axis.get_window_extent().extents) * to_points
    at = axis.transData.transform(np.array(points)) * to_points
    corners = axis.transData.transform(np.array(bars, dtype=float).reshape(-1, 2)) * to_points
    thin = corners.reshape(-1, 4) + np.array([-1, -1, 1, 1])
    taken = np.hstack([at - 4.5, at + 4.5])
    for each in map(int, np.argsort(-at[:, 1], kind="stable")):
        text = axis.annotate(
            _cut(names[each]), points[each], xytext=(0, 0), textcoords="offset points", fontsize=SIZE, va="bottom"
        )
        width, height = np.array(text.get_window_extent().size) * to_points + 2
        places = _places(inside, width, height)
        away = np.hypot(*(_nearest(places, at[each]) - at[each]).T)
        beside = 0.2 * np.abs(places[:, [1, 3]].mean(axis=1) - at[each, 1]) + 2.0 * (places[:, 0] < at[each, 0])
        bad = 10_000 * _covered(places, taken) + 300 * _covered(places, thin) + away + beside
        few = np.argsort(bad, kind="stable")[:TRIED]
        places, away, bad = places[few], away[few], bad[few]
        ends = _nearest(places, at[each])
        of_another = np.min([np.hypot(*(_nearest(places, other) - other).T) for other in at], axis=0) < away - 1
        is_led = (away > NEAR) | (of_another & (away > 5))
        best = int(np.argmin(bad + np.where(is_led, 100 * _crossed(at[each], ends, taken) + 10, 0)))
        text.set_position(tuple(places[best, :2] + 1 - at[each]))
        taken = np.concatenate([taken, places[[best]]])
        if is_led[best]:
            x, y = axis.transData.inverted().transform(np.stack([at[each], ends[best]]) / to_points).T
            axis.plot(x, y, color=colours[each], linewidth=0.7, zorder=1.5, scalex=False, scaley=False)


def _cut(name: str) -> str:
    end = LONGEST // 3
    return name if len(name) <= LONGEST else f"{name[: LONGEST - end - 1]}…{name[-end:]}"


def _places(inside: NDArray[np.float64], width: float, height: float) -> Boxes:
    """Every box of this size on a grid inside another."""
    left, bottom, right, top = inside
    x, y = np.meshgrid(
        np.arange(left, max(right - width, left) + 0.01, STEP),
        np.arange(bottom, max(top - height, bottom) + 0.01, STEP),
    )
    return np.stack([x, y, x + width, y + height], axis=-1).reshape(-1, 4)


def _nearest(boxes: Boxes, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) what of each box is nearest to a point."""
    return np.clip(point, boxes[:, :2], boxes[:, 2:])


def _covered(boxes: Boxes, taken: Boxes) -> NDArray[np.int64]:
    """(N,) how many of the taken boxes each box covers a part of."""
    apart = (boxes[:, None, :2] >= taken[None, :, 2:]) | (boxes[:, None, 2:] <= taken[None, :, :2])
    return np.sum(~apart.any(axis=2), axis=1)


def _crossed(start: NDArray[np.float64], ends: NDArray[np.float64], taken: Boxes) -> NDArray[np.int64]:
    """(N,) how many of the taken boxes a line from start to each end goes through, its own ends left out."""
    along = np.linspace(0.0, 1.0, 24)[:, None, None]
    dots = start + along * (ends - start)  # (24, N, 2)
    dots = dots[:, :, None]
    is_in = ((dots > taken[:, :2]) & (dots < taken[:, 2:])).all(axis=3).any(axis=0)  # (N, M)
    is_at_start = ((start >= taken[:, :2]) & (start <= taken[:, 2:])).all(axis=1)
    return np.sum(is_in & ~is_at_start, axis=1)
