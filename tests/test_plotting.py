"""Curves of gradients as a table, drawn with characters, and as pictures."""

import locale
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from subprocesses import python
from trained import with_biases

from charrnn.cells import CELLS
from charrnn.errors import CharrnnError, UsageError
from charrnn.studies import canvas
from charrnn.studies.canvas import check_picture
from charrnn.studies.gradients import Curve
from charrnn.studies.plotting import draw_picture, name_of, plot, report, table

CELL, OTHER = list(CELLS)[:2]


def _curve(norms, origin=None, cell=CELL) -> Curve:
    saved = with_biases("ab", cell=cell[0], activation=cell[1])
    return Curve(saved, origin, np.array(norms, np.float64))


def _decay(steps, decades_a_step=0.1, start=1.0):
    return start * 10.0 ** (-decades_a_step * np.arange(steps + 1))


def _counts(steps):
    return np.arange(steps + 1, 0, -1)


# The table


def test_the_table_has_the_norms_of_each_curve():
    curves = [_curve(_decay(200, 0.01, 2)), _curve(np.full(201, 5.0))]
    lines = table(curves, _counts(200), 80).splitlines()
    assert lines[0].split() == [CELL[0], "untrained"] * 2
    assert lines[1].split() == ["k", "positions", "o", "x"]
    assert [int(line.split()[0]) for line in lines[2:]] == [0, 1, 2, 5, 10, 20, 50, 100, 150, 200]
    assert lines[9].split() == ["100", "101", "2.00e-01", "5.00e+00"]


def test_columns_are_named_by_files():
    """Two models of one cell are told apart, whatever folder they are in and at any width."""
    files = ("runs/short.safetensors", "/tmp/a-long-name-for-a-model.bin", "a\nb.safetensors")
    curves = [_curve(_decay(3), file) for file in files]
    wide, narrow = (table(curves, _counts(3), columns).splitlines() for columns in (120, 46))
    assert wide[0].split() == ["short", "a-long-name-for-a-model.bin", r"a\nb"]
    assert narrow[-1].split() == wide[-1].split()
    *names, marks = narrow[:-4]
    assert len(names) > 1 and names[-1].startswith(" " * 15 + "     short ")
    assert "".join(line[25:35].strip() for line in names) == "a-long-name-for-a-model.bin"
    assert [marks.rindex(mark) for mark in "ox+"] == [24, 34, 44]


def test_the_table_fits_where_names_are_long():
    curves = [_curve(_decay(3), "x" * 200)] * 3
    for columns in (80, 100):
        assert max(map(len, table(curves, _counts(3), columns).splitlines())) <= columns


@pytest.mark.parametrize(
    ("last", "rows"), [(0, [0]), (1, [0, 1]), (7, [0, 1, 2, 5, 7]), (300, [0, 200, 300])]
)
def test_the_last_step_is_always_in_the_table(last, rows):
    lines = table([_curve(_decay(last))], _counts(last), 80).splitlines()[2:]
    found = [int(line.split()[0]) for line in lines]
    assert set(rows) <= set(found) and found[-1] == last


# The plot


def _marks(text, mark):
    """Columns and rows of a mark, the plot's upper left corner being 0, 0."""
    lines = [line[8:] for line in text.splitlines()[: canvas.HEIGHT]]
    return [(c, r) for r, line in enumerate(lines) for c, found in enumerate(line) if found == mark]


@pytest.mark.parametrize("steps", [1, 9, 50, 200, 3000])
def test_an_exponential_decay_is_a_straight_line(steps):
    drawn = plot([_curve(_decay(steps, 6 / steps))], 80)
    columns, rows = np.array(_marks(drawn, "o")).T
    assert (columns.min(), rows.min()) == (0, 0)
    assert (columns.max(), rows.max()) == (80 - 12, canvas.HEIGHT - 1)
    if steps > 1:
        np.testing.assert_allclose(rows, columns * rows.max() / columns.max(), atol=0.75)
    assert drawn.splitlines()[0].startswith(" 1e+00┤")
    assert any(line.startswith(" 1e-06┤") for line in drawn.splitlines())


@pytest.mark.parametrize("width", [1, 40, 80, 100])
@pytest.mark.parametrize("steps", [0, 3, 200])
def test_no_line_is_wider_than_the_terminal(width, steps):
    drawn = plot([_curve(_decay(steps, 0.3))], width)
    assert max(map(len, drawn.splitlines())) <= max(width, 24)


def test_round_numbers_stand_below_their_columns():
    *_, axis, labels = plot([_curve(_decay(200))], 80).splitlines()
    assert labels.split() == ["k", "0", "50", "100", "150", "200"]
    ticks = [place for place, character in enumerate(axis) if character == "┬"]
    assert [labels[tick] for tick in ticks] == ["0", "0", "0", "5", "0"]
    assert labels[ticks[2] - 1 : ticks[2] + 2] == "100"


@pytest.mark.parametrize(("last", "step"), [(4, 1), (7, 2), (24, 5), (200, 50), (999, 200)])
def test_steps_of_labels_are_round(last, step):
    assert canvas.round_step(last) == step


def test_what_is_zero_or_infinite_is_left_out():
    drawn = plot([_curve([1, 0, np.inf, 1e-3, 1e-320])], 48)
    assert len(_marks(drawn, "o")) == 3
    assert "nothing to draw" in plot([_curve([0, np.inf])], 80)


def test_curves_that_meet_take_turns():
    same = [_curve(_decay(100)), _curve(_decay(100)), _curve(_decay(100))]
    columns = [{c for c, _ in _marks(plot(same, 80), mark)} for mark in "ox+"]
    assert all(len(found) > 15 for found in columns)
    assert set.union(*columns) == set(range(80 - 11))


# The report


def test_every_curve_is_in_the_legend():
    curves = [
        _curve([1, 2], "m.safetensors"),
        _curve([1, 2000], cell=OTHER),
        _curve([np.inf, np.inf]),
    ]
    lines = report(curves, _counts(1)).splitlines()[-3:]
    names = [f"{CELL[0]} 1×3, m.safetensors", f"{OTHER[0]} 1×3, untrained"]
    assert lines[0] == f"o  {names[0]}: stays below 1000 times its start within 1 steps"
    assert lines[1] == f"x  {names[1]}: passes 1000 times its start at k = 1"
    assert lines[2].startswith("+  ") and "infinite" in lines[2]


@pytest.mark.parametrize(("columns", "expected"), [("60", 60), ("100", 100), ("250", 100)])
def test_the_plot_is_as_wide_as_the_terminal_up_to_a_limit(monkeypatch, columns, expected):
    monkeypatch.setenv("COLUMNS", columns)
    lines = report([_curve(_decay(200))], _counts(200)).splitlines()
    axis = next(line for line in lines if "└" in line)
    assert expected - 4 <= len(axis) <= expected


def test_plain_ascii_where_the_locale_has_no_more(monkeypatch):
    arguments = [_curve(_decay(200))], _counts(200)
    beautiful = report(*arguments)
    assert not beautiful.isascii()
    monkeypatch.setattr(locale, "getpreferredencoding", lambda _: "ascii")
    plain = report(*arguments)
    assert plain.isascii()
    assert list(map(len, plain.splitlines())) == list(map(len, beautiful.splitlines()))


def test_a_file_name_cannot_break_the_report():
    assert name_of(_curve([1], "a\nb\x1b")).endswith(r"a\nb\x1b")


def test_more_curves_than_marks():
    curves = [_curve(_decay(3))] * 50
    assert len(report(curves, _counts(3)).splitlines()[-50:]) == 50


# Pictures


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, as they are drawn."""
    figures = []

    def create(*arguments, **options):
        figures.append(real(*arguments, **options))
        return figures[-1]

    real = canvas._figure_class()
    monkeypatch.setattr(canvas, "_figure_class", lambda: create)
    return figures


BEGINNINGS = {".svg": b"<?xml", ".png": b"\x89PNG", ".PDF": b"%PDF"}


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_the_suffix_says_what_is_drawn(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    check_picture(path)
    assert not path.exists()
    draw_picture([_curve(_decay(200), "_$a$b\ud83d.safetensors")], path)
    assert path.read_bytes().startswith(BEGINNINGS[suffix])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_cells_are_told_by_colour_and_training_by_dashes(tmp_path, drawn):
    curves = [
        _curve(_decay(9), "a"),
        _curve([1] * 10),
        _curve([2] * 10, "_$b$", OTHER),
        _curve([3] * 10, "c"),
    ]
    draw_picture(curves, tmp_path / "a.svg")
    (axes,) = drawn[0].axes
    a, untrained, other, c = axes.get_lines()
    assert a.get_color() == untrained.get_color() == c.get_color() != other.get_color()
    assert [line.get_linestyle() for line in axes.get_lines()] == ["-", "--", "-", "-"]
    assert a.get_marker() != c.get_marker()
    np.testing.assert_allclose(a.get_ydata(), np.linspace(0, -0.9, 10), atol=1e-15)
    assert axes.yaxis.get_major_formatter()(-0.5, 0) == "$10^{-0.5}$"
    assert axes.get_xlabel() and axes.get_ylabel()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [name_of(curve) for curve in curves]
    xml.etree.ElementTree.parse(tmp_path / "a.svg")


@pytest.mark.parametrize(
    "norms",
    [[0, 0], [np.inf, np.inf], [1, 0, np.inf], [1e-300, 1e300], [1, 1.7e308], [1, 5e-324], [1]],
)
def test_any_numbers_make_a_picture(tmp_path, drawn, norms, recwarn):
    draw_picture([_curve(norms)], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert not recwarn.list
    low, high = drawn[0].axes[0].get_ylim()
    assert all(low <= np.log10(norm) <= high for norm in norms if 0 < norm < np.inf)


def test_a_picture_cannot_be_written(tmp_path):
    with pytest.raises(CharrnnError, match="existing folder"):
        check_picture(tmp_path / "none" / "a.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(CharrnnError, match="existing folder"):
        check_picture(tmp_path / "folder.svg")


@pytest.mark.parametrize("name", ["a", "a.jpg", "a.svg.gz", ".svg"])
def test_other_suffixes_are_wrong_usage(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf"):
        check_picture(tmp_path / name)


def test_matplotlib_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(CharrnnError, match=r"pip install 'charrnn\[plot\]'"):
        check_picture(tmp_path / "a.svg")


def test_matplotlib_is_imported_for_pictures_only(tmp_path):
    script = f"""
import sys, numpy
from trained import with_biases
from charrnn.studies import gradients
from charrnn.studies import plotting
curve = gradients.Curve(with_biases("ab"), None, numpy.ones(5))
plotting.report([curve], numpy.ones(5, int))
print("matplotlib" in sys.modules)
plotting.draw_picture([curve], plotting.Path({str(tmp_path / "a.svg")!r}))
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    assert python("-c", script).split() == ["False", "True", "False"]
