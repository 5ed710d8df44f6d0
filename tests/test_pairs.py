"""Pairs: how they are read and packed, what is learned of them, and how they are answered."""

import dataclasses
import itertools
import json
import math
import pickle
import threading

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import aligner, answerer, doubled, in_pig_latin, lowered_words, reader
from trained import run, small_trainer

from charrnn.config import TextConfig
from charrnn.errors import CharrnnError, CorpusError, UsageError
from charrnn.inference.measures import pair_measures
from charrnn.inference.models import load_together
from charrnn.storage.checkpoint import save_model
from charrnn.storage.summary import describe
from charrnn.text.alphabet import Alphabet
from charrnn.text.labels import Labels
from charrnn.text.paired import read_pairs
from charrnn.text.pairs import Pairs, Sides, needed_steps, suited_repeats
from charrnn.text.tasks import Known, read_told
from charrnn.text.vocabulary import END, START

PAIRS = TextConfig(task="pairs")
SIDE = st.lists(st.integers(3, 9), max_size=12)


def _write(tmp_path, text):
    path = tmp_path / "pairs.tsv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _pairs(sides, *, aligned=False):
    left, right = zip(*sides, strict=True)
    return Pairs.of(Sides.of(left), Sides.of(right), aligned=aligned)


# Lines


def test_each_line_has_a_left_and_a_right_side_and_may_have_labels(tmp_path):
    path = _write(tmp_path, "one\tW  AH N\ten\n\ntwo\t\t\n")
    lines = read_pairs([path], TextConfig(task="pairs", target_symbols=True))
    assert (lines.left, lines.right) == (["one", "two"], ["W AH N", ""])
    assert lines.labels == [("en",), ("",)]
    assert read_pairs([path], PAIRS).right == ["W  AH N", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nno tab\n", r"line 2 of .*pairs.tsv has no tab: every line is INPUT<tab>OUTPUT"),
        ("\tb\n", r"line 1 of .* has nothing before its tab"),
        ("a\tb\nc\td\ten\n", r"line 2 of .* has 1 label .* the first line 0: give each as many"),
        ("\n\n", r"there are no lines"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read_pairs([_write(tmp_path, text)], PAIRS)


def test_alternatives_are_those_of_one_left_side_with_its_labels(tmp_path):
    path = _write(tmp_path, "a\tx\ten\na\ty\ten\na\tz\tde\n")
    found = read_pairs([path], PAIRS).alternatives()
    assert found == {("a", ("en",)): ["x", "y"], ("a", ("de",)): ["z"]}


def test_labels_are_read_before_the_text(tmp_path):
    told = read_told([_write(tmp_path, "ab\tx\ten\nb\ty\tde\nb\ty\t\n")], PAIRS, Known())
    assert told.labels == ("x", "y", "\tde", "\ten")
    assert told.vocabulary.characters == "ab"
    assert told.texts.left.tokens.tolist() == [6, 3, 4, 5, 4, 4]


def test_the_time_for_labels_does_not_grow_with_their_square(monkeypatch):
    """Each pair has one; 20,000 of them took minutes when all were checked for each."""
    made, names = [], [f"l{number}" for number in range(500)]
    monkeypatch.setattr("charrnn.text.alphabet.Labels", lambda own: made.append(own) or Labels(own))
    alphabet = Alphabet.learn(["x"], names, spaced=False)
    assert [alphabet.label(name) for name in alphabet.labels] == [*range(500)]
    assert len(made) < 5


def test_labels_that_were_not_learned_are_told(tmp_path):
    """Of a file to validate on, and of one that a model without labels is evaluated on."""
    more = tmp_path / "more.tsv"
    more.write_text("a\tx\ten\n" * 20, encoding="utf-8")
    text = TextConfig(task="pairs", validation=str(more))
    with pytest.raises(CorpusError, match=r"line 1 of .*more.tsv: there is a tab too many: the"):
        small_trainer(_write(tmp_path, "ab\tx\n" * 20), text=text)


def test_a_run_goes_on_with_the_decoder_that_it_had_by_default(tmp_path):
    path, model = _write(tmp_path, "ab\tx\nb\tyz\n" * 20), tmp_path / "m"
    small = ("--layers", 1, "--hidden-size", 4, "--batch-size", 2, "--sequence-length", 8)
    run = ("train", path, "--model", model)
    assert invoke(*run, "--task", "pairs", *small, "--steps", 2).exit_code == 0
    assert_one_line_error(invoke(*run, "--resume", "--decoder", "ctc"), 2, "--decoder attention")
    done = invoke(*run, "--resume", "--decoder", "attention", "--steps", 3)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("more", [(), ("--decoder", "ctc"), ("--target-symbols",)], ids=" ".join)
@pytest.mark.parametrize(("text", "asked"), [
    ("a\tb\n", "a"), ("a\t\nb\tc\n", "a"), ("\0\t\x1b\n" * 3, "a"), ("ab\tx\tl\n" * 2, "a\tl"),
])  # fmt: skip
def test_tiny_texts_train_and_answer(tmp_path, text, asked, more):
    path, model = _write(tmp_path, text), tmp_path / "m"
    small = ("--layers", 1, "--hidden-size", 4, "--steps", 2, "--threads", 1, "--task", "pairs")
    done = invoke("train", path, "--model", model, *small, *more)
    assert done.exit_code == 0 and "the text is too short" in done.stderr, done.stderr
    assert invoke("apply", "--model", model, stdin=f"{asked}\n").stdout.count("\n") == 1


@pytest.mark.parametrize(("spaced", "hint"), [(True, "without `target_symbols`"), (False, "rare")])
def test_too_many_symbols_are_told(spaced, hint):
    sides = (f"s{n}" for n in range(65_536)) if spaced else map(chr, range(0x20000, 0x30000))
    with pytest.raises(CharrnnError, match=r"65,536 different symbols .* 65,535: .*" + hint):
        Alphabet.learn(sides, [], spaced=spaced)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("names", [("\ten", "x"), ("",), (), ("a b",), ("\ten",)])
def test_names_that_are_no_symbols_are_refused(names, spaced):
    with pytest.raises(CharrnnError):
        Alphabet.of(names, spaced=spaced)


# Packing


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(SIDE.filter(len), SIDE), min_size=1, max_size=30),
    st.integers(1, 5),
    st.booleans(),
)
def test_all_pairs_come_once_in_a_pass_each_side_in_one_lane(sides, lanes, aligned):
    pairs = _pairs(sides, aligned=aligned)
    found = []
    for batch, documents in pairs.chunks(lanes, 48):
        read = batch if aligned else batch.first
        for n, document in enumerate(documents):
            lane, first, last = read.spans[n]
            assert read.resets[first, lane]
            assert last == len(read.inputs) or read.resets[last, lane]
            left = read.inputs[first:last, lane].tolist()
            if aligned:
                assert batch.counted[first:last, lane].all()
                right = [symbol for symbol in batch.targets[n].tolist() if symbol >= 0]
            else:
                own, first, last = batch.spans[n]
                assert own == lane and batch.resets[first, lane]
                assert batch.inputs[first, lane] == START and batch.counted[first:last, lane].all()
                right = batch.inputs[first + 1 : last, lane].tolist()
                assert batch.targets[first:last, lane].tolist() == [*right, END]
            assert (left, right) == sides[document]
            found.append(document)
        assert batch.count == sum(len(sides[d][1]) + 1 for d in documents)
        lane_of = batch.spans[:, 0].tolist()
        assert lane_of == sorted(lane_of)
        if not aligned:
            assert batch.counted.sum() == batch.count
    assert sorted(found) == [n for n, length in enumerate(pairs.lengths) if length <= 48]


def test_words_and_their_sounds_leave_few_steps_empty():
    words = lowered_words()
    pairs = _pairs([([3] * len(word), [4] * len(in_pig_latin(word))) for word in words])
    batches = [batch for batch, _ in pairs.chunks(16, 64)]
    steps = sum(batch.counted.size + batch.first.inputs.size for batch in batches[:-1])
    last = batches[-1]
    used = pairs.left.tokens.size + pairs.targets
    used -= int(last.counted.sum() + np.count_nonzero(last.first.inputs))
    assert used / steps > 0.85


@given(st.lists(st.tuples(SIDE.filter(len), SIDE), min_size=1, max_size=20), st.data())
def test_some_pairs_are_those_of_the_whole(sides, data):
    pairs = _pairs(sides)
    chosen = data.draw(st.lists(st.integers(0, len(sides) - 1), max_size=9))
    some = pairs.take(np.array(chosen, np.int64))
    for side, own in ((some.left, 0), (some.right, 1)):
        parts = np.split(side.tokens, side.ends)[:-1]
        assert [part.tolist() for part in parts] == [sides[n][own] for n in chosen]


@given(st.lists(SIDE, min_size=1, max_size=20))
def test_ctc_needs_a_step_for_each_symbol_and_between_two_that_are_alike(sides):
    expected = [len(s) + sum(a == b for a, b in itertools.pairwise(s)) for s in sides]
    assert needed_steps(Sides.of(sides)).tolist() == expected


def test_characters_are_read_as_often_as_nearly_all_need():
    left = Sides.of([[3, 4]] * 2000)
    assert suited_repeats(left, Sides.of([[5, 6]] * 1998 + [[5] * 9] * 2)) == 1
    assert suited_repeats(left, Sides.of([[5, 6]] * 1980 + [[5, 6, 7]] * 20)) == 2
    assert suited_repeats(left, Sides.of([[5] * 90] * 2000)) == 8


def test_what_does_not_fit_is_left_out_and_said(tmp_path):
    long = "z" * 90
    path = _write(tmp_path, "".join(f"{w}\t{w}\n" for w in [*lowered_words(), long]))
    trainer = small_trainer(path, text=PAIRS, sequence_length=64)
    assert trainer.lanes.length == 64
    from charrnn.cli.remarks import remarks_on

    assert any("1 pair left out, longer than 64 steps" in line for line in remarks_on(trainer))
    path = _write(tmp_path, "".join(f"{w}\t{w}\n" for w in lowered_words()) + "a\tbcdefghijkl\n")
    trainer = small_trainer(path, text=TextConfig(task="pairs", decoder="ctc"))
    assert any("1 pair left out, with more symbols" in line for line in remarks_on(trainer))


def test_pairs_that_are_all_too_long_are_refused(tmp_path):
    path = _write(tmp_path, "".join(f"{w}\t{w}\n" for w in lowered_words()))
    with pytest.raises(UsageError, match=r"no pair fits into 5 steps: .* of 7 or more"):
        small_trainer(path, text=PAIRS, sequence_length=5)


# What is learned


@pytest.mark.parametrize(
    ("model", "rule", "least"), [(answerer, in_pig_latin, 0.9), (aligner, doubled, 0.8)]
)
def test_words_that_were_held_back_are_answered(model, rule, least):
    words = lowered_words()
    answers = reader(model()).answers(words, beams=2)
    assert all(answer.text == word for answer, word in zip(answers, words, strict=True))
    right = [a.output.replace(" ", "") == rule(w) for a, w in zip(answers, words, strict=True)]
    assert np.mean(right) > least
    assert model().training["validation_loss"] < 0.4


def test_attention_and_peaks_are_where_a_symbol_comes_from():
    word = "thankful"
    (answer,) = reader(answerer()).answers([word])
    places = answer.candidates[0].alignment
    assert answer.output == "ankfulthay" and len(places) == 10
    assert np.corrcoef(places[:6], range(2, 8))[0, 1] > 0.9
    (answer,) = reader(aligner()).answers([word])
    places = answer.candidates[0].alignment
    assert answer.output == "t h aa n k f uu l"
    assert places == sorted(places) and np.abs(np.array(places) - range(8)).max() <= 1


@pytest.mark.parametrize("model", [answerer, aligner])
def test_answers_are_the_same_alone_and_beside_others_on_any_threads(model):
    words = [*lowered_words()[::40], "a", "zzzz", "x" * 70, "\U0001f600?"]
    whole = reader(model(), threads=3).answers([*words, ""])
    assert whole[-1] is None
    own = reader(model())
    for word, expected in zip(words, whole, strict=False):
        assert own.answers([word]) == [expected]


@pytest.mark.parametrize("model", [answerer, aligner])
def test_more_beams_find_no_less_likely_answers(model):
    """And the candidates are different, the best first; probabilities add up to no more than 1."""
    words = lowered_words()[::25]
    own = reader(model())
    few, many = own.answers(words, beams=1), own.answers(words, beams=8)
    for one, others in zip(few, many, strict=True):
        outputs = [candidate.output for candidate in others.candidates]
        assert len(set(outputs)) == len(outputs) <= 8
        chances = [candidate.probability for candidate in others.candidates]
        assert max(chances) >= one.candidates[0].probability * (1 - 1e-6)
        assert 0 < sum(chances) <= 1 + 1e-6


@pytest.mark.parametrize(("texts", "said"), [("fox\n", "1 answer was cut"),
                                             ("fox\n\nox\n", "2 answers were cut")])  # fmt: skip
def test_an_answer_has_an_end(tmp_path, texts, said):
    """Where a model never ends by itself, it is cut off, and that is said."""
    saved = answerer()
    tensors = {name: tensor.copy() for name, tensor in saved.tensors.items()}
    tensors["readout.bias"][END] = -100
    endless = type(saved)(**{**vars(saved), "tensors": tensors})
    (answer,) = reader(endless).answers(["fox"])
    most = 2 * saved.training["longest"] + 10
    assert answer.cut and len(answer.candidates[0].output) == most
    save_model(tmp_path / "m", endless)
    done = invoke("apply", "--model", tmp_path / "m", stdin=texts)
    assert done.stderr.startswith(f"{said} off after {most} symbols")


def test_several_models_answer_together(tmp_path):
    """With themselves as alone; probabilities of others are averaged."""
    path = tmp_path / "m.safetensors"
    save_model(path, answerer())
    alone, twice = load_together([path]), load_together([path, path])
    words = lowered_words()[::50]
    for one, two in zip(alone.answers(words), twice.answers(words), strict=True):
        assert one.output == two.output
        assert two.candidates[0].probability == pytest.approx(one.candidates[0].probability)
    other = tmp_path / "other.safetensors"
    save_model(other, aligner())
    # A second model that says nothing is heard, by a copy too.
    saved = answerer()
    tensors = {name: np.zeros_like(tensor) for name, tensor in saved.tensors.items()}
    save_model(tmp_path / "mute", type(saved)(**{**vars(saved), "tensors": tensors}))
    mixed = load_together([path, tmp_path / "mute"])
    answers = mixed.answers(words[:3])
    assert answers != alone.answers(words[:3])
    assert pickle.loads(pickle.dumps(mixed)).answers(words[:3]) == answers
    with pytest.raises(UsageError, match="answer together that have learned the same pairs"):
        load_together([path, other])
    with pytest.raises(UsageError, match="a file holds one: save each of them by itself"):
        mixed.save(tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_models_that_answer_together_take_turns_with_those_who_use_one_of_them():
    one, two = reader(answerer()), reader(answerer())
    groups = [one.together_with([two, one]), two.together_with([one])]
    expected = one.answers(["fox"])[0].output

    def answer(group, times):
        for _ in range(times):
            assert group.answers(["fox"])[0].output == expected
        answered.append(group)

    def in_threads(times):
        started = [threading.Thread(target=answer, args=(g, times), daemon=True) for g in groups]
        for thread in started:
            thread.start()
        return started

    answered = []
    with two.network.turns.take():
        waiting = in_threads(1)
        waiting[0].join(1)
        assert answered == []
    for thread in waiting + in_threads(20):
        thread.join(60)
    assert len(answered) == 4


@pytest.mark.parametrize("model", [answerer, aligner])
def test_a_copy_answers_alike(model):
    own = reader(model())
    assert pickle.loads(pickle.dumps(own)).answers(["fox"]) == own.answers(["fox"])


@pytest.mark.parametrize("model", [answerer, aligner])
def test_a_text_may_be_long_but_not_endless(model):
    own = reader(model())
    (answer,) = own.answers(["the" * 400])
    most = len("the" * 400) if model is aligner else own.most
    assert 0 < len(answer.output.replace(" ", "")) <= 2 * most
    with pytest.raises(UsageError, match=r"a line of 16,385 characters is too long: .* 16,384"):
        own.answers(["x", "x" * 16_385])


def test_right_sides_without_symbols_teach_nothing(tmp_path):
    with pytest.raises(CorpusError, match="all right sides are empty"):
        read_told([_write(tmp_path, "a\t\nb\t\n")], PAIRS, Known())


def test_labels_are_told_behind_a_tab(tmp_path):
    path = _write(tmp_path, "".join(f"{w}\t{w}\ten\n{w}\t{w[::-1]}\tre\n" for w in "abc" * 30))
    trainer = small_trainer(path, text=PAIRS, steps=5)
    run(trainer)
    figures = describe(trainer.best)
    assert figures["output_symbols"] == ["a", "b", "c"] and figures["labels"] == ["en", "re"]
    own = reader(trainer.best)
    (answer,) = own.answers(["ab\tre"])
    assert answer.text == "ab" and all(place < 2 for place in answer.candidates[0].alignment)
    with pytest.raises(UsageError, match="there is no label 'fr'"):
        own.answers(["ab\tfr"])
    with pytest.raises(UsageError, match="have 1 label, here there are 0: give as many"):
        own.answers(["ab"])
    with pytest.raises(UsageError, match="a tab too many: the model has learned pairs without"):
        reader(answerer()).answers(["ab\ten"])


@pytest.mark.parametrize(("labels", "message"), [
    ("\tfr", "there is no label 'fr'; there are en, re"),
    ("\ten\tre", "have 1 label, here there are 2: give as many"),
])  # fmt: skip
def test_a_line_with_other_labels_is_named_by_all_who_read_it(tmp_path, labels, message):
    corpus = _write(tmp_path, "".join(f"{w}\t{w}\ten\n{w}\t{w}\tre\n" for w in "abc" * 30))
    path, lines = tmp_path / "m.safetensors", tmp_path / "others.tsv"
    trainer = small_trainer(corpus, text=PAIRS, steps=5)
    run(trainer)
    save_model(path, trainer.best)
    lines.write_text(f"a\ta\ten\n\nb\tb{labels}\n")
    done = invoke("apply", "--model", path, stdin=f"a\ten\n\nb{labels}\n")
    assert_one_line_error(done, 1, "line 3 of -: ", message)
    assert_one_line_error(invoke("evaluate", "--model", path, lines), 1, "line 3 of", "label")
    lines.write_text(f"b\tb{labels}\n")
    assert_one_line_error(invoke("evaluate", "--model", path, lines), 1, "line 1 of", message)
    with pytest.raises(CorpusError, match=f"line 1 of .*{message}"):
        small_trainer(corpus, text=dataclasses.replace(PAIRS, validation=str(lines)))


# Measures


def test_the_nearest_of_several_right_sides_counts():
    told = [("kitten", ["sitting", "mitten"]), ("a", ["a", "b"]), ("", ["x"])]
    figures = pair_measures(told)
    assert figures["texts"] == 3 and figures["error_rate"] == pytest.approx(2 / 3)
    assert figures["symbol_error_rate"] == pytest.approx((1 + 0 + 1) / (6 + 1 + 1))


# The command line


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, answerer())
    return path


def test_apply_answers_each_line(model):
    done = invoke("apply", "--model", model, stdin="thankful\n\nfox\n")
    assert done.stdout.splitlines()[:2] == ["ankfulthay", ""] and len(done.stdout.splitlines()) == 3
    best = invoke("apply", "--model", model, "--best", 3, stdin="thankful\n").stdout.split("\t")
    assert len(best) == 6 and best[0] == "ankfulthay" and float(best[1]) > float(best[3])
    best = invoke("apply", "--model", model, "--best", 6, stdin="thankful\n").stdout.split("\t")
    assert len(best) == 12
    told = json.loads(invoke("apply", "--model", model, "--json", stdin="fox\n").stdout)
    (output,) = told["outputs"]
    assert told["text"] == "fox" and output.keys() == {
        "output", "probability", "alignment", "whole"
    }  # fmt: skip


def test_evaluate_measures_what_is_given(model, tmp_path):
    lines = [f"{word}\t{in_pig_latin(word)}" for word in lowered_words()[::20]]
    path = _write(tmp_path, "\n".join([*lines, "fox\tquite wrong"]) + "\n")
    figures = json.loads(invoke("evaluate", "--model", model, path, "--json").stdout)
    assert figures["texts"] == len(lines) + 1
    assert 1 / figures["texts"] <= figures["error_rate"] < 0.2
    assert 0 < figures["symbol_error_rate"] < 0.2 and math.isfinite(figures["nats_per_symbol"])
    twice = json.loads(invoke("evaluate", *("--model", model) * 2, path, "--json").stdout)
    assert {**twice, "nats_per_symbol": figures["nats_per_symbol"]} == figures
    assert "nats_per_symbol" not in twice  # there is one loss to each network


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sample", "writes no text, it answers what it reads: use charrnn apply"),
        ("neurons {pairs}", "what its units stand for is not shown"),
        ("apply --best 65", "--best must be from 1 to 64 of a model of pairs, not 65"),
        ("apply --terms 3", "--terms and --temperature are for models that tell labels"),
        ("apply --best 4 --beams 2", "--best 4 is more than --beams 2 can find"),
        ("evaluate --lines {pairs}", "are for models that write"),
        ("train {pairs} --task pairs --cell jordan", "jordan only writes"),
        ("train {pairs} --task pairs --initial-state random", "zeros or learned"),
        ("train {pairs} --decoder ctc", "--decoder and --target-symbols are for the task pairs"),
        ("train {pairs} --task pairs --decoder ctc --label-smoothing 0.1", "attention"),
        ("train {pairs} --task pairs --sample-every 5", "--sample-every shows"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(model, tmp_path, command, message):
    pairs = _write(tmp_path, "".join(f"{w}\t{doubled(w)}\n" for w in lowered_words()))
    given = command.format(pairs=pairs).split()
    target = tmp_path / "new.safetensors" if given[0] == "train" else model
    done = invoke(*given, "--model", target, stdin="fox\n")
    assert_one_line_error(done, 2, message)
