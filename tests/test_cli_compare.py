"""``charrnn compare``: its table and its JSON, what it keeps and refuses, and how it is stopped."""

import json
import math
import os
import signal

import pytest
from commands import QUICK, assert_one_line_error, execute, invoke, start
from trained import DINOSAURS, FABLES

from charrnn.cells import CELL_NAMES, CELLS
from charrnn.config import TextConfig
from charrnn.inference.language_model import load
from charrnn.network.parameters import weight_count
from charrnn.storage.checkpoint import load_model, resume_path
from charrnn.studies.comparison import cells_for
from charrnn.training.optimizer import Optimizer

#: Cells whose sizes no vocabulary bounds, and that are trained.
NAMED = "fully-recurrent", "second-order", "echo-state"
FREE = [name for name in CELL_NAMES if name not in NAMED]
TWO = ("--cells", "elman,gru")
KEYS = {"cell", "layers", "hidden_size", "weights", "characters_per_second", "validation_loss",
        "training_loss", "bits_per_character", "seconds", "steps", "error"}  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    """A file of some kilobytes."""
    path = tmp_path / "corpus.txt"
    path.write_bytes(FABLES.read_bytes()[:6000])
    return path


def _results(*arguments, **options):
    done = invoke("compare", "--json", *arguments, **options)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def _rows(table):
    """The cells' lines of a table, split into words, by the name of the cell."""
    return {line.split()[0]: line.split() for line in table.splitlines()[1:]}


def _without_times(results):
    return [{k: v for k, v in r.items() if k not in ("seconds", "characters_per_second")}
            for r in results]  # fmt: skip


def test_people_get_a_table(corpus):
    done = execute("compare", corpus, *TWO, *QUICK)
    assert done.returncode == 0
    heading, *lines = done.stdout.decode().splitlines()
    assert heading.split("  ")[0] == "cell" and "validation loss" in heading
    assert len({len(line) for line in (heading, *lines)}) == 1
    results = _results(corpus, *TWO, *QUICK)
    for line, result in zip(lines, results, strict=True):
        cell, layers, hidden, weights, speed, loss, bits, seconds, steps = line.split()
        assert (cell, layers, hidden, steps) == (result["cell"], "1", "16", "30")
        assert weights == f"{result['weights']:,}"
        assert loss == f"{result['validation_loss']:.4f}"
        assert bits == f"{result['bits_per_character']:.4f}"
        assert float(speed.replace(",", "")) > 0 and float(seconds) >= 0


@pytest.fixture
def asked(monkeypatch):
    """The variants that a comparison is asked for; none is made."""
    variants = []

    def compare(sources, named, *configs, **more):
        variants.extend(named)
        return iter(())

    monkeypatch.setattr("charrnn.studies.comparison.compare", compare)
    return variants


@pytest.mark.parametrize(
    "given",
    [
        ["--cells", "elman,gru"],
        ["--cells", " elman , gru"],
        ["--cell", "elman", "--cell", "gru"],
        ["--cells", "elman", "--cell", "gru"],
        ["--vary", "cell = elman, gru"],
    ],
    ids=" ".join,
)
def test_cells_are_named_with_commas_or_one_by_one(corpus, asked, given):
    assert invoke("compare", corpus, *given).exit_code == 0
    assert asked == [{"cell": "elman"}, {"cell": "gru"}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--seeds", "1,2"], [{"seed": s, "cell": cell} for s in (1, 2) for cell in FREE]),
        (["--vary", "seed=1,2"], [{"seed": 1}, {"seed": 2}]),
    ],
)
def test_an_lstm_alone_is_trained_where_vary_says_what_is_varied(corpus, asked, given, expected):
    assert invoke("compare", corpus, *given).exit_code == 0
    assert asked == expected


@pytest.mark.parametrize("text", ["", "elman,", "unheard-of", "elman;lstm", "gru,elman,gru", "GRU"])
def test_names_unknown_or_doubled_are_refused_with_the_choices(corpus, text):
    done = invoke("compare", corpus, "--cells", text)
    assert_one_line_error(done, 2, ", ".join(CELL_NAMES))


def test_progress_is_as_in_training(corpus):
    done = execute("compare", corpus, *TWO, *QUICK)
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("1 of 2: elman 1×16")
    assert sum("2 of 2: gru 1×16" in line for line in lines) == 1
    assert sum("  validation " in line for line in lines) == 2 * 3


def test_json_has_exactly_these_keys(corpus):
    done = execute("compare", corpus, *TWO, *QUICK, "--json")
    assert done.stdout.count(b"\n") == 1
    elman, gru = json.loads(done.stdout)
    for result in (elman, gru):
        assert set(result) == KEYS
        assert result["bits_per_character"] == result["validation_loss"] / math.log(2)
        assert (result["steps"], result["error"]) == (30, None)
    assert (elman["cell"], gru["cell"]) == ("elman", "gru")
    assert elman["weights"] < gru["weights"]


@pytest.mark.cells
def test_every_cell_is_compared_by_default(corpus):
    results = _results(corpus, *QUICK, "--steps", 3)
    assert [result["cell"] for result in results] == FREE
    assert {result["hidden_size"] for result in results} == {16}


def test_cells_are_compared_by_what_they_tell(tmp_path):
    """All by default but jordan, which only writes."""
    lines = tmp_path / "lines.tsv"
    lines.write_text("\n".join(f"{n:05}\t{['even', 'odd'][n % 2]}" for n in range(400)))
    results = _results(lines, *QUICK, "--task", "label", "--steps", 2, "--cells", "gru,elman")
    assert [result["cell"] for result in results] == ["gru", "elman"]
    assert all(0.3 < result["validation_loss"] < 1.5 for result in results)
    for config in (TextConfig(task="tags"), TextConfig(labels="columns")):
        assert cells_for(config) == [name for name in FREE if name != "jordan"]
    assert cells_for(TextConfig()) == FREE
    done = invoke("compare", lines, *QUICK, "--task", "label", "--cells", "gru,jordan")
    assert_one_line_error(done, 2, "jordan only writes", "choose another --cell")


def test_equal_weights(corpus):
    same, size = (_results(corpus, *QUICK, "--cells", "lstm,elman", "--equal", equal, "--steps", 2)
                  for equal in ("weights", "size"))  # fmt: skip
    assert same[0]["weights"] == size[0]["weights"]
    assert same[1]["weights"] == pytest.approx(same[0]["weights"], rel=0.05)
    assert same[1]["hidden_size"] > 16 == size[1]["hidden_size"]


def test_standard_input_is_read_once_for_all(corpus):
    """Shuffled lines too: every cell learns from the same, and it is what a file would give."""
    text = DINOSAURS.read_bytes()[:5000]
    corpus.write_bytes(text)
    options = [*TWO, *QUICK, "--lines"]
    assert _without_times(_results("-", *options, stdin=text)) == _without_times(
        _results(corpus, *options)
    )


def test_options_are_those_of_train(corpus, tmp_path):
    options = [*QUICK, "--embedding-size", 5, "--seed", 3, "--dropout", 0.4, "--min-count", 3,
               "--optimizer", "rmsprop", "--validation-fraction", 0.3]  # fmt: skip
    model = tmp_path / "m.safetensors"
    assert invoke("train", corpus, "--cell", "gru", "--model", model, *options).exit_code == 0
    trained = load_model(model)
    gru = _results(corpus, *TWO, *options)[1]
    assert gru["validation_loss"] == trained.training["validation_loss"]
    assert gru["weights"] == weight_count(trained.config)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], (None, None, 60)),
        (["--budget", "2s"], (None, None, 2)),
        (["--steps", 4], (None, 4, None)),
        (["--epochs", 0.5], (0.5, None, None)),
    ],
)
def test_a_minute_each_unless_asked_otherwise(corpus, monkeypatch, given, expected):
    asked = []

    def compare(sources, cells, text, training, **more):
        asked.append((training.epochs, training.steps, training.budget))
        return iter(())

    monkeypatch.setattr("charrnn.studies.comparison.compare", compare)
    assert invoke("compare", corpus, *given).exit_code == 0
    assert asked == [expected]


def test_a_budget_is_for_each_cell(corpus):
    results = _results(corpus, *TWO, *QUICK[:8], "--budget", "0.3s")
    assert all(0.25 < result["seconds"] < 3 for result in results)
    assert all(result["steps"] > 3 for result in results)


def test_without_validation_text_the_training_loss_is_shown(tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text("hello")
    done = invoke("compare", path, *TWO, *QUICK, "--steps", 5)
    assert done.exit_code == 0
    assert "training loss" in done.stdout and "validation" not in done.stdout
    results = _results(path, *TWO, *QUICK, "--steps", 5)
    for result in results:
        assert result["validation_loss"] is None
        assert result["bits_per_character"] == result["training_loss"] / math.log(2)
        assert f"{result['training_loss']:.4f}" in _rows(done.stdout)[result["cell"]]


def test_a_cell_of_few_layers_is_said_to_have_them(corpus, monkeypatch):
    monkeypatch.setattr(CELLS["elman", "tanh"], "most_layers", 1, raising=False)
    done = invoke("compare", corpus, *TWO, *QUICK, "--layers", 2, "--json")
    assert [result["layers"] for result in json.loads(done.stdout)] == [1, 2]
    remarks = [line for line in done.stderr.splitlines() if "it takes no more" in line]
    assert remarks == ["elman is compared with 1 layer: it takes no more"]


# What is varied


def test_all_combinations_with_several_seeds(corpus, tmp_path):
    """Of which the table has medians; their models and the picture are kept."""
    options = [corpus, *QUICK[:2], *QUICK[4:], "--vary", "hidden-size=8,12",
               "--vary", "dropout=0,0.5", "--seeds", 2]  # fmt: skip
    picture = tmp_path / "a.svg"
    results = _results(*options, "--output", tmp_path / "kept", "--plot", picture)
    assert [(r["seed"], r["hidden_size"], r["dropout"]) for r in results] == [
        (seed, size, dropout) for seed in (1, 2) for size in (8, 12) for dropout in (0, 0.5)
    ]
    assert {result["cell"] for result in results} == {"lstm"}
    saved = load_model(tmp_path / "kept" / "hidden-size-12-dropout-0.5-seed-2.safetensors")
    assert saved.training["validation_loss"] == results[-1]["validation_loss"]
    assert len(os.listdir(tmp_path / "kept")) == 8 and b"<svg" in picture.read_bytes()

    done = invoke("compare", *options, "--plot", "-")
    table, plot = done.stdout.split("\n\n", 1)
    heading, *lines = table.splitlines()
    assert heading.split()[:3] == ["hidden", "dropout", "layers"]
    losses = [result["validation_loss"] for result in (results[3], results[7])]
    told = [f"{loss:.4f}" for loss in (sum(losses) / 2, min(losses), max(losses))]
    assert lines[-1].split()[:3] == ["12", "0.5", "1"] and lines[-1].split()[5:9] == ["2", *told]
    assert plot.startswith("validation loss, nats\n") and "hidden-size 12, dropout 0.5, " in plot
    assert "8 of 8: hidden-size 12, dropout 0.5, seed 2: lstm 1×12" in done.stderr


def test_a_seed_is_as_in_a_run_alone(corpus, tmp_path):
    model = tmp_path / "m"
    assert invoke("train", corpus, *QUICK, "--seed", 5, "--model", model).exit_code == 0
    (result,) = _results(corpus, *QUICK, "--vary", "seed=5")
    assert result["validation_loss"] == load_model(model).training["validation_loss"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--vary", "lines=1"], ["cannot vary 'lines'", "hidden-size, cell,"]),
        (["--vary", "dropout"], ["dropout=0,0.2, not 'dropout'"]),
        (["--vary", "dropout=x"], ["'--dropout': 'x' is not a valid float"]),
        (["--vary", "dropout=2"], ["dropout must be from 0 to below 1"]),
        (["--vary", "cell=lstm,foo"], ["'foo' is not one of 'lstm'"]),
        (["--vary", "cell=gru", "--cells", "lstm"], ["--cell is given more than once"]),
        (["--vary", "dropout=0", "--dropout", 0.1], ["--dropout is given more than once"]),
        (["--vary", "budget=3s", "--steps", 2], ["only one of"]),
        (["--seeds", "1,1"], ["1 is named twice: name it once"]),
        (["--seeds", 0], ["from 1 to 1,000"]),
        (["--plot", "-", "--json"], ["--json", "--plot"]),
    ],
)
def test_what_cannot_be_varied_is_one_line(corpus, given, words):
    assert_one_line_error(invoke("compare", corpus, *given), 2, *words)


# Models


def test_the_best_models_are_kept(corpus, tmp_path):
    folder = tmp_path / "new" / "models"
    results = _results(corpus, *TWO, *QUICK, "--output", folder)
    assert sorted(os.listdir(folder)) == ["elman.safetensors", "gru.safetensors"]
    for result in results:
        path = folder / f"{result['cell']}.safetensors"
        saved = load_model(path)
        assert saved.config.cell == result["cell"]
        assert saved.training["validation_loss"] == result["validation_loss"]
        assert len(load(path).sample(20)) == 20


def test_models_are_not_overwritten_without_force(corpus, tmp_path):
    kept = tmp_path / "gru.safetensors"
    kept.write_bytes(b"precious")
    resume_path(kept).write_bytes(b"of an older run")
    arguments = ("compare", corpus, *TWO, *QUICK, "--output", tmp_path)
    done = invoke(*arguments)
    assert_one_line_error(done, 1, kept, "--force", "--output")
    assert kept.read_bytes() == b"precious" and not done.stdout
    assert not (tmp_path / "elman.safetensors").exists()
    assert invoke(*arguments, "--force").exit_code == 0
    assert load_model(kept) and not resume_path(kept).exists()


def test_a_model_that_cannot_be_saved_costs_no_result_and_no_file(corpus, tmp_path, monkeypatch):
    (tmp_path / "elman.safetensors").write_bytes(b"old")

    def fail(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("charrnn.storage.files.os.replace", fail)
    done = invoke("compare", corpus, *TWO, *QUICK, "--output", tmp_path, "--force")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write")
    assert list(_rows(done.stdout)) == ["elman"]
    assert (tmp_path / "elman.safetensors").read_bytes() == b"old"


# What goes wrong


def test_a_run_that_comes_to_nothing_has_a_row_and_the_others_go_on(corpus, tmp_path, monkeypatch):
    norm, calls = Optimizer.gradient_norm, iter(range(1000))
    monkeypatch.setattr(
        Optimizer, "gradient_norm", lambda self, n: math.nan if next(calls) < 10 else norm(self, n)
    )
    done = invoke("compare", corpus, *TWO, *QUICK, "--output", tmp_path)
    assert done.exit_code == 0
    assert "elman: training came to nothing" in done.stderr
    rows = _rows(done.stdout)
    assert " ".join(rows["elman"]).count("came to nothing") == 1
    assert float(rows["gru"][5]) > 0
    assert not (tmp_path / "elman.safetensors").exists()
    assert load_model(tmp_path / "gru.safetensors")

    calls = iter(range(1000))
    elman, gru = _results(corpus, *TWO, *QUICK)
    assert elman["validation_loss"] is elman["bits_per_character"] is None
    assert "came to nothing" in elman["error"] and gru["error"] is None


def test_errors_are_one_line(corpus, tmp_path):
    for arguments, code, words in (
        (["no-such-file"], 1, "no-such-file"),
        (["-"], 1, "no characters in standard input"),
        (["-", "-"], 2, "once"),
        ([corpus, "--cells", "lstm,unheard-of"], 2, "unheard-of"),
        ([corpus, "--cells", "gru,gru"], 2, "gru is named twice"),
        ([corpus, "--cells", ""], 2, ", ".join(CELL_NAMES)),
        ([corpus, "--hidden-size", 10**9], 2, "hidden size"),
        ([corpus, "--steps", 5, "--epochs", 1], 2, "only one of"),
        ([corpus, "--dropout", 1], 2, "dropout"),
        ([corpus, "--plot", ""], 2, "give a name that ends in .svg"),
        ([corpus, "--output", corpus], 1, "--output"),
        ([corpus, "--output", corpus / "folder"], 1, "--output"),
    ):
        done = invoke("compare", *arguments, stdin=b"")
        assert_one_line_error(done, code, words)
        assert not done.stdout


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("after, finished", [("1 of 2", []), ("2 of 2", ["elman"])])
def test_a_signal_shows_the_cells_that_are_through(corpus, tmp_path, number, code, after, finished):
    options = [*QUICK[:8], "--warmup-steps", 5, "--budget", "2s", "--output", tmp_path / "models"]
    with start("compare", corpus, *TWO, *options) as process:
        process.until(after.encode())
        process.send_signal(number)
        stdout, rest = process.communicate(timeout=120)
    assert process.returncode == code, rest.decode()
    assert b"Traceback" not in rest and b"left out" in rest
    assert list(_rows(stdout.decode())) == finished
    assert sorted(os.listdir(tmp_path / "models")) == [f"{cell}.safetensors" for cell in finished]
