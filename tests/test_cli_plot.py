"""``charrnn plot``: curves of runs on the terminal and as pictures."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest
from commands import assert_one_line_error, invoke

from charrnn.errors import UsageError
from charrnn.storage.log import opened_log
from charrnn.studies import canvas
from charrnn.studies.runs import FIGURES, Run, report


def _record(step, **more):
    return {"step": step, "characters": 100 * step, "epoch": step / 50, "seconds": step / 4,
            "loss": 3 - step / 50, "learning_rate": 0.01, "gradient_norm": 10.0 ** -(step // 50),
            "characters_per_second": 400.0, "validation_loss": None, **more}  # fmt: skip


@pytest.fixture
def logs(tmp_path):
    """Two runs, one as JSON lines and one as a table; the second is validated."""
    paths = tmp_path / "run.jsonl", tmp_path / "o$ther.csv"
    for path in paths:
        with opened_log(path, None) as log:
            for step in range(10, 101, 10):
                told = 2 + (step - 60) ** 2 / 2000 if path.suffix == ".csv" else None
                log.write(_record(step, validation_loss=told))
    return paths


def test_all_runs_are_drawn_with_what_came_of_them(logs):
    done = invoke("plot", *logs)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    legend = [line.split("  ", 1) for line in lines[-3:]]
    assert [mark for mark, _ in legend] == ["o", "x", "+"]
    names = [text.replace(f"{logs[0].parent}/", "") for _, text in legend]
    assert names == [
        "run.jsonl, training: 1 at the end, 100 steps",
        "o$ther.csv, training: 1 at the end, 100 steps",
        "o$ther.csv, validation: lowest 2.0000 at 60 steps, 2.8000 at the end",
    ]
    assert lines[0] == "loss, nats"
    drawn = "".join(lines[1:-5])
    assert all(mark in drawn for mark in "ox+")


def test_validation_alone_can_be_drawn(logs):
    done = invoke("plot", *logs, "--figure", "validation", "--against", "epoch")
    first, *_, legend = done.stdout.splitlines()
    assert first == "validation loss, nats" and legend.startswith("o  ")
    assert "o$ther.csv, validation: lowest 2.0000 at " in legend


@pytest.mark.parametrize("figure", [name for name in FIGURES if name != "validation"])
@pytest.mark.parametrize("against", ["step", "seconds", "epoch", "characters"])
def test_everything_can_be_drawn_against_everything(logs, figure, against):
    done = invoke("plot", logs[0], "--figure", figure, "--against", against)
    assert done.exit_code == 0, done.stderr
    end = _record(100)[against]
    assert f"at the end, {end:,.0f} " in done.stdout.splitlines()[-1]


def test_points_are_where_they_belong():
    """A straight line goes from one corner to the other; the norm on a scale of powers."""
    run = Run("a", [{"step": n, "loss": 2.0 - n / 50, "gradient_norm": 10.0**-n} for n in range(9)])
    _, y = run.line("gradient_norm", "step", logarithmic=True)
    np.testing.assert_allclose(y, -np.arange(9.0))
    rows = report([run], "norm", "step").splitlines()[1 : canvas.HEIGHT + 1]
    places = sorted((row.index("o", 8), n) for n, row in enumerate(rows) if "o" in row[8:])
    assert places[0] == (8, 0) and places[-1][1] == canvas.HEIGHT - 1
    assert [n for _, n in places] == sorted(n for _, n in places)
    assert rows[0].startswith(" 1e+00┤") and rows[-1].startswith(" 1e-08┤")


@pytest.mark.parametrize(
    ("values", "bottom", "top", "labels"),
    [
        ([1.31, 3.7], 1.0, 4.0, ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"]),
        ([2.0, 2.0], 2.0, 2.5, ["2.0", "2.5"]),
        ([0.0, 0.0], 0.0, 0.2, ["0.0", "0.2"]),
        ([30_000, 54_000], 30_000, 55_000, ["30000", "35000", "40000", "45000", "50000", "55000"]),
    ],
)
def test_scales_go_from_one_round_number_to_another(values, bottom, top, labels):
    scale = canvas.round_numbers(np.array(values))
    assert (scale.bottom, scale.top) == pytest.approx((bottom, top))
    assert list(scale.labels.values()) == labels


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    records = [{"step": 1, "loss": "x"}, {"step": 2, "loss": 2}, {"step": 3, "loss": None}, {}]
    assert Run("a", records).line("loss", "step").x.tolist() == [2]
    with pytest.raises(UsageError, match="nothing to draw"):
        report([Run("a", [{"step": 1, "loss": [1]}])], "loss", "step")


@pytest.mark.parametrize("name", ["a.svg", "a.png", "a.pdf"])
def test_pictures_are_drawn(logs, tmp_path, name):
    done = invoke("plot", *logs, "--output", tmp_path / name, "--figure", "loss")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    if name == "a.svg":
        xml.etree.ElementTree.parse(tmp_path / name)
        comments = (tmp_path / name).read_text()
        assert all(f"{log.name}, training" in comments for log in logs)
    assert (tmp_path / name).stat().st_size > 1000


def test_errors_are_one_line(logs, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text(json.dumps([1]))
    for arguments, code, words in (
        ([wrong], 1, "no log of a run"),
        ([tmp_path / "none"], 1, "cannot read the log"),
        ([tmp_path], 1, "cannot read the log"),
        ([logs[0], "--output", "a.jpg"], 2, ".svg, .png, .pdf"),
    ):
        done = invoke("plot", *arguments)
        assert_one_line_error(done, code, words)
    before = logs[1].read_bytes()
    assert_one_line_error(invoke("plot", *logs, "--output", logs[1]), 2, "same file")
    assert logs[1].read_bytes() == before
