"""``charrnn gradients``: what it measures, prints and draws, and what it refuses."""

import dataclasses
import json
import os

import pytest
from commands import BLOCK, assert_one_line_error, execute, execute_code, invoke, on_terminal
from trained import DINOSAURS, FABLES, dinosaurs, fables, with_biases

from charrnn.cells import CELL_NAMES, is_bound_to_vocabulary
from charrnn.storage.checkpoint import save_model

SMALL = ("--layers", 1, "--hidden-size", 8, "--positions", 20, "--steps-back", 30)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the models "fables", "names" and "even", and some text."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "fables", fables())
    save_model(folder / "names", dinosaurs())
    save_model(folder / "even", with_biases("ab\n"))
    (folder / "text").write_bytes(FABLES.read_bytes()[:3000])
    return folder


def _figures(*arguments, stderr="", **options):
    done = invoke("gradients", "--json", *arguments, **options)
    assert (done.exit_code, done.stderr) == (0, stderr)
    return json.loads(done.stdout)


def test_json_has_every_step_of_every_network(models):
    arguments = ["--model", models / "fables", "--cell", "gru", *SMALL, models / "text"]
    done = execute("gradients", "--json", *arguments)
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1)
    found = json.loads(done.stdout)
    assert (found["steps_back"], found["positions"]) == (30, [20] * 31)
    trained, new = found["curves"]
    assert [trained["model"], new["model"]] == [str(models / "fables"), None]
    assert [c["cell"] for c in found["curves"]] == ["lstm", "gru"]
    assert [c["hidden_size"] for c in found["curves"]] == [32, 8]
    for curve in found["curves"]:
        assert len(curve["norms"]) == len(curve["relative"]) == 31
        assert curve["relative"][7] == pytest.approx(curve["norms"][7] / curve["norms"][0])
        assert curve["explodes_at"] is None


@pytest.mark.cells
def test_people_get_a_table_a_plot_and_a_legend(models):
    names = [name for name in CELL_NAMES if not is_bound_to_vocabulary(name)]
    arguments = [*SMALL, *(a for name in names for a in ("--cell", name)), models / "text"]
    done = invoke("gradients", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    curves = _figures(*arguments)["curves"]
    rows = [line.split() for line in lines if line.split()[:2] == ["10", "20"]]
    told = [norm for row in rows for norm in row[2:]]
    assert len(rows) > 1 and told == [f"{c['norms'][10]:.2e}" for c in curves]
    assert any("┤" in line for line in lines) and max(map(len, lines)) <= 100
    legend = lines[-len(names) :]
    for line, name in zip(legend, names, strict=True):
        assert f"  {name} 1×8, " in line and ", untrained: " in line
        assert line.endswith(("within 30 steps", tuple("0123456789")))


def test_two_models_of_a_cell_are_told_apart(models):
    networks = ["--model", models / "fables", "--model", models / "names", "--cell", "lstm"]
    done = invoke("gradients", *networks, *SMALL, models / "text")
    heading = done.stdout.splitlines()[1]
    assert heading.split() == ["fables", "names", "lstm", "untrained"]


@pytest.mark.parametrize(
    "given",
    [["--cells", "gru,elman"], ["--cell", "gru", "--cells", "elman"], ["--cell", "gru, elman"]],
    ids=" ".join,
)
def test_cells_are_named_with_commas_or_one_by_one(models, given):
    arguments = ["--layers", 1, "--hidden-size", 8, "--positions", 3, "--steps-back", 3]
    curves = _figures(*given, *arguments, models / "text")["curves"]
    assert [curve["cell"] for curve in curves] == ["gru", "elman"]


def test_untrained_networks_vanish_and_scaled_ones_explode(models):
    """The plain cell's vanish faster than the LSTM's; with three times the weights they explode."""
    shape = ("--hidden-size", 32, "--layers", 1, "--positions", 20)
    plain, gated = _figures("--cell", "elman", "--cell", "lstm", *shape, FABLES)["curves"]
    assert len(plain["norms"]) == 201
    assert plain["relative"][100] < 1e-3 * gated["relative"][100] < 1e-6
    arguments = ["--cell", "elman", "--activation", "relu", *shape, "--scale", 3, FABLES]
    (curve,) = _figures(*arguments)["curves"]
    k = curve["explodes_at"]
    assert 3 < k < 50 and curve["relative"][k] > 1000 >= max(curve["relative"][:k])
    done = invoke("gradients", *arguments)
    assert done.stdout.endswith(f"passes 1000 times its start at k = {k}\n")


def test_the_seed_is_that_of_untrained_networks(models):
    arguments = ["--cell", "elman", "--cell", "elman", *SMALL, models / "text"]
    one, same = _figures(*arguments)["curves"]
    other, _ = _figures(*arguments, "--seed", 2)["curves"]
    assert one == same != other


def test_without_a_network_it_is_the_default_model(models, monkeypatch):
    monkeypatch.chdir(models)
    monkeypatch.delenv("CHARRNN_MODEL", raising=False)
    assert_one_line_error(invoke("gradients", "text"), 1, "model.safetensors", "charrnn train")
    monkeypatch.setenv("CHARRNN_MODEL", str(models / "fables"))
    quick = ["--positions", 5, "--steps-back", 5]
    (curve,) = _figures("text", *quick)["curves"]
    assert curve["model"] == str(models / "fables")
    assert [c["model"] for c in _figures("text", "--cell", "gru", *quick)["curves"]] == [None]


def test_the_text_is_read_once_for_all_networks(models):
    text = (models / "text").read_bytes()
    networks = ["--model", models / "fables", "--model", models / "fables", "--cell", "lstm"]
    arguments = [*networks, "--positions", 5, "--steps-back", 5]
    found = _figures(*arguments, "-", stdin=text)
    assert found["curves"][0] == found["curves"][1]
    assert found == _figures(*arguments, models / "text")


def test_documents_are_as_they_were_in_training(models):
    arguments = ["--model", models / "names", "--steps-back", 10, DINOSAURS]
    found = _figures(*arguments)
    assert found == _figures(*arguments, "--lines") != _figures(*arguments, "--no-lines")
    as_a_text = _figures("--cell", "lstm", *SMALL, DINOSAURS)
    assert as_a_text["positions"] == [20] * 31


def test_names_are_short(models):
    """Only positions that reach back count, and the table ends where none does."""
    done = invoke("gradients", "--cell", "gru", "--lines", "--hidden-size", 8, DINOSAURS)
    assert done.exit_code == 0
    steps = int(done.stderr.removeprefix("the text goes back ").split()[0])
    assert 20 <= steps < 30 and done.stderr.endswith("at most, not 200\n")
    assert any(line.split()[:1] == [str(steps)] for line in done.stdout.splitlines())
    found = _figures("--cell", "gru", "--lines", DINOSAURS, stderr=done.stderr)
    counts = found["positions"]
    assert counts[0] == 256 and counts == sorted(counts, reverse=True) and counts[-1] > 0
    assert len(found["curves"][0]["norms"]) == len(counts) == steps + 1


@pytest.mark.parametrize("text", ["a", "ab", "abcabc"])
def test_short_texts(text):
    done = invoke("gradients", "--cell", "lstm", "--hidden-size", 8, "-", stdin=text)
    note = f"the text goes back {len(text)} steps at most, not 200\n"
    assert (done.exit_code, done.stderr) == (0, note)
    found = _figures("--cell", "lstm", "--hidden-size", 8, "-", stdin=text, stderr=note)
    assert found["positions"] == list(range(len(text) + 1, 0, -1))


def test_a_network_without_gradients(models):
    done = invoke("gradients", "--model", models / "even", models / "text", "--positions", 3)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "nothing to draw" in done.stdout and "stays below" in done.stdout
    (curve,) = _figures("--model", models / "even", models / "text", "--positions", 3)["curves"]
    assert set(curve["norms"]) == {0} and set(curve["relative"]) == {None}


@pytest.mark.parametrize("more", [(), ("--json",), ("--output", "a.png")])
def test_overflow_is_told_without_warnings(models, tmp_path, more):
    more = [tmp_path / m if m == "a.png" else m for m in more]
    arguments = ["--cell", "elman", "--activation", "relu", "--scale", 1e300, *SMALL, *more]
    done = execute("gradients", *arguments, models / "text")
    assert (done.returncode, done.stderr) == (0, b"")
    if more == ["--json"]:
        assert json.loads(done.stdout)["curves"][0]["explodes_at"] is not None
    else:
        assert b"passes 1000 times" in done.stdout or b"infinite" in done.stdout


def test_a_picture_is_drawn_beside_what_is_printed(models, tmp_path):
    arguments = ["--cell", "elman", *SMALL, models / "text"]
    printed = invoke("gradients", *arguments).stdout
    for name, beginning in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")):
        done = execute("gradients", *arguments, "--output", tmp_path / name)
        assert (done.returncode, done.stdout.decode()) == (0, printed)
        assert (tmp_path / name).read_bytes().startswith(beginning)


def test_the_plot_fits_the_terminal(models):
    arguments = ["--cell", "elman", *SMALL, models / "text"]
    code, shown = on_terminal("stdout", "gradients", *arguments, columns=60)
    axis = next(line for line in shown.splitlines() if "└" in line)
    assert code == 0 and 55 < len(axis) <= 60


def test_a_locale_without_unicode(models):
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = execute("gradients", "--cell", "elman", *SMALL, models / "text", environment=plain)
    assert done.returncode == 0 and done.stdout.isascii() and b"elman 1x8" in done.stdout


def test_pictures_without_matplotlib(models, tmp_path):
    """One line, before anything is read; without a picture nothing is missing."""
    script = f"{BLOCK}\nblocked = ('matplotlib',)\nfrom charrnn.cli.main import main\nmain()"
    arguments = ["gradients", "--cell", "elman", *SMALL]
    done = execute_code(script, *arguments, "no-such-file", "--output", tmp_path / "a.svg")
    assert_one_line_error(done, 1, "pip install 'charrnn[plot]'")
    assert not os.listdir(tmp_path)
    assert execute_code(script, *arguments, models / "text").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-file", "--cell", "gru"], 1, "no-such-file"),
        (["-", "--cell", "gru"], 1, "no characters in standard input"),
        (["no-such-file", "--model", "no-such-model"], 1, "no-such-model"),
        (["no-such-file", "--cell", "gru", "--output", "a.jpg"], 2, ".svg, .png, .pdf"),
        (["no-such-file", "--cell", "gru", "--output", "no/a.svg"], 1, "existing folder"),
        ([FABLES, "--cell", "gru", "--scale", "-1"], 2, "scale"),
        ([FABLES, "--cell", "gru", "--scale", "nan"], 2, "scale"),
        ([FABLES, "--cell", "gru", "--layers", "0"], 2, "layers"),
        ([FABLES, "--cell", "unheard-of"], 2, "lstm-coupled, gru"),
        ([FABLES, "--cell", "gru", "--activation", "relu"], 2, "activation of gru"),
        ([FABLES, "--cell", "gru", "--threads", "-1"], 2, "threads"),
    ],
)
def test_errors_are_one_line(monkeypatch, tmp_path, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    done = invoke("gradients", *arguments, stdin=b"")
    assert_one_line_error(done, code, words)
    assert not done.stdout and not os.listdir(tmp_path)


READS = {
    "label": {"task": "label", "classes": 2},
    "tags": {"task": "tags", "classes": 3},
    "restore": {"task": "restore", "classes": 2},
    "pairs": {"task": "pairs", "classes": 2, "symbols": 2, "decoder": "attention"},
    "ctc": {"task": "pairs", "classes": 2, "symbols": 2, "decoder": "ctc"},
}


@pytest.mark.parametrize("more", READS.values(), ids=READS)
def test_models_that_read_are_refused(tmp_path, more):
    """There is no loss of a next character; a text's characters are none of their classes."""
    saved = with_biases("ab\n", **more)
    save_model(tmp_path / "m", dataclasses.replace(saved, labels=tuple("xyz"[: more["classes"]])))
    done = invoke("gradients", FABLES, "--model", tmp_path / "m")
    assert_one_line_error(done, 2, tmp_path / "m", "writes no text")


@pytest.mark.parametrize("option", ["--steps-back", "--positions"])
def test_numbers_of_nothing_are_wrong_usage(option):
    done = invoke("gradients", FABLES, "--cell", "gru", option, 0)
    assert done.exit_code == 2 and option in done.stderr


def test_a_picture_that_cannot_be_written_leaves_the_old_one(models, tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_text("old", encoding="utf-8")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("charrnn.storage.files.os.fsync", fail)
    done = invoke("gradients", "--cell", "gru", *SMALL, models / "text", "--output", path)
    assert_one_line_error(done, 1, "a.svg", "No space left")
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["a.svg"]
