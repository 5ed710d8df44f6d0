"""Models that read, as a library: what they tell, alone or with others, of any text."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from readers import (
    labeller,
    labeller_of_several,
    names,
    reader,
    restorer,
    restorer_of_spaces,
    tagged_lines,
    tagger,
    words,
)
from trained import FABLES

from charrnn.inference.measures import RestoredMeasures
from charrnn.inference.models import load
from charrnn.inference.restoration import last_of
from charrnn.text.lines import text_of
from charrnn.text.markup import parse
from charrnn.text.vocabulary import code_points
from charrnn.training.reading import (
    document_losses,
    position_logits,
    suited_temperature,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def _entropy(counts):
    shares = np.array([n for n in counts if n]) / sum(counts)
    return float(-(shares * np.log(shares)).sum())


def test_all_learn_more_than_how_common_each_class_is():
    """Losses on texts that were held back, beside those of the classes' own frequencies."""
    held_back = {
        labeller: _entropy([len(names()), len(words())]),
        labeller_of_several: sum(
            _entropy([n, len(words()) - n])
            for n in (sum(vowel in word for word in words()) for vowel in "aeiou")
        ),
    }
    spans = [span for line in tagged_lines() for span in parse(line, 1)[1]]
    lengths = [span.end - span.start for span in spans]
    insides = [sum(lengths[n::2]) - len(lengths[n::2]) for n in (0, 1)]
    characters = sum(len(parse(line, 1)[0]) for line in tagged_lines())
    begins = [len(spans) // 2] * 2
    held_back[tagger] = _entropy([*begins, *insides, characters - sum(lengths)])
    for model, entropy in held_back.items():
        assert model().training["validation_loss"] < 0.6 * entropy


# Labels


def test_a_labeller_tells_what_it_has_learned():
    model = reader(labeller())
    for lines, label in ((names()[::40], "dinosaur"), (words()[::40], "word")):
        found = model.answers([line.lower() for line in lines])
        assert np.mean([answer.labels == (label,) for answer in found]) > 0.8


def test_probabilities_are_of_all_labels_the_likeliest_first():
    (found,) = reader(labeller()).answers(["tyrannosaurus"])
    assert list(found.probabilities) == ["dinosaur", "word"]
    assert found.labels == ("dinosaur",)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values())[::-1]


def test_a_text_is_told_the_same_alone_and_among_others_however_long_these_are():
    model = reader(labeller())
    texts = ["tyrannosaurus", "", "house", "x", "triceratops and others " * 40, "\ud800"]
    together = model.answers(texts)
    assert together[1] is None
    for text, answer in zip(texts, together, strict=True):
        (alone,) = model.answers([text])
        if text:
            assert alone.labels == answer.labels
            assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-6)


def test_the_same_for_any_number_of_threads():
    lines = [line.lower() for line in names()[:300]]
    one, three = (reader(labeller(), threads).logits(lines) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_the_temperature_found_in_training_is_used_unless_another_is_given():
    saved = labeller()
    model, heat = reader(saved), saved.training["temperature"]
    assert 0.05 < heat < 20
    logits = model.logits(["stegosaurus"])
    for given_, used in ((None, heat), (1.0, 1.0), (100.0, 100.0)):
        (found,) = model.answers(["stegosaurus"], temperature=given_)
        expected = np.exp(logits[0] / used) / np.exp(logits[0] / used).sum()
        assert found.probabilities["dinosaur"] == pytest.approx(expected[0])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("heat", [0.3, 1.0, 4.0])
def test_the_suited_temperature_is_that_of_the_least_loss(heat, several):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if several:
        classes = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    else:
        classes = np.array([rng.choice(3, p=own) for own in chances])
    found = suited_temperature(logits * heat, classes)
    assert found == pytest.approx(heat, rel=0.1)
    losses = [
        document_losses(logits * heat / t, classes).mean() for t in (found / 1.2, found * 1.2)
    ]
    assert document_losses(logits * heat / found, classes).mean() < min(losses)


def test_terms_are_the_words_without_which_the_label_is_less_likely():
    model = reader(labeller())
    text = "house tyrannosaurus because"
    (found,) = model.answers([text], terms=2, temperature=1)
    assert 1 <= len(found.terms) <= 2 and found.terms[0].nats > 0
    drops = {}
    for word in text.split():
        (without,) = model.answers([text.replace(word, "")], temperature=1)
        label = found.labels[0]
        drops[word] = math.log(found.probabilities[label] / without.probabilities[label])
    first = found.terms[0]
    assert first.word == max(drops, key=drops.get)
    assert first.nats == pytest.approx(drops[first.word], abs=1e-4)
    assert text[first.start :].startswith(first.word)
    assert model.answers(["", "..."], terms=3)[1].terms == []


def test_several_labels_or_none():
    model = reader(labeller_of_several())
    found = model.answers(["aloe", "rhythm", "moon"])
    assert all(set(answer.labels) <= set("aeiou") for answer in found)
    for answer in found:
        assert set(answer.labels) == {n for n, p in answer.probabilities.items() if p >= 0.5}
    told = model.answers([word for word in words()[::9]])
    right = [set(a.labels) == set("aeiou") & set(a.text) for a in told]
    assert np.mean(right) > 0.5


# Tags


def test_a_tagger_finds_what_it_has_learned():
    (found,) = reader(tagger()).answers(["the Ankylosaurus of 12 & 84 eggs"])
    assert [(span.name, found.text[span.start : span.end]) for span in found.spans] == [
        ("animal", "Ankylosaurus"),
        ("count", "84"),
    ]
    assert found.markup.endswith("&amp; <count>84</count> eggs")
    assert all(0 < probability <= 1 for probability in found.probabilities)


@settings(max_examples=25, deadline=None)
@given(st.lists(ANY_TEXT, max_size=4))
@example(["<animal>", "&lt;", "the <count>7</count> eggs"])
def test_tags_are_well_formed_and_the_text_is_as_it_was(texts):
    for text, found in zip(texts, reader(tagger()).answers(texts), strict=True):
        if not text:
            assert found is None
        else:
            assert parse(found.markup, 1) == (text, found.spans)


# Restoring


def _reduced(model, text):
    (removed,) = model.restorer.remove([code_points(text, "surrogatepass")])
    return removed.kept.tobytes()


@settings(max_examples=25, deadline=None)
@given(st.lists(ANY_TEXT.filter(lambda text: "\n" not in text), max_size=4), st.booleans())
@example(["", "a", "", "WHAT? no"], False)
def test_only_what_is_missing_is_put_back(texts, by_line):
    """Taken out again the answer is what the text was, and what it had it keeps."""
    model = reader(restorer_of_spaces() if by_line else restorer())
    found = model.answers(texts)
    for text, answer in zip(texts, found, strict=True):
        if not text:
            assert answer is None
        else:
            assert _reduced(model, answer.text) == _reduced(model, text)


def test_running_text_is_restored_in_its_context():
    """Line by line: what one says depends on those around it, and on what stood before."""
    lines = FABLES.read_text(encoding="utf-8")[:6000].split("\n")
    model = reader(restorer())
    texts = [code_points(line) for line in lines]
    read = [text_of(removed.kept) for removed in model.restorer.remove(texts)]
    found = [answer.text if answer else "" for answer in model.answers(read)]
    measures = RestoredMeasures(model.restorer.gone)
    measures.add(tuple(code_points("\n".join(own)) for own in (lines, read, found)))
    figures = measures.figures()
    assert figures["word_error_rate"] < 0.87 * figures["word_error_rate_before"]
    parts = []
    for first, last in ((0, 1), (1, 9), (9, 10), (10, len(read))):
        before = last_of("", read[:first]) if first else ""
        parts += model.answers(read[first:last], before=before)
    assert parts == model.answers(read)


def test_margins_make_what_is_read_in_parts_like_what_is_read_at_once():
    """Far from the edges of a part it is what one long pass tells."""
    from charrnn.text.documents import Documents

    saved = restorer()
    model = reader(saved)
    codes = code_points(FABLES.read_text(encoding="utf-8")[:3000].lower())
    tokens = saved.vocabulary.table[codes]
    documents = Documents(tokens, np.array([3000]), np.zeros(3000, np.int32), True)
    batch = next(iter(documents.chunks(1, 3008))).batch
    whole = model.network.logits(batch)[:3000, 0]
    off = [
        np.abs(position_logits(model.network, documents, margin) - whole).mean()
        for margin in (0, 8, 32, 96)
    ]
    assert max(off[1:]) < off[0] / 2 and off[-1] < off[0] / 20


@pytest.mark.parametrize("saved", [labeller, labeller_of_several, tagger, restorer])
def test_saved_pickled_and_copied_it_gives_the_same_answers(saved, tmp_path):
    model, texts = reader(saved()), ["the Ankylosaurus of 12 eggs", "", "a fox"]
    model.save(tmp_path / "model")
    others = [load(tmp_path / "model", threads=1), pickle.loads(pickle.dumps(model))]
    for other in [*others, copy.deepcopy(model)]:
        assert type(other) is type(model) and other.training == model.training
        assert other.answers(texts) == model.answers(texts)
