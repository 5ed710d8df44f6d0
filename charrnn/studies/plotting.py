"""Curves of gradients: as a table, drawn with characters, and as a picture by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from charrnn.cells import CELLS
from charrnn.network.description import architecture
from charrnn.studies import canvas
from charrnn.studies.canvas import Line
from charrnn.studies.gradients import GROWTH, Curve
from charrnn.text.display import printable

_TABLE_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 150, 200)
_TABLE_MARGIN, _NORM = 15, 9  # characters of k and positions, and of a norm at least


def name_of(curve: Curve) -> str:
    """What a network is and where it comes from, on one line."""
    origin = "untrained" if curve.origin is None else printable(curve.origin)
    return f"{architecture(curve.model.config)}, {origin}"


def growth(curve: Curve) -> str:
    """In words, at which k the gradient explodes."""
    k = curve.explodes_at
    if k is None:
        return f"stays below {GROWTH} times its start within {curve.norms.size - 1} steps"
    if not np.isfinite(curve.norms[0]):
        return "is infinite from its start on"
    return f"passes {GROWTH} times its start at k = {k}"


def report(curves: Sequence[Curve], counts: np.ndarray) -> str:
    """Table, plot and legend as wide as the terminal; ``counts`` [K + 1] is of positions."""
    legend = [f"{mark}  {name_of(c)}: {growth(c)}" for mark, c in _marked(curves)]
    title, width = "mean norm of ∂loss_t/∂h_(t-k)\n", canvas.terminal_width()
    parts = title + table(curves, counts, width), plot(curves, width), "\n".join(legend)
    return canvas.for_locale("\n\n".join(parts))


def _marked(curves: Sequence[Curve]) -> list[tuple[str, Curve]]:
    return [(canvas.marked(n), curve) for n, curve in enumerate(curves)]


def table(curves: Sequence[Curve], counts: np.ndarray, columns: int) -> str:
    """A row for some k: the positions, and the norm of each curve below its name and its mark.

    Where so many ``columns`` have no room for all names, these are broken; where they have none for
    all norms, the table is in parts.
    """
    marked = _marked(curves)
    most = max(1, (columns - _TABLE_MARGIN) // (_NORM + 1))
    parts = -(-len(marked) // most)
    each = -(-len(marked) // parts)
    return "\n\n".join(
        _part(marked[first : first + each], counts, columns)
        for first in range(0, len(marked), each)
    )


def _part(marked: Sequence[tuple[str, Curve]], counts: np.ndarray, columns: int) -> str:
    last = counts.size - 1
    steps = [k for k in _TABLE_STEPS if k < last] + [last]
    names = [_short_name(curve) for _, curve in marked]
    room = (columns - _TABLE_MARGIN) // len(marked) - 1
    width = max(min(max(map(len, names)), room), _NORM)
    rows = [f"{'':{_TABLE_MARGIN}}{line}" for line in _headings(names, width)]
    rows.append("    k positions" + "".join(f" {mark:>{width}}" for mark, _ in marked))
    for k in steps:
        norms = "".join(f" {curve.norms[k]:>{width}.2e}" for _, curve in marked)
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


def plot(curves: Sequence[Curve], width: int) -> str:
    """The norms over k, drawn with characters, on a logarithmic scale; k = 0 is on the left.

    Zeros and what is infinite are left out.
    """
    lines = [Line(np.arange(curve.norms.size), _exponents(curve)) for curve in curves]
    drawable = np.concatenate([line.y[~np.isnan(line.y)] for line in lines])
    if not drawable.size:
        return "nothing to draw: no gradient is above zero and finite"
    return canvas.plot(lines, canvas.powers_of_ten(drawable), "k", width)


def _exponents(curve: Curve) -> np.ndarray:
    """Decimal logarithms of the norms; NaN where there is none."""
    drawable = (curve.norms > 0) & np.isfinite(curve.norms)
    return np.log10(curve.norms, out=np.full(drawable.size, np.nan), where=drawable)


#: What tells apart the lines of one cell, in the order of the curves.
_MARKERS = ("", "o", "s", "^", "D", "v", "P", "X")


def draw_picture(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves, one colour for each cell, untrained networks dashed; the suffix says how.

    Raises ``CharrnnError`` where the picture cannot be drawn or written.
    """
    figure = canvas.new_figure()
    axes = figure.add_subplot()
    looks: list[tuple[str, str]] = []
    for curve in curves:
        looks.append(_look(curve))
        color, style = looks[-1]
        marker = _MARKERS[(looks.count(looks[-1]) - 1) % len(_MARKERS)]
        axes.plot(_exponents(curve), style, color=color, marker=marker, markevery=0.1)
    axes.set(xlabel="k, steps back",
             ylabel=r"mean norm of $\partial\,$loss$_t$ / $\partial h_{t-k}$")  # fmt: skip
    # Matplotlib's own logarithmic axis fails near 1e308: its next tick would be infinite.
    axes.yaxis.set_major_formatter(lambda exponent, _: f"$10^{{{exponent:g}}}$")
    axes.grid(alpha=0.3)
    canvas.add_legend(axes, list(map(name_of, curves)))
    canvas.save_figure(figure, path)


def _look(curve: Curve) -> tuple[str, str]:
    """Colour and style of a line."""
    config = curve.model.config
    color = f"C{list(CELLS).index((config.cell, config.activation))}"
    return color, "--" if curve.origin is None else "-"
