"""What units stand for: areas under the curve, contexts, and what the loss is without them."""

import json

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from readers import labelled_lines, labeller, reader, tagged_lines, tagger
from samples import config_of, one_cell_of_each_kind, random_network
from trained import FABLES, dinosaurs, fables, language_model

from charrnn.config import TextConfig
from charrnn.errors import UsageError
from charrnn.inference.assessment import known_texts
from charrnn.network.network import Network
from charrnn.storage.checkpoint import save_model
from charrnn.studies import neurons as module
from charrnn.studies.activity import Activity, Silencer, Unit, activity, units_of
from charrnn.studies.neurons import areas, held, neurons, patterns_in
from charrnn.studies.texts import beginning
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.evaluation import evaluate


def _found(text, outputs=None, bounds=None) -> Activity:
    outputs = np.zeros((len(text), 1)) if outputs is None else outputs
    units = [Unit(1, False, n) for n in range(outputs.shape[1])]
    return Activity(text, np.array(bounds or [0, len(text)]), outputs, units)


def _area(outputs, holds):
    """By comparing each pair."""
    on, off = outputs[holds], outputs[~holds]
    pairs = [(a > b) + (a == b) / 2 for a in on for b in off]
    return np.mean(pairs)


def test_areas_are_those_of_all_pairs():
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(60, 4))
    outputs[:, 1] = np.round(outputs[:, 1])  # with ties
    outputs[:, 2] = 0.5
    places = [rng.random(60) < share for share in (0.2, 0.7)]
    places[1] |= outputs[:, 3] > 0.1
    expected = [[_area(column, holds) for holds in places] for column in outputs.T]
    np.testing.assert_allclose(areas(outputs, places), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("pattern", "places"),
    [("b+", [2, 4, 5, 6]), ("(?<=a)c", [8]), (r"\Aa|\Ab", [0, 5]), ("abb", []), ("x|", [])],
)
def test_a_pattern_holds_where_a_match_covers_a_character_of_one_document(pattern, places):
    found = _found("aababbbac", bounds=[0, 5, 9])
    assert np.flatnonzero(held(found, pattern)).tolist() == places


@pytest.mark.parametrize("pattern", ["(", "x{3", "*", "zzz", ".|\n", "(?P<a>"])
def test_patterns_that_tell_nothing_are_refused(pattern):
    with pytest.raises(UsageError):
        patterns_in(_found("some text of a kind"), pattern)


def test_a_unit_that_is_made_to_tell_a_pattern_is_found():
    """A unit that copies one is first, whichever way round, with its characters and places."""
    text = "the cat, the dog, the owl, the hen, and the fox. " * 4
    rng = np.random.default_rng(2)
    outputs = rng.uniform(-0.5, 0.5, (len(text), 5)).astype(np.float32)
    commas = np.array([character == "," for character in text])
    outputs[:, 3] = np.where(commas, -0.9, 0.1) + 0.01 * outputs[:, 3]
    found = _found(text, outputs)
    told = areas(outputs, [held(found, ",")])
    assert told[3] == 0
    order = [index for index, _ in module._ranked(told)]
    assert order[0] == 3 and sorted(order) == list(range(5))
    neuron = module._neuron(found, 3, (",", 0.0), None)
    assert neuron.strength == 1 and neuron.characters[0][0] == ","
    assert [context.character for context in neuron.contexts] == [","] * 4
    places = [text.index(c.before + c.character + c.after) for c in neuron.contexts]
    assert len(places) == 4 and all(-1 < context.output < -0.85 for context in neuron.contexts)


@one_cell_of_each_kind
def test_silenced_units_are_those_whose_output_nothing_reads(cell):
    """A network with all columns of a unit set to 0 by hand has the same loss."""
    dense = 0 if cell[0] == "jordan" else 1
    network = random_network(config_of(cell, layers=2, hidden_size=5, readout_layers=dense))
    tokens = np.random.default_rng(3).integers(3, 11, 300).astype(np.uint8)
    tokens[0] = tokens[-1] = 0
    text = RunningText(tokens)
    silencer = Silencer(network, text)
    whole = evaluate(network, tokens).nats_per_character
    assert silencer.loss == whole
    for unit in (2, len(units_of(network)) - 1):
        own = units_of(network)[unit]
        by_hand = network.with_values(network.values)
        named = by_hand.parameters
        if cell[0] != "jordan":
            named[f"rnn.weight_hh_l{own.layer - 1}"][..., own.number] = 0
        above = (f"rnn.weight_ih_l{own.layer}", "dense.0.weight", "readout.weight")
        named[next(name for name in above if name in named)][:, own.number] = 0
        by_hand.pack()
        expected = evaluate(by_hand, tokens).nats_per_character - whole
        assert silencer.change(unit) == pytest.approx(expected, abs=1e-12)
        assert expected != 0
    np.testing.assert_array_equal(evaluate(network, tokens).nats_per_character, whole)


def test_outputs_are_the_states_of_the_network():
    """In one pass, and in lanes: to the character, where the text begins again."""
    model = language_model(dinosaurs())
    network, vocabulary = model.network, model.vocabulary
    words = ["Abelisaurus", "Bactrosaurus", "Compsognathus"]
    tokens = np.concatenate([np.append(0, vocabulary.encode(word)) for word in words] + [[0]])
    found = activity(network, vocabulary, RunningText(tokens.astype(np.uint8)))
    assert found.text == "".join("\n" + word for word in words)
    assert found.bounds.tolist() == [0, 12, 25, 39]
    assert found.outputs.shape == (39, 32) and len(found.units) == 32
    last = RunningText(tokens[found.bounds[1] :].astype(np.uint8))
    again = activity(network, vocabulary, last)
    np.testing.assert_allclose(again.outputs, found.outputs[12:], atol=1e-6)
    logits = found.outputs @ network.parameters["readout.weight"].T
    logits += network.parameters["readout.bias"]
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = (shifted / shifted.sum(axis=1, keepdims=True))[np.arange(39), tokens[1:]]
    # The end of a document is told by another token than its beginning.
    ends = shifted[:, 1] / shifted.sum(axis=1)
    chances = np.where(tokens[1:] == 0, ends, chances)
    loss = -np.log(chances).mean()
    assert loss == pytest.approx(evaluate(network, tokens).nats_per_character, rel=1e-5)


@pytest.mark.parametrize(
    ("saved", "lines"),
    [(labeller, labelled_lines), (tagger, tagged_lines)],
    ids=["label", "tags"],
)
def test_readers_have_units_in_both_directions(tmp_path, saved, lines):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines()[:200]) + "\n", encoding="utf-8")
    model = reader(saved())
    text = beginning(known_texts(model, [str(path)], TextConfig()), 4000)
    found, seen = neurons(model.network, model.vocabulary, text, top=4)
    size = model.network.config.hidden_size
    assert [unit.backwards for unit in seen.units] == [False] * size + [True] * size
    assert len(found) == 2 * size and len(seen.text) == text.positions
    changes = [neuron.loss_change for neuron in found]
    assert all(change is not None for change in changes[:4]) and not any(changes[4:])
    assert any(change > 0 for change in changes[:4])
    for neuron in found[:4]:
        contexts = [c.before + c.character + c.after for c in neuron.contexts]
        assert all(context in seen.text for context in contexts)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model and a text."""
    folder = tmp_path_factory.mktemp("neurons")
    save_model(folder / "m", fables())
    text = FABLES.read_text("utf-8")[:6000]
    (folder / "text").write_text(text, encoding="utf-8")
    return folder


def _json(files, *more):
    done = invoke("neurons", "--model", files / "m", files / "text", "--json", *more)
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_command_tells_the_same_as_the_library(files):
    found = _json(files, "--top", 3, "--find", r"[.,;:!?\"]")
    model = language_model(fables())
    tokens = np.concatenate(
        [[0], model.vocabulary.encode((files / "text").read_text("utf-8")), [0]]
    )
    text = RunningText(tokens.astype(np.uint8))
    expected, seen = neurons(model.network, model.vocabulary, text, find=r"[.,;:!?\"]", top=3)
    assert json.loads(json.dumps([n.figures for n in expected[:3]])) == found
    strengths = [neuron.strength for neuron in expected]
    assert strengths == sorted(strengths, reverse=True) and strengths[0] > 0.9
    holds = held(seen, r"[.,;:!?\"]")
    for neuron in expected[:2]:
        own = seen.outputs[:, neuron.index]
        assert neuron.auc == pytest.approx(_area(own[:1500], holds[:1500]), abs=0.05)
        best = neuron.contexts[0]
        assert best.output == pytest.approx(own.max() if neuron.auc >= 0.5 else own.min())
    assert any(c in '.,;:!?"' for c, _ in expected[0].characters[:3])


def test_without_a_pattern_each_is_told_by_what_it_tells_best(files):
    found = _json(files, "--top", 6)
    assert len({neuron["pattern"] for neuron in found}) == 6
    strengths = [max(neuron["auc"], 1 - neuron["auc"]) for neuron in found]
    assert strengths == sorted(strengths, reverse=True)


def test_the_table_has_a_row_and_contexts_for_each(files):
    done = invoke("neurons", "--model", files / "m", files / "text", "--top", 2)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["unit", "AUC", "loss", "without", "mean", "deviation", "tells"]
    found = _json(files, "--top", 2)
    for line, neuron in zip(lines[1:3], found, strict=True):
        cells = line.split(maxsplit=5)
        assert cells[0] == neuron["unit"] and cells[5] == neuron["pattern"]
        assert float(cells[1]) == pytest.approx(neuron["auc"], abs=1e-4)
        assert float(cells[2]) == pytest.approx(neuron["loss_change"], abs=1e-4)
    assert done.stdout.count("[") >= 8


def test_errors_are_one_line(files):
    command = ("neurons", "--model", files / "m", files / "text")
    assert_one_line_error(invoke(*command, "--find", "("), 2, "no regular expression")
    assert_one_line_error(invoke(*command, "--find", "zzzz"), 2, "zzzz", "must hold")
    (files / "few").write_text("ab")
    assert_one_line_error(invoke("neurons", "--model", files / "m", files / "few"), 2, "must hold")
    assert_one_line_error(invoke("neurons", "--model", files / "m", files / "none"), 1, "none")
    save_model(files / "label", labeller())
    (files / "l.tsv").write_text("\n".join(labelled_lines()[:50]))
    done = invoke("neurons", "--model", files / "label", files / "l.tsv", "--lines")
    assert_one_line_error(done, 2, "models that write")


def test_labels_are_told_to_a_network_that_knows_them():
    """Its outputs are those with the labels of the text."""
    network = Network(config_of(("lstm", "tanh"), classes=2))
    network.initialize(rng=np.random.default_rng(1))
    tokens = np.array([0, 4, 5, 6, 0], np.uint8)
    with_labels = [
        activity(network, Vocabulary("abcdefgh"), RunningText(tokens, np.array([[label]])))
        for label in (0, 1)
    ]
    assert not np.allclose(with_labels[0].outputs, with_labels[1].outputs)
