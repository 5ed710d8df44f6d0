"""Curves of gradients: as a table, drawn with characters, and as a picture by matplotlib."""

from __future__ import annotations

import io
import locale
import math
import shutil
import string
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.cells import CELLS
from charrnn.errors import CharrnnError, UsageError
from charrnn.network.description import architecture
from charrnn.storage.checkpoint import write_atomically
from charrnn.storage.files import check_output
from charrnn.studies.gradients import GROWTH, Curve
from charrnn.text.display import printable

#: One for each curve, in the table, in the plot and in the legend.
_MARKS = "ox+*#@%&" + string.ascii_uppercase
_TABLE_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 150, 200)
_TABLE_MARGIN, _NORM = 15, 9  # characters of k and positions, and of a norm at least

PICTURES = (".svg", ".png", ".pdf")

#: What stands for the characters that plain ASCII lacks.
_ASCII = str.maketrans("│┤─┬└∂×", "|+-++dx")


def name_of(curve: Curve) -> str:
    """What a network is and where it comes from, on one line."""
    origin = "untrained" if curve.origin is None else printable(curve.origin)
    return f"{architecture(curve.model.config)}, {origin}"


def growth(curve: Curve) -> str:
    """In words, at which k the gradient explodes."""
    k = curve.explodes_at
    if k is None:
        return f"does not pass {GROWTH} times its start within {curve.norms.size - 1} steps"
    if not np.isfinite(curve.norms[0]):
        return "is infinite from its start on"
    return f"passes {GROWTH} times its start at k = {k}"


def report(curves: Sequence[Curve], counts: np.ndarray) -> str:
    """Table, plot and legend as wide as the terminal; ``counts`` [K + 1] is of positions."""
    legend = [f"{mark}  {name_of(c)}: {growth(c)}" for mark, c in _marked(curves)]
    title = "mean norm of ∂loss_t/∂h_(t-k)\n"
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    parts = title + table(curves, counts, width), plot(curves, width), "\n".join(legend)
    text = "\n\n".join(parts)
    try:
        text.encode(locale.getpreferredencoding(False))
    except UnicodeEncodeError:
        return text.translate(_ASCII)
    return text


def _marked(curves: Sequence[Curve]) -> list[tuple[str, Curve]]:
    return [(_MARKS[n % len(_MARKS)], curve) for n, curve in enumerate(curves)]


def table(curves: Sequence[Curve], counts: np.ndarray, columns: int) -> str:
    """A row for some k: the positions, and the norm of each curve below its name and its mark.

    Names are broken where that many ``columns`` have no room for them.
    """
    last = counts.size - 1
    steps = [k for k in _TABLE_STEPS if k < last] + [last]
    names = [_short_name(curve) for curve in curves]
    room = (columns - _TABLE_MARGIN) // len(curves) - 1
    width = max(min(max(map(len, names)), room), _NORM)
    rows = [f"{'':{_TABLE_MARGIN}}{line}" for line in _headings(names, width)]
    rows.append("    k positions" + "".join(f" {mark:>{width}}" for mark, _ in _marked(curves)))
    for k in steps:
        norms = "".join(f" {curve.norms[k]:>{width}.2e}" for curve in curves)
        rows.append(f"{k:>5} {counts[k]:>9,}{norms}")
    return "\n".join(rows)


def _short_name(curve: Curve) -> str:
    """What stands above a column: the model's file, or the cell of a network without one."""
    if curve.origin is None:
        return f"{curve.model.config.cell} untrained"
    return printable(Path(curve.origin).name.removesuffix(".safetensors"))


def _headings(names: Sequence[str], width: int) -> list[str]:
    """Lines with the names side by side, each broken into pieces of ``width``, ends level."""
    pieces = [textwrap.wrap(name, width) for name in names]
    height = max(map(len, pieces))
    levelled = [[""] * (height - len(lines)) + lines for lines in pieces]
    rows = zip(*levelled, strict=True)
    return ["".join(f" {part:>{width}}" for part in row).rstrip() for row in rows]


_HEIGHT = 18  # rows of a plot, without the axis below and its labels
_WIDEST = 100  # columns
_MARGIN = 8  # columns left of it


def plot(curves: Sequence[Curve], width: int) -> str:
    """The norms over k, drawn with characters, on a logarithmic scale; k = 0 is on the left.

    Zeros and what is infinite are left out.
    """
    values = np.array([curve.norms for curve in curves])
    drawable = values[(values > 0) & np.isfinite(values)]
    if not drawable.size:
        return "nothing to draw: no gradient is above zero and finite"
    bottom = math.floor(np.log10(drawable.min()))
    top = max(math.ceil(np.log10(drawable.max())), bottom + 1)
    columns = max(width - _MARGIN - 3, 10)  # a label sticks out on the right
    canvas = _canvas(curves, columns, bottom, top)
    labels = _row_labels(bottom, top)
    rows = [f"{label} {''.join(row).rstrip()}" for label, row in zip(labels, canvas, strict=True)]
    return "\n".join([*rows, *_axis(values.shape[1] - 1, columns)])


def _canvas(curves: Sequence[Curve], columns: int, bottom: int, top: int) -> list[list[str]]:
    """The marks [_HEIGHT][columns]; where curves meet they take turns, column by column."""
    canvas = [[" "] * columns for _ in range(_HEIGHT)]
    for number, (mark, curve) in enumerate(_marked(curves)):
        for k, norm in enumerate(curve.norms):
            if not 0 < norm < math.inf:
                continue
            column = _column(k, curve.norms.size - 1, columns)
            row = canvas[_row(math.log10(norm), bottom, top)]
            if row[column] == " " or column % len(curves) == number:
                row[column] = mark
    return canvas


def _column(k: int, last: int, columns: int) -> int:
    return round(k * (columns - 1) / max(last, 1))


def _row(exponent: float, bottom: int, top: int) -> int:
    return round((top - exponent) / (top - bottom) * (_HEIGHT - 1))


def _row_labels(bottom: int, top: int) -> list[str]:
    """The vertical axis: powers of ten, at most every third row."""
    labels = [" " * (_MARGIN - 2) + "│"] * _HEIGHT
    every = math.ceil(3 * (top - bottom) / (_HEIGHT - 1))
    for exponent in range(top - top % every, bottom - 1, -every):
        labels[_row(exponent, bottom, top)] = f"{f'1e{exponent:+03d}':>{_MARGIN - 2}}┤"
    return labels


def _axis(last: int, columns: int) -> list[str]:
    """The horizontal axis and its labels, at round numbers."""
    line, labels = ["─"] * columns, [" "] * (columns + _MARGIN)
    for k in range(0, last + 1, _round_step(last)):
        column = _column(k, last, columns)
        line[column] = "┬"
        start = max(column - len(str(k)) // 2, 0) + _MARGIN
        labels[start : start + len(str(k))] = str(k)
    labels[_MARGIN - 2] = "k"
    return [" " * (_MARGIN - 2) + "└─" + "".join(line), "".join(labels)]


def _round_step(last: int) -> int:
    """1, 2 or 5 times a power of ten, so that at most six labels reach ``last``."""
    power = 10 ** max(len(str(last // 5)) - 1, 0)
    return next(n * power for n in (1, 2, 5, 10) if n * power * 5 >= last)


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


#: What tells apart the lines of one cell, in the order of the curves.
_MARKERS = ("", "o", "s", "^", "D", "v", "P", "X")


def draw_picture(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves, one colour for each cell, untrained networks dashed; the suffix says how.

    Raises ``CharrnnError`` where the picture cannot be drawn or written.
    """
    figure = _figure_class()(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    looks: list[tuple[str, str]] = []
    for curve in curves:
        looks.append(_look(curve))
        color, style = looks[-1]
        marker = _MARKERS[(looks.count(looks[-1]) - 1) % len(_MARKERS)]
        drawable = (curve.norms > 0) & np.isfinite(curve.norms)
        exponents = np.log10(curve.norms, out=np.full(drawable.size, np.nan), where=drawable)
        axes.plot(exponents, style, color=color, marker=marker, markevery=0.1)
    axes.set(xlabel="k, steps back",
             ylabel=r"mean norm of $\partial\,$loss$_t$ / $\partial h_{t-k}$")  # fmt: skip
    # Matplotlib's own logarithmic axis fails near 1e308: its next tick would be infinite.
    axes.yaxis.set_major_formatter(lambda exponent, _: f"$10^{{{exponent:g}}}$")
    axes.grid(alpha=0.3)
    for text in axes.legend(axes.get_lines(), list(map(name_of, curves))).get_texts():
        text.set_parse_math(False)  # a file may have $ in its name
    rendered = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # characters that the font lacks
        figure.savefig(rendered, format=path.suffix[1:].lower())
    write_atomically(path, rendered.getvalue())


def _look(curve: Curve) -> tuple[str, str]:
    """Colour and style of a line."""
    config = curve.model.config
    color = f"C{list(CELLS).index((config.cell, config.activation))}"
    return color, "--" if curve.origin is None else "-"
