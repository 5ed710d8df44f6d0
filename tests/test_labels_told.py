"""Labels that a writer is told: in texts, in losses, at the command line, and found by Bayes."""

import dataclasses
import functools
import json
import math
import pickle

import numpy as np
import pytest
from commands import assert_one_line_error, execute, invoke, start
from hypothesis import given
from hypothesis import strategies as st
from samples import assert_same_bits, config_of, random_network, session_of
from trained import DINOSAURS, FABLES, dinosaurs, language_model, run, small_trainer

from charrnn.cli.labels import with_told
from charrnn.compute.readout import cross_entropy_rows
from charrnn.config import TextConfig
from charrnn.errors import ModelFileError, UsageError
from charrnn.inference.attribution import Attributor, likeliest_labels
from charrnn.inference.compression import compress, decompress
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model
from charrnn.text.batch import Batch
from charrnn.text.labels import Labels
from charrnn.text.running import Labelling
from charrnn.text.vocabulary import START
from charrnn.training.adaptation import evaluate_adapting
from charrnn.training.evaluation import evaluate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with texts and the models "columns" and "files"."""
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(1)

    def word(characters):
        return "".join(rng.choice(list(characters), rng.integers(3, 8)))

    lines = [f"{word('abc')}\tlow\tx:1" for _ in range(300)]
    lines += [f"{word('xyz')}\thigh\t" for _ in range(100)]
    (folder / "lines.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "fable.txt").write_bytes(FABLES.read_bytes()[:30_000])
    (folder / "dino.txt").write_bytes(DINOSAURS.read_bytes())
    sources = {"columns": ["lines.tsv"], "files": ["fable.txt", "dino.txt"]}
    for labels, names in sources.items():
        trainer = small_trainer(
            *[folder / name for name in names],
            text=TextConfig(labels=labels), hidden_size=24, steps=150,
        )  # fmt: skip
        run(trainer)
        save_model(folder / labels, trainer.best)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load(folder / "columns", threads=2)


# What is told


@functools.cache
def _network(cell, embedding):
    config = config_of(cell, 2, 20, vocabulary_size=37, embedding_size=embedding, classes=3)
    return random_network(config, dtype=np.float32, threads=2)


@pytest.mark.parametrize("embedding", [0, 8])
@pytest.mark.parametrize("cell", [("lstm", "tanh"), ("gru", "tanh"), ("elman", "relu")])
def test_a_label_of_weight_1_is_that_of_a_batch_to_the_last_bit(cell, embedding):
    """Of a session and of another batch, while the network itself stays as it is."""
    network = _network(cell, embedding)
    text = np.arange(3, 30, dtype=np.int32)
    inputs = np.array([START, *text[:-1]], np.int32)[:, None]
    plain = Batch(inputs, text[:, None].copy(), (inputs == START).astype(np.uint8))
    state, found = network.initial_state(1), []
    for label in range(3):
        batch = dataclasses.replace(plain, labels=np.full((1, *inputs.shape), label, np.int32))
        expected, _ = network.losses(batch, state)
        told = network.with_values(network.values, np.eye(3)[label])
        assert_same_bits(told.losses(plain, state)[0], expected)
        again = told.with_values(told.values)
        assert_same_bits(again.losses(plain, state)[0], expected)
        session = session_of(told)
        rows = [session.logits(), *(session.feed(own[None]) for own in inputs[1:])]
        of_session = np.empty(text.size, np.float32)
        cross_entropy_rows(np.concatenate(rows), text, of_session)
        assert_same_bits(of_session, expected[:, 0])
        found.append(expected)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(session_of(network).logits(), session_of(told).logits())


def test_weights_mix_and_add_up(folder):
    """0.5 twice of a label and of its negative are the whole and nothing."""
    model = load(folder / "columns", threads=1)
    network = model.network
    rows = network.parameters["rnn.weight_ih_l0"][:, -3:]
    mixed = network.with_values(network.values, np.array([0.7, -0.5, 0]))
    plain = network.with_values(network.values)
    plain.parameters["rnn.bias_ih_l0"] += 0.7 * rows[:, 0] - 0.5 * rows[:, 1]
    plain.pack()
    tokens = np.concatenate([[START], model.vocabulary.encode("abcxyz"), [START]])
    assert evaluate(mixed, tokens).nats == pytest.approx(evaluate(plain, tokens).nats, rel=1e-5)
    nothing = network.with_values(network.values, np.zeros(3))
    assert evaluate(nothing, tokens) == evaluate(network, tokens)


def test_texts_are_as_their_labels_say(model):
    for label, own in (("low", "abc"), ("high", "xyz")):
        text = "".join(model.texts(20, count=20, seed=1, labels={label: 1}))
        assert sum(c in own for c in text) > 0.9 * sum(c != "\n" for c in text)
    both = "".join(model.texts(20, count=20, seed=1))
    assert {"a", "x"} <= set(both)


def test_labels_are_taken_by_all_that_a_model_does(model):
    """Each as the model that was told them."""
    labels = {"low": 0.5, "high": 1.5}
    told = model.told(labels)
    assert model.sample(30, seed=1, labels=labels) == told.sample(30, seed=1)
    assert model.expect("a", labels=labels) == told.expect("a")
    assert np.array_equal(model.score("abx", labels=labels).bits, told.score("abx").bits)
    best = [t.author(length=8, match="[a-z]{3}").likeliest("", 4)[0] for t in (model, told)]
    assert best[0] == model.author(length=8, match="[a-z]{3}", labels={}).likeliest("", 4)[0]
    assert best[0] != best[1]
    expected = told.evaluate("abx")
    for other in (pickle.loads(pickle.dumps(told)), told.told(None)):
        assert other.evaluate("abx") == expected and other.labels == model.labels
    assert told.told({}).evaluate("abx") == model.evaluate("abx") != expected


def test_a_told_model_saves_what_was_trained(model, tmp_path):
    model.told({"low": 1}).save(tmp_path / "m")
    assert load(tmp_path / "m", threads=1).evaluate("abx") == model.evaluate("abx")


def test_compressed_texts_come_back(model):
    data = b"abca\nxyz\nabc\n" * 20
    assert decompress(model, compress(model, data)) == data


def test_weights_that_make_no_sense(model):
    for labels, words in (
        ({"lo": 1}, "no label 'lo'; the nearest is low"),
        ({"low": math.nan}, "must be a number from -1000 to 1000, not nan"),
        ({"low": 1e9}, "must be a number"),
        ({"low": "1"}, "must be a number"),
    ):
        with pytest.raises(UsageError, match=words):
            model.told(labels)
    with pytest.raises(UsageError, match="knows no labels"):
        language_model(dinosaurs()).sample(5, labels={"low": 1})


# At the command line


class _Listener:
    """A model that only says what it was told."""

    labels = ("a:2", "a", "b:c", "0")

    def told(self, labels):
        return labels


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a"], {"a": 1.0}),
        (["a:2"], {"a:2": 1.0}),  # a label as a whole
        (["a:2:2"], {"a:2": 2.0}),
        (["a:-.5", "b:c:1.5"], {"a": -0.5, "b:c": 1.5}),
        (["b:c"], {"b:c": 1.0}),
        (["0:3", "a:nan"], {"0": 3.0, "a:nan": 1.0}),
        ([], None),
    ],
    ids=str,
)
def test_labels_and_weights_are_told_apart(given, expected):
    assert with_told(_Listener(), given) == expected


@given(st.text(min_size=1), st.floats(-1000, 1000))
def test_any_label_can_be_given_with_any_weight(name, weight):
    listener = _Listener()
    listener.labels = (name,)
    assert with_told(listener, [f"{name}:{weight:.6f}"]) == {name: float(f"{weight:.6f}")}
    assert with_told(listener, [name]) == {name: 1.0}


def _output(*arguments, stdin=None):
    done = invoke(*arguments, stdin=stdin)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_sample_next_and_score_take_labels(folder, model):
    chosen = ["--model", folder / "columns", "--label", "low:0.5", "--label", "x:1"]
    told = model.told({"low": 0.5, "x:1": 1})
    written = _output("sample", *chosen, "--count", 3, "--seed", 5, "--length", 9)
    assert written == "".join(told.texts(9, count=3, seed=5))
    beams = json.loads(_output("sample", *chosen, "--beams", 3, "--json"))
    assert beams["text"] == told.author(length=200).likeliest("", 3)[0].written
    typed = _output("sample", *chosen, "--interactive", "--seed", 1, stdin="ab\n")
    assert typed == told.sample(prime="ab", seed=1) + "\n"
    (first, *_) = json.loads(_output("next", *chosen, "--prime", "a", "--json"))
    assert first["probability"] == told.expect("a")[0].probability
    bits = json.loads(_output("score", *chosen, "--json", stdin="abx\n"))["bits"]
    assert bits == told.score("abx").bits_of_lines()[0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "--label", "lwo:0.5"], ["no label 'lwo'", "low"]),
        (["sample", "--label", "low", "--label", "low:2"], ["'low' is given twice"]),
        (["next", "--label", "low:2000"], ["-1000 to 1000"]),
        (["score", "--labels", "--label", "low"], ["--labels or --label"]),
        (["score", "--labels", "--per-character"], ["--labels or --per-character"]),
        (["score", "--labels", "--model", "m"], ["--labels is for one --model"]),
    ],
)
def test_what_makes_no_sense_is_refused(folder, arguments, words):
    done = invoke(*arguments, "--model", folder / "columns")
    assert_one_line_error(done, 2, *words)


def test_a_model_without_labels_says_so(tmp_path):
    save_model(tmp_path / "m", dinosaurs())
    for arguments in (["sample", "--label", "a"], ["score", "--labels", "-"]):
        done = execute(*arguments, "--model", tmp_path / "m", stdin=b"a\n")
        assert_one_line_error(done, 2, "the model knows no labels", "--labels")


# Evaluation


def test_a_model_is_measured_on_what_it_learned(folder, model, tmp_path):
    """Columns are told; each line by itself is as it is evaluated with both labels."""
    rows = ["abca\tlow\tx:1", "zzy\thigh\t", "aq\t\t"]
    (tmp_path / "a").write_text("\n".join(rows[:1]) + "\n", encoding="utf-8")
    (tmp_path / "b").write_text("\n\n".join(rows[1:]), encoding="utf-8")
    arguments = ["evaluate", "--model", folder / "columns", tmp_path / "a", tmp_path / "b"]
    figures = json.loads(_output(*arguments, "--json"))
    first = model.told({"low": 1, "x:1": 1}).evaluate("abca")
    others = [model.told({"high": 1}).evaluate("zzy"), model.evaluate("aq")]
    nats = [own["nats_per_character"] for own in figures["files"]]
    second = sum(own.nats for own in others) / sum(own.predictions for own in others)
    assert nats == pytest.approx([first.nats_per_character, second], rel=1e-4)
    assert (figures["characters"], figures["unknown"]) == (9, 1)
    adapted = json.loads(_output(*arguments, folder / "lines.tsv", "--json", "--adapt"))
    assert adapted["adapted_nats_per_character"] != figures["nats_per_character"]
    bad = tmp_path / "bad"
    bad.write_text("abc\tlwo\tx:1\n", encoding="utf-8")
    done = invoke("evaluate", "--model", folder / "columns", bad)
    assert_one_line_error(done, 2, "no label 'lwo'", "low")


def test_the_name_of_a_file_is_its_label(folder, tmp_path):
    model = load(folder / "files", threads=1)
    (tmp_path / "dino.txt").write_text("Tyrannosaurus\n", encoding="utf-8")
    (tmp_path / "other.txt").write_text("Tyrannosaurus\n", encoding="utf-8")
    for name, labels in (("dino", {"dino": 1}), ("other", {})):
        arguments = ["--model", folder / "files", tmp_path / f"{name}.txt", "--json"]
        done = invoke("evaluate", *arguments)
        assert ("has the name of no label" in done.stderr) == (name == "other")
        expected = model.told(labels).evaluate("Tyrannosaurus\n").nats_per_character
        found = json.loads(done.stdout)["nats_per_character"]
        assert found == pytest.approx(expected, rel=1e-5)


def test_labels_are_told_while_it_learns_on(model):
    tokens = np.concatenate([[START], model.vocabulary.encode("abc" * 40), [START]])
    labelling = Labelling(tokens, np.array([[model.labels.index("low")]], np.int32))
    found = evaluate_adapting(model.network, tokens, labelling=labelling)
    assert found.nats < evaluate_adapting(model.network, tokens).nats


# The likeliest labels


def test_counts_of_labels_are_in_the_model(model, folder):
    counts = np.array(model.training["label_counts"])
    assert counts.shape == (2, 3)
    assert model.labels == ("high", "low", "x:1")
    assert (counts[0] > [50, 200, -1]).all() and counts[0, 2] == 0
    assert counts[1].tolist() == [0, 0, counts[0, 1]]
    dino, fable = load(folder / "files").training["label_counts"][0]
    assert fable == pytest.approx(0.9 * 30_000, rel=0.02)
    assert dino == pytest.approx(0.9 * len(DINOSAURS.read_text("utf-8")), rel=0.02)


@pytest.mark.parametrize("name", ["columns", "files"])
def test_bayes_is_as_each_label_alone_tells(folder, name):
    """P(line | label) by models that are told each of them; running text is between newlines."""
    model = load(folder / name, threads=2)
    lines = ["abca", "", "zyx", "a" * 300, "The fox", "Tyr"]
    nats = {}
    for label in model.labels:
        told = model.told({label: 1})
        texts = lines if name == "columns" else [f"\n{line}\n" for line in lines]
        scored = [told.score(text, lines=name == "columns").bits[0] for text in texts]
        first = 0 if name == "columns" else 1
        nats[label] = [own[first:].sum() * math.log(2) for own in scored]
    for n, found in enumerate(likeliest_labels(model, lines)):
        columns = [c for c in model.training["label_counts"] if any(c)]
        assert len(found) == len(columns)
        for own, counts in zip(found, columns, strict=True):
            logits = {
                label: math.log(count) - nats[label][n]
                for label, count in zip(model.labels, counts, strict=True)
                if count
            }
            total = np.logaddexp.reduce(list(logits.values()))
            expected = {label: math.exp(logit - total) for label, logit in logits.items()}
            assert dict(zip(own.names, own.probabilities, strict=True)) == pytest.approx(
                expected, rel=1e-3, abs=1e-6
            )
            assert own.probabilities == sorted(own.probabilities, reverse=True)


@given(st.lists(st.text("abxz\n", max_size=9), min_size=1, max_size=9), st.integers(1, 60))
def test_lines_do_not_see_one_another(model, lines, kept):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charrnn.inference.attribution._KEPT", kept)
        found = list(likeliest_labels(model, iter(lines)))
    for line, own in zip(lines, found, strict=True):
        ((alone, _),) = likeliest_labels(model, [line])
        assert dict(zip(*own[0], strict=True)) == pytest.approx(dict(zip(*alone, strict=True)))


def test_score_tells_the_likeliest_labels(folder, model):
    arguments = ["score", "--labels", "--model", folder / "columns"]
    rows = [row.split("\t") for row in _output(*arguments, stdin="abc\n\nzyx").splitlines()]
    assert [row[2:] for row in rows] == [["x:1", "1.0000", line] for line in ("abc", "", "zyx")]
    assert [row[0] for row in rows[::2]] == ["low", "high"]
    (first, _) = map(json.loads, _output(*arguments, "--json", stdin="abc\nzyx\n").splitlines())
    assert (first["likeliest"], first["line"]) == (["low", "x:1"], "abc")
    assert list(first["labels"][0]) == ["low", "high"] and first["labels"][1] == {"x:1": 1.0}
    assert f"{first['labels'][0]['low']:.4f}" == rows[0][1]


def test_apply_tells_the_likeliest_label_of_each_column(folder, model):
    arguments = ["apply", "--model", folder / "columns"]
    assert _output(*arguments, stdin="abc\n\nzyx") == "low,x:1\n\nhigh,x:1\n"
    ((sexes, other),) = likeliest_labels(model, ["abc"])
    pairs = [("x:1", 1.0), *zip(sexes.names, sexes.probabilities, strict=True)]
    (best,) = _output(*arguments, "--best", 2, stdin="abc").splitlines()
    assert best == "\t".join(f"{name}\t{chance:.4f}" for name, chance in pairs[:2])
    figures = json.loads(_output(*arguments, "--json", stdin="abc"))
    assert figures == {
        "text": "abc", "labels": ["low", "x:1"], "probabilities": dict(pairs)
    }  # fmt: skip
    assert other.names == ["x:1"]


def test_apply_answers_of_files_as_the_library_does(folder):
    lines = ["The fox", "", "Tyrannosaurus", "a" * 200]
    answers = Attributor(load(folder / "files", threads=2)).answers(lines)
    shown = [json.loads(line) if line else None for line in _output(
        "apply", "--json", "--model", folder / "files", stdin="\n".join(lines)).split("\n")[:-1]
    ]  # fmt: skip
    assert shown == [own and {
        "text": own.text, "labels": list(own.labels), "probabilities": own.probabilities
    } for own in answers]  # fmt: skip
    for own in filter(None, answers):
        assert own.labels == (next(iter(own.probabilities)),)
        assert sum(own.probabilities.values()) == pytest.approx(1)


def test_a_label_of_two_columns_has_its_greater_probability(folder):
    model = load(folder / "columns", threads=1)
    model.training["label_counts"] = [[1, 3, 0], [0, 5, 5]]
    (answer,) = Attributor(model).answers(["xyz"])
    (columns,) = likeliest_labels(model, ["xyz"])
    first, second = (dict(zip(*own, strict=True)) for own in columns)
    assert answer.probabilities == {
        "high": first["high"], "low": max(first["low"], second["low"]), "x:1": second["x:1"]
    }  # fmt: skip
    values = list(answer.probabilities.values())
    assert values == sorted(values, reverse=True)


def test_a_line_is_answered_before_the_next_one_comes(folder):
    with start("apply", "--model", folder / "columns") as process:
        for line, answer in ((b"abc\n", b"low,x:1\n"), (b"zyx\n", b"high,x:1\n")):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == answer
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("option", ["--terms", "--temperature"])
def test_apply_refuses_what_only_models_that_read_can_do(folder, option):
    done = invoke("apply", "--model", folder / "columns", option, 2, stdin="abc\n")
    assert_one_line_error(done, 2, "are for models that read", "--task label")


def test_the_texts_of_files_are_told_apart(folder):
    model = load(folder / "files", threads=2)
    names = DINOSAURS.read_text("utf-8").splitlines()[:200]
    sentences = [s for s in FABLES.read_text("utf-8")[:30_000].split("\n") if len(s) > 40][:50]
    for lines, label in ((names, "dino"), (sentences, "fable")):
        likeliest = [found[0].names[0] for found in likeliest_labels(model, lines)]
        assert likeliest.count(label) > 0.8 * len(lines)


def test_a_model_that_does_not_say_how_common_its_labels_are(folder):
    model = load(folder / "columns", threads=1)
    del model.training["label_counts"]
    with pytest.raises(ModelFileError, match="how common"):
        likeliest_labels(model, ["a"])
    model.training["label_counts"] = [[1, 2]]
    with pytest.raises(ModelFileError, match="another number"):
        likeliest_labels(model, ["a"])


def test_weights_by_name():
    weights = Labels(("a", "b", "c")).weights({"c": np.float32(0.5), "a": -2})
    assert weights.tolist() == [-2, 0, 0.5]
