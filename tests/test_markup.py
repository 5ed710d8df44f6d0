"""Tags in lines are read, written and found, against their definitions."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import CharrnnError, CorpusError, UsageError
from charrnn.text.labels import Labels
from charrnn.text.markup import Span, TagScheme, parse, write

_TEXT = st.text(st.sampled_from("<>&;/lt gamp_a1\n\ud800é") | st.characters(), max_size=20)
_NAMES = st.sampled_from(["a", "_", "Zip-Code", "lt", "x.1_é"])


@st.composite
def tagged(draw, names=_NAMES):
    """A text and spans in it."""
    text = draw(_TEXT)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), unique=True)))
    gaps = [Span(draw(names), *cut) for cut in pairwise(cuts) if draw(st.booleans())]
    return text, gaps


@given(tagged())
def test_what_is_written_is_read(pair):
    assert parse(write(*pair), 1) == pair


@given(_TEXT)
def test_a_line_is_refused_or_comes_back(line):
    """What is read of any line, written and read again, is the same."""
    try:
        read = parse(line, 1)
    except CorpusError:
        return
    assert parse(write(*read), 1) == read


def test_a_line():
    line = "<Number>12</Number> <Street>A &amp; B</Street>&lt; <1> </> <a b> <b/> x<y R&D &lt"
    text = "12 A & B< <1> </> <a b> <b/> x<y R&D &lt"
    assert parse(line, 1) == (text, [Span("Number", 0, 2), Span("Street", 3, 8)])
    assert write("a<b>&", []) == "a&lt;b&gt;&amp;"
    assert parse("", 1) == ("", [])
    assert parse("<a>x</a><a>y</a>", 1) == ("xy", [Span("a", 0, 1), Span("a", 1, 2)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a <Zip>1", r"line 1,017: <Zip> is not closed; write </Zip> where it ends"),
        ("a</Zip>", r"line 1,017: </Zip> closes nothing; write <Zip>"),
        ("<a>x</b>", r"<a> is closed by </b>; write </a>"),
        ("<a>x<b>y</b></a>", r"<b> stands inside <a>.*write </a>"),
        ("<a>x<a>y</a></a>", r"<a> stands inside <a>"),
        ("x<a></a>", r"<a></a> holds no text; leave it out"),
    ],
)
def test_what_is_no_markup_says_where_and_what_to_do(line, message):
    with pytest.raises(CorpusError, match=message):
        parse(line, 1017)


def _scheme(*names):
    return TagScheme(Labels(names))


def test_classes_of_characters():
    scheme = _scheme("x", "y")
    assert scheme.size == 5
    assert scheme.names == ("O", "B-x", "I-x", "B-y", "I-y")
    spans = [Span("y", 1, 3), Span("y", 3, 4), Span("x", 5, 6)]
    assert scheme.classes(7, spans).tolist() == [0, 3, 4, 3, 0, 1, 0]
    assert scheme.classes(0, []).size == 0
    with pytest.raises(UsageError, match="no label 'z'"):
        scheme.classes(1, [Span("z", 0, 1)])


def test_a_scheme_is_learned_in_the_order_of_names():
    spans = [Span(name, 0, 1) for name in "bacab"]
    assert TagScheme.learn(spans).labels.names == ("b", "a", "c")
    with pytest.raises(CorpusError, match="no line has a tag"):
        TagScheme.learn([])


@given(st.lists(_NAMES, min_size=1, unique=True))
def test_a_scheme_is_read_back_from_the_names_of_its_classes(names):
    scheme = _scheme(*names)
    assert TagScheme.of(scheme.names) == scheme


@pytest.mark.parametrize(
    "classes",
    [
        (),
        ("O",),
        ("O", "B-x"),
        ("O", "B-x", "I-y"),
        ("O", "x", "I-x"),
        ("B-x", "I-x", "O"),
        ("", "B-x", "I-x"),
    ],
)
def test_other_classes_are_none_of_tags(classes):
    with pytest.raises(CharrnnError):
        TagScheme.of(classes)


@pytest.mark.parametrize("name", ["", "1a", "a b", "-a", "a>", "a\n"])
def test_names_that_are_no_tags_are_refused(name):
    with pytest.raises(CharrnnError, match="no name of a tag"):
        _scheme("a", name)


def test_too_many_tags_are_refused():
    names = [f"t{i}" for i in range(32_768)]
    assert _scheme(*names[:-1]).size == 65_535
    with pytest.raises(CharrnnError, match="32,768 tags"):
        _scheme(*names)


def _is_well_formed(classes):
    """Every I-x comes after B-x or I-x."""
    return all(c == 0 or c % 2 or b in (c - 1, c) for b, c in pairwise([0, *classes]))


def _best_by_trying_all(scores):
    n, size = scores.shape
    return max(
        sum(scores[range(n), classes])
        for classes in product(range(size), repeat=n)
        if _is_well_formed(classes)
    )


def _log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def _texts(rng, tags, lengths, spread=3):
    shapes = [(n, 1 + 2 * tags) for n in lengths]
    return [_log_softmax(spread * rng.standard_normal(shape)).astype("f") for shape in shapes]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 2), st.lists(st.integers(0, 5), max_size=6))
def test_the_tags_are_the_best_of_all(seed, tags, lengths):
    scheme = _scheme("x", "y") if tags == 2 else _scheme("x")
    scores = _texts(np.random.default_rng(seed), tags, lengths)
    found = scheme.spans(scores)
    assert len(found) == len(lengths)
    for own, n, (spans, confidences) in zip(scores, lengths, found, strict=True):
        classes = scheme.classes(n, spans)
        assert _is_well_formed(classes.tolist())
        if n:
            assert own[range(n), classes].sum() == pytest.approx(_best_by_trying_all(own), rel=1e-5)
        for (_, start, end), confidence in zip(spans, confidences, strict=True):
            mean = own[range(start, end), classes[start:end]].mean()
            assert confidence == pytest.approx(mean, rel=1e-5)


def test_many_texts_are_as_each_alone():
    """More than one block, and a text that is a block by itself."""
    rng = np.random.default_rng(3)
    scheme = _scheme("x", "y", "z")
    scores = _texts(rng, 3, [*rng.integers(0, 60, 1000), 20_000])
    together = scheme.spans(scores)
    assert together == [scheme.spans([own])[0] for own in scores]
    assert sum(len(spans) for spans, _ in together) > 1000


@given(st.data())
def test_tags_that_are_certain_are_found(data):
    names = st.sampled_from(["x", "y"])
    pairs = data.draw(st.lists(tagged(names), max_size=5))
    scheme = _scheme("x", "y")
    scores = []
    for text, spans in pairs:
        own = np.full((len(text), scheme.size), -np.inf)
        own[range(len(text)), scheme.classes(len(text), spans)] = 0
        scores.append(own)
    taggings = scheme.spans(scores)
    assert [tagging.spans for tagging in taggings] == [spans for _, spans in pairs]
    assert all(confidence == 0 for tagging in taggings for confidence in tagging.confidences)


def test_what_is_impossible_is_well_formed_all_the_same():
    scores = np.full((4, 5), -np.inf)
    assert _scheme("x", "y").spans([scores])[0].spans == []
    scores[:, 2] = 0
    scores[0, 2] = -np.inf
    spans, confidences = _scheme("x", "y").spans([scores])[0]
    classes = _scheme("x", "y").classes(4, spans)
    assert _is_well_formed(classes.tolist())
    assert all(confidence == -np.inf for confidence in confidences)
