"""The log of a run: the same records as JSON lines and as a table, cut where a run goes on."""

import csv
import json
import math

import pytest
from commands import QUICK, invoke
from trained import DINOSAURS

from charrnn.errors import CharrnnError
from charrnn.storage.log import opened_log, read_log

RECORDS = [
    {"step": 10, "loss": 1.5, "rate": 1e-05, "norm": math.nan, "told": None, "improved": True},
    {"step": 20, "loss": 0.25, "rate": 3.0, "norm": math.inf, "told": 7, "improved": False},
]
READ = [{**record, "norm": None} for record in RECORDS]


def _written(path, records=RECORDS, resumed_at=None):
    with opened_log(path, resumed_at) as log:
        for record in records:
            log.write(record)
    return path


@pytest.mark.parametrize("name", ["run.csv", "RUN.CSV", "run.jsonl", "run"])
def test_what_is_written_is_read(tmp_path, name):
    path = _written(tmp_path / name)
    found = read_log(path)
    assert found == READ
    assert [list(map(type, record.values())) for record in found] == [
        list(map(type, record.values())) for record in READ
    ]


def test_a_table_is_a_table_to_others(tmp_path):
    with _written(tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(RECORDS[0])
    assert rows[1:] == [["10", "1.5", "1e-05", "", "", "True"], ["20", "0.25", "3.0", "", "7",
                        "False"]]  # fmt: skip


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl"])
@pytest.mark.parametrize("more", ["", '{"step": 3', "30,1", "\0\n", "x\n", '"', "30,1\n"])
def test_it_is_cut_where_it_goes_on(tmp_path, name, more):
    """At the step, and at what is no record; the heading stays, and comes only once."""
    whole = _written(tmp_path / f"whole-{name}").read_text()
    path = _written(tmp_path / name, [*RECORDS, {**RECORDS[1], "step": 30}])
    path.write_text(path.read_text() + more)
    _written(path, [], resumed_at=20)
    assert path.read_text() == whole
    _written(path, [{**RECORDS[1], "step": 40}], resumed_at=20)
    assert [record["step"] for record in read_log(path)] == [10, 20, 40]
    _written(path, RECORDS, resumed_at=5)
    assert path.read_text() == whole


def test_a_run_goes_on_with_either(tmp_path):
    """The two have the same records, of a run that was made in two parts."""
    found = []
    for name in ("a.jsonl", "a.csv"):
        options = ("--model", tmp_path / f"{name}.st", "--log", tmp_path / name)
        assert invoke("train", DINOSAURS, "--lines", *options, *QUICK).exit_code == 0
        again = invoke("train", DINOSAURS, *options, "--resume", "--steps", 40)
        assert again.exit_code == 0, again.stderr
        found.append(read_log(tmp_path / name))
    timed = ("seconds", "characters_per_second")
    same = [[{n: v for n, v in r.items() if n not in timed} for r in log] for log in found]
    assert same[0] == same[1] and same[0][-1]["step"] == 40
    assert list(found[0][0]) == list(found[1][0]) == (tmp_path / "a.csv").read_text().split(
        "\n")[0].split(",")  # fmt: skip


@pytest.mark.parametrize("text", ["", "x", "[1]\n", '{"step": "a"}\n', '{"step": 1}', "[" * 9999])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_what_is_no_log_is_said(tmp_path, name, text):
    (tmp_path / name).write_text(text + "\n" * text.startswith("[["))
    with pytest.raises(CharrnnError, match="no log of a run"):
        read_log(tmp_path / name)


def test_a_whole_log_is_json(tmp_path):
    lines = _written(tmp_path / "a").read_text().splitlines()
    assert [json.loads(line) for line in lines] == READ
