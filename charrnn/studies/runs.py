"""Curves of training runs, side by side: drawn with characters, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.errors import UsageError
from charrnn.studies import canvas
from charrnn.studies.canvas import Line
from charrnn.text.display import decoded, printable


class Figure(NamedTuple):
    """Something that is drawn of runs."""

    title: str
    fields: dict[str, str]  # of a record: what each is called in the legend
    logarithmic: bool = False


#: What can be drawn, by its option.
FIGURES = {
    "loss": Figure("loss, nats", {"loss": "training", "validation_loss": "validation"}),
    "validation": Figure("validation loss, nats", {"validation_loss": "validation"}),
    "rate": Figure("learning rate", {"learning_rate": "learning rate"}),
    "norm": Figure("norm of the gradient", {"gradient_norm": "gradient norm"}, True),
    "speed": Figure("characters a second", {"characters_per_second": "speed"}),
}

#: What they can be drawn against: a field of a record, and what the axis is called.
ABSCISSAS = {"step": "steps", "characters": "characters", "epoch": "epochs", "seconds": "seconds"}


@dataclass(frozen=True, eq=False)
class Run:
    """The records of a run."""

    name: str
    records: Sequence[dict[str, Any]]

    def line(self, field: str, against: str, *, logarithmic: bool = False) -> Line:
        """The points at which a field has a number, which ``logarithmic`` must be above 0."""
        pairs = np.array([[_number(r, against), _number(r, field)] for r in self.records])
        if logarithmic:
            pairs[:, 1] = [math.log10(y) if y > 0 else math.nan for y in pairs[:, 1]]
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        return Line(pairs[:, 0], pairs[:, 1])


def _number(record: dict[str, Any], field: str) -> float:
    """NaN where there is none."""
    value = record.get(field)
    return float(value) if isinstance(value, (int, float)) else math.nan


class _Drawn(NamedTuple):
    """A line with what the legend says of it."""

    run: int
    field: str
    name: str
    line: Line


def _drawn(runs: Sequence[Run], figure: Figure, against: str) -> list[_Drawn]:
    """All lines that have points. Raises ``UsageError`` where none has any."""
    found = [
        _Drawn(number, field, f"{printable(decoded(run.name))}, {word}", line)
        for number, run in enumerate(runs)
        for field, word in figure.fields.items()
        for line in [run.line(field, against, logarithmic=figure.logarithmic)]
        if line.x.size
    ]
    if not found:
        raise UsageError(f"there is nothing to draw: no record has a number for {figure.title}")
    return found


def report(runs: Sequence[Run], what: str, against: str) -> str:
    """A plot as wide as the terminal, and a legend with what came of each run.

    ``what`` is one of ``FIGURES``, ``against`` one of ``ABSCISSAS``. Raises ``UsageError`` where
    there is nothing to draw.
    """
    figure = FIGURES[what]
    drawn = _drawn(runs, figure, against)
    values = np.concatenate([own.line.y for own in drawn])
    scale = canvas.powers_of_ten(values) if figure.logarithmic else canvas.round_numbers(values)
    plot = canvas.plot([own.line for own in drawn], scale, "", canvas.terminal_width())
    legend = "\n".join(_legend(drawn, figure, ABSCISSAS[against]))
    return canvas.for_locale(f"{figure.title}\n{plot}\n{ABSCISSAS[against]:>8}\n\n{legend}")


def _legend(drawn: Sequence[_Drawn], figure: Figure, unit: str) -> Iterator[str]:
    for number, own in enumerate(drawn):
        x, y = own.line
        y = 10**y if figure.logarithmic else y
        told = f"{y[-1]:,.6g} at the end, {x[-1]:,.0f} {unit}"
        if figure.fields[own.field] == "validation":
            best = int(y.argmin())
            told = f"lowest {y[best]:.4f} at {x[best]:,.0f} {unit}, {y[-1]:.4f} at the end"
        yield f"{canvas.marked(number)}  {own.name}: {told}"


def draw_picture(runs: Sequence[Run], what: str, against: str, path: Path) -> None:
    """Draw the same, one colour for each run; the suffix says how.

    Raises ``UsageError`` where there is nothing to draw, ``CharrnnError`` where the picture cannot
    be drawn or written.
    """
    figure, picture = FIGURES[what], canvas.new_figure()
    drawn = _drawn(runs, figure, against)
    axes = picture.add_subplot()
    for own in drawn:
        x, y = own.line
        validated = own.field == "validation_loss"
        look = {"marker": "o", "markersize": 3} if validated else {"linewidth": 1, "alpha": 0.6}
        axes.plot(x, 10**y if figure.logarithmic else y, color=f"C{own.run}", **look)
    axes.set(xlabel=ABSCISSAS[against], ylabel=figure.title)
    if figure.logarithmic:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    canvas.add_legend(axes, [own.name for own in drawn])
    canvas.save_figure(picture, path)
