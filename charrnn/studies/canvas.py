"""Lines drawn with characters on a terminal, and the file that a picture of them becomes."""

from __future__ import annotations

import io
import locale
import math
import shutil
import string
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.errors import CharrnnError, UsageError
from charrnn.storage.files import check_output, write_atomically

#: One for each line, in the plot and in its legend.
MARKS = "ox+*#@%&" + string.ascii_uppercase

PICTURES = (".svg", ".png", ".pdf")

#: What stands for the characters that plain ASCII lacks.
_ASCII = str.maketrans("│┤─┬└∂×", "|+-++dx")

HEIGHT = 18  # rows of a plot, without the axis below and its labels
_WIDEST = 100  # columns
_MARGIN = 8  # columns left of it


class Line(NamedTuple):
    """Points to be drawn; those that are not finite are left out."""

    x: np.ndarray  # [n], from 0 up
    y: np.ndarray  # [n]


class Scale(NamedTuple):
    """What the height of a plot means."""

    bottom: float
    top: float
    labels: dict[float, str]  # of heights between them

    def row(self, height: float) -> int:
        """The row of a height, from the top."""
        return round((self.top - height) / (self.top - self.bottom) * (HEIGHT - 1))


def marked(number: int) -> str:
    """The mark of the line with a number."""
    return MARKS[number % len(MARKS)]


def powers_of_ten(exponents: np.ndarray) -> Scale:
    """A scale for decimal logarithms: whole powers, labelled at most every third row."""
    bottom = math.floor(exponents.min())
    top = max(math.ceil(exponents.max()), bottom + 1)
    every = math.ceil(3 * (top - bottom) / (HEIGHT - 1))
    marks = range(top - top % every, bottom - 1, -every)
    return Scale(bottom, top, {exponent: f"1e{exponent:+03d}" for exponent in marks})


def round_numbers(values: np.ndarray) -> Scale:
    """A scale from one round number to another, labelled at those between them."""
    low, high = float(values.min()), float(values.max())
    step = round_step((high - low) or abs(high) or 1.0)
    bottom, top = math.floor(low / step), math.ceil(high / step)
    top = max(top, bottom + 1)
    digits = max(0, -math.floor(math.log10(step)))
    marks = (number * step for number in range(bottom, top + 1))
    return Scale(bottom * step, top * step, {at: f"{at:.{digits}f}" for at in marks})


def round_step(extent: float) -> float:
    """1, 2 or 5 times a power of ten, so that at most six labels cover an extent."""
    power = 10.0 ** math.floor(math.log10(extent / 5))
    return next(n * power for n in (1, 2, 5, 10) if n * power * 5 >= extent * (1 - 1e-9))


def plot(lines: Sequence[Line], scale: Scale, name: str, width: int) -> str:
    """The lines as wide as that; ``name`` is that of the horizontal axis, which begins at 0."""
    columns = max(width - _MARGIN - 3, 10)  # a label sticks out on the right
    last = max(float(line.x.max(initial=0)) for line in lines)
    canvas = _canvas(lines, scale, columns, last)
    rows = zip(_row_labels(scale), canvas, strict=True)
    drawn = [f"{label} {''.join(row).rstrip()}" for label, row in rows]
    return "\n".join([*drawn, *_axis(last, columns, name)])


def _canvas(lines: Sequence[Line], scale: Scale, columns: int, last: float) -> list[list[str]]:
    """The marks [HEIGHT][columns]; where lines meet they take turns, column by column."""
    canvas = [[" "] * columns for _ in range(HEIGHT)]
    for number, line in enumerate(lines):
        for x, y in zip(line.x.tolist(), line.y.tolist(), strict=True):
            if not math.isfinite(y):
                continue
            column, row = _column(x, last, columns), canvas[scale.row(y)]
            if row[column] == " " or column % len(lines) == number:
                row[column] = marked(number)
    return canvas


def _column(x: float, last: float, columns: int) -> int:
    return round(x * (columns - 1) / (last or 1))


def _row_labels(scale: Scale) -> list[str]:
    labels = [" " * (_MARGIN - 2) + "│"] * HEIGHT
    for height, label in scale.labels.items():
        labels[scale.row(height)] = f"{label:>{_MARGIN - 2}}┤"
    return labels


def _axis(last: float, columns: int, name: str) -> list[str]:
    """The horizontal axis and its labels, at round numbers."""
    line, labels = ["─"] * columns, [" "] * (columns + _MARGIN)
    step = max(round(round_step(last or 1)), 1)
    for number in range(0, int(last) + 1, step):
        column = _column(number, last, columns)
        line[column] = "┬"
        start = max(column - len(str(number)) // 2, 0) + _MARGIN
        labels[start : start + len(str(number))] = str(number)
    labels[_MARGIN - 1 - len(name) : _MARGIN - 1] = name
    return [" " * (_MARGIN - 2) + "└─" + "".join(line), "".join(labels)]


def terminal_width() -> int:
    """Columns that a plot takes."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def for_locale(text: str) -> str:
    """The text, in plain ASCII where the locale has nothing else."""
    try:
        text.encode(locale.getpreferredencoding(False))
    except UnicodeEncodeError:
        return text.translate(_ASCII)
    return text


def check_picture(path: Path) -> None:
    """Say before anything is measured that a picture could not be drawn.

    Raises ``UsageError`` for a suffix that is none of ``PICTURES``, ``CharrnnError`` where no file
    can be written there or matplotlib is not installed.
    """
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"cannot draw {path}: give a name that ends in {', '.join(PICTURES)}")
    check_output(path)
    _figure_class()


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CharrnnError(
            "pictures need matplotlib: install it with pip install 'charrnn[plot]'"
        ) from error
    return Figure


def new_figure() -> Any:
    """A figure of matplotlib, of a size that a page takes."""
    return _figure_class()(figsize=(8, 5), layout="constrained")


def add_legend(axes: Any, names: Sequence[str]) -> None:
    """Name the lines that were drawn, in their order."""
    for text in axes.legend(axes.get_lines(), names).get_texts():
        text.set_parse_math(False)  # a file may have $ in its name


def save_figure(figure: Any, path: Path) -> None:
    """Write a picture; the suffix says how. Raises ``CharrnnError`` where that fails."""
    rendered = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # characters that the font lacks
        figure.savefig(rendered, format=path.suffix[1:].lower())
    write_atomically(path, rendered.getvalue())
