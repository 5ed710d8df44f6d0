"""Curves as numbers that a template draws: places in a picture of fixed size, ticks, a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from charrnn.studies.canvas import Line, Scale, powers_of_ten, round_numbers

#: The size of a picture, and of the part of it that is drawn in: as wide as a phone, so that
#: labels can be read there.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 220, 58, 388, 10, 184

#: Rows of a chart's table, and points of a line, at most.
_ROWS, _POINTS = 12, 400


class Tick(NamedTuple):
    """A place on an axis, and what it is called."""

    at: float
    label: str


class Drawn(NamedTuple):
    """A line of a chart; all are told apart by their number, and by their dots."""

    name: str
    points: str  # as SVG has them
    dots: list[tuple[float, float]]  # of a line with few points


class Chart(NamedTuple):
    """What the template draws, and the table that says the same."""

    title: str
    x_name: str
    lines: list[Drawn]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    rows: list[list[str]]


def chart(
    title: str,
    x_name: str,
    lines: Mapping[str, Line],
    *,
    logarithmic: bool = False,
    names: Sequence[str] = (),
    ranges: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Chart | None:
    """A chart of lines by name; None where no line has a point.

    ``logarithmic``: their heights are decimal logarithms. ``names`` are those of the places 0, 1, 2
    and so on of the horizontal axis, where these are no numbers. ``ranges`` are what the axes must
    show in any case.
    """
    lines = {name: _finite(line) for name, line in lines.items()}
    lines = {name: line for name, line in lines.items() if line.x.size}
    if not lines:
        return None
    xs = np.concatenate([*(line.x for line in lines.values()), ranges[0]])
    ys = np.concatenate([*(line.y for line in lines.values()), ranges[1]])
    across = round_numbers(xs) if not names else Scale(0, max(len(names) - 1, 1), {})
    up = powers_of_ten(ys) if logarithmic else round_numbers(ys)
    x_labels = _every(dict(enumerate(names))) if names else _with_commas(across)
    y_labels = {at: f"{10.0**at:g}" for at in up.labels} if logarithmic else _with_commas(up)
    return Chart(
        title=title,
        x_name=x_name,
        lines=[_drawn(name, line, across, up) for name, line in lines.items()],
        x_ticks=[Tick(_x(at, across), label) for at, label in x_labels.items()],
        y_ticks=[Tick(_y(at, up), label) for at, label in y_labels.items()],
        rows=_rows(x_name, lines, logarithmic, names),
    )


def _finite(line: Line) -> Line:
    known = np.flatnonzero(np.isfinite(line.x) & np.isfinite(line.y))
    known = known[:: max(1, -(-known.size // _POINTS))]
    return Line(line.x[known], line.y[known])


def _every(labels: dict[int, str], most: int = 7) -> dict[int, str]:
    """Some of the labels where there are more than have room."""
    step = -(-len(labels) // most)
    return {at: label for at, label in labels.items() if at % step == 0}


def _with_commas(scale: Scale) -> dict[float, str]:
    return {at: f"{at:,.{len(label.partition('.')[2])}f}" for at, label in scale.labels.items()}


def _x(value: float, across: Scale) -> float:
    share = (value - across.bottom) / (across.top - across.bottom)
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _y(value: float, up: Scale) -> float:
    share = (value - up.bottom) / (up.top - up.bottom)
    return round(BOTTOM - share * (BOTTOM - TOP), 1)


def _drawn(name: str, line: Line, across: Scale, up: Scale) -> Drawn:
    pairs = zip(line.x.tolist(), line.y.tolist(), strict=True)
    places = [(_x(x, across), _y(y, up)) for x, y in pairs]
    points = " ".join(f"{x:g},{y:g}" for x, y in places)
    return Drawn(name, points, places if len(places) <= 60 else [])


def _rows(
    x_name: str, lines: Mapping[str, Line], logarithmic: bool, names: Sequence[str]
) -> list[list[str]]:
    """A heading, and rows at some places of the line with the fewest."""
    places = min(lines.values(), key=lambda line: line.x.size).x
    places = places[np.unique(np.linspace(0, places.size - 1, _ROWS).astype(np.int64))]
    rows = [[x_name, *lines]]
    for x in places.tolist():
        heights = [float(line.y[np.abs(line.x - x).argmin()]) for line in lines.values()]
        figures = [f"{10**y:.3g}" if logarithmic else _figure(y) for y in heights]
        rows.append([names[int(x)] if names else _figure(x), *figures])
    return rows


def _figure(value: float) -> str:
    """Four digits of a small number, all of a large one before the point."""
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def logarithms(values: Sequence[float | None]) -> np.ndarray:
    """Decimal logarithms; NaN where there is none."""
    return np.array([math.log10(v) if v is not None and v > 0 else math.nan for v in values])
