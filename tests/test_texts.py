"""Texts as a library gives them: where they end, what they depend on, which are wanted."""

import functools
import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import config_of, random_network
from trained import FABLES, dinosaurs, fables, language_model, with_biases

from charrnn.config import MOST_BEAMS, SamplingConfig
from charrnn.errors import UsageError
from charrnn.inference.choosing import anything, choosing, copies_of, only_matches
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.pattern import compile_pattern
from charrnn.inference.selection import NothingNewError, Selection, lines_of
from charrnn.inference.session import Session
from charrnn.inference.texts import Text
from charrnn.text.copies import Copies
from charrnn.text.vocabulary import END, START, Vocabulary, code_points

ABC = "abc"


def _written(model, prompts=("",), *, seed=1, measured=False, **choices):
    """Texts of ``prompts``, with one seed after the other."""
    texts = model.author(**choices).texts(prompts, itertools.count(seed), measured=measured)
    return list(texts)


def _streamed(model, prompt="", *, seed=1, **choices):
    return "".join(model.author(**choices).stream(prompt, seed))


def _even(documents=1, **more):
    """A model of three letters without memory."""
    return language_model(with_biases(ABC, documents=documents, **more))


# Where a text ends


def _cut(text, stops, prompt=""):
    """The definition: ``text`` up to where it first ends with a stop, the stop, or None."""
    for n in range(1, len(text) + 1):
        for stop in stops:
            if (prompt + text[:n]).endswith(stop):
                return text[:n], stop
    return text, None


STOPS = st.lists(st.text(ABC, min_size=1, max_size=4), min_size=1, max_size=3)


@given(stops=STOPS, prompt=st.text(ABC, max_size=3), seed=st.integers(0, 50), dropped=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_text_ends_where_it_first_ends_with_one_of_these(stops, prompt, seed, dropped):
    """Printed or dropped; what it ends with may begin in the prompt."""
    model = _model_of_letters()
    free = _streamed(model, prompt, seed=seed, length=150)
    expected, stop = _cut(free, stops, prompt)
    if dropped and stop:
        expected = expected[: max(len(expected) - len(stop), 0)]
    choices = {"length": 150, "until": tuple(stops), "dropped": dropped}
    (text,) = _written(model, [prompt], seed=seed, **choices)
    assert (text.written, text.stopped) == (expected, "until" if stop else "length")
    assert _streamed(model, prompt, seed=seed, **choices) == expected


@functools.cache
def _model_of_letters():
    """One for all examples: making it takes longer than an example."""
    return _even()


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("at", [62, 63, 64, 65, 66, 130])
def test_a_stop_may_span_chunks(at, dropped):
    """Of 64 characters each, at first."""
    model = _even()
    free = _streamed(model, length=200, seed=3)
    stop = free[at - 9 : at]
    expected, _ = _cut(free, [stop])
    for choices in ({"length": 200}, {"length": math.inf}):
        choices |= {"until": (stop,), "dropped": dropped, "seed": 3}
        (text,) = _written(model, **choices)
        assert text.written == expected[: -len(stop) if dropped else None]
        assert _streamed(model, **choices) == text.written


def test_a_stream_holds_back_only_what_may_yet_be_dropped():
    model = _even()
    stop = "abcabcabcabc"
    pieces = model.author(length=1000, until=(stop,), dropped=True).stream("", 5)
    first = next(pieces)
    assert len(first) == 64 - (len(stop) - 1)
    assert first + "".join(pieces) == _streamed(model, seed=5, length=1000)
    assert len(next(model.author(length=1000, until=(stop,)).stream("", 5))) == 64


def test_a_stop_of_characters_that_the_model_lacks_is_refused():
    """It would never come."""
    for stop in ("é", "ab\n"):
        with pytest.raises(UsageError, match=r"no text ends with .* knows no"):
            _even().author(until=("a", stop))
    with pytest.raises(UsageError, match="must not be empty"):
        _even().author(until=("",))
    with pytest.raises(UsageError, match="give no `until`"):
        _even().author(until=("a",), match="a*")


@pytest.mark.parametrize(("length", "expected"), [(0, 0), (1, 1), (64, 64), (65, 65)])
def test_length_counts_what_is_written(length, expected):
    for prompts in (["ab"], ["ab", "", "c" * 100]):
        for text in _written(_even(), prompts, length=length):
            assert (len(text.written), text.stopped) == (expected, "length")


def test_texts_without_end_are_streamed_and_not_kept():
    model = _even()
    stream = model.author(length=math.inf).stream("", 1)
    assert len("".join(itertools.islice(stream, 20))) > 20 * 50
    for keep in (
        lambda: model.author(length=math.inf).texts([""], [1]),
        lambda: model.sample(math.inf),
        lambda: model.texts(math.inf, count=2),
        lambda: model.author(length=math.inf).likeliest("", 2),
    ):
        with pytest.raises(UsageError, match="`length`"):
            keep()
    assert len(next(iter(model.texts(math.inf, count=1)))) == 0
    assert model.sample(math.inf, until=("ab",), seed=1).endswith("ab")


def test_ends_may_be_ignored():
    model = language_model(dinosaurs())
    assert len(model.sample(200, seed=1)) < 60
    assert len(model.sample(200, seed=1, ignore_end=True)) == 200
    reasons = {text.stopped for text in _written(model, [""] * 20, length=9)}
    assert reasons == {"end", "length"}
    ignored = _written(model, [""] * 20, length=30, ignore_end=True)
    assert {text.stopped for text in ignored} == {"length"}


def test_where_nothing_is_allowed_a_text_is_over():
    """Every character may be a copy."""
    model = _even()
    copies = copies_of(model.vocabulary.encode("aabacbbcca"), 1)  # what follows a, b and c
    (text,) = _written(model, ["a"], length=50, copies=copies)
    assert (text.written, text.stopped) == ("", "nothing allowed")


# What a text depends on

PROMPTS = ["", "The ", "T", "The fox and the crow " * 5, "The fox", "q" * 64, "", "The "]


@pytest.mark.parametrize("source", [fables, dinosaurs])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_texts_side_by_side_are_those_that_each_prompt_gives_alone(source, threads):
    model, alone = language_model(source(), threads=threads), language_model(source())
    choices = {"length": 90, "top_p": 0.9, "repetition_penalty": 1.2, "dry": 0.5}
    texts = _written(model, PROMPTS, seed=7, **choices)
    assert [text.prompt for text in texts] == PROMPTS
    assert [text.seed for text in texts] == list(range(7, 7 + len(PROMPTS)))
    for text in texts:
        expected = alone.sample(prime=text.prompt, seed=text.seed, **choices)
        assert text.written == expected
        assert _streamed(alone, text.prompt, seed=text.seed, **choices) == expected


def test_a_text_has_the_seed_after_that_of_the_one_before():
    model = language_model(dinosaurs(), threads=2)
    texts = list(model.texts(30, count=70, seed=40, prime="Ty"))
    for number in (0, 1, 63, 64, 69):
        alone = model.sample(30, prime="Ty", seed=40 + number)
        assert texts[number] == f"Ty{alone}\n"


# What a text tells


@pytest.mark.parametrize("source", [fables, dinosaurs])
def test_texts_are_measured_as_they_are_scored(source):
    """Whatever filters and temperatures had a say; the end too."""
    model = language_model(source(), threads=2)
    prompts = ["", "Th", "Tyrann", "S"] * 3
    for choices in ({"length": 12}, {"length": 100, "temperature": 0.5, "top_k": 5}):
        texts = _written(model, prompts, measured=True, **choices)
        for text in texts:
            bits = model.score(text.whole, lines=source is dinosaurs).bits[0]
            count = text.predictions
            assert count == len(text.written) + (text.stopped == "end")
            own = bits[len(text.prompt) :][:count]
            np.testing.assert_allclose(text.nats, own.sum() * math.log(2), rtol=1e-5)
            assert text.nats_per_prediction == text.nats / count
        assert not any(text.nats for text in _written(model, prompts, **choices))
        if source is dinosaurs and choices["length"] == 12:
            assert {text.stopped for text in texts} == {"end", "length"}


def test_a_whole_document_is_measured_as_it_is_evaluated():
    model = language_model(dinosaurs())
    for text in _written(model, [""] * 10, length=60, measured=True):
        result = model.evaluate(text.written)
        assert text.stopped == "end" and text.predictions == result.predictions
        np.testing.assert_allclose(text.nats, result.nats, rtol=1e-5)


def test_nothing_has_no_mean():
    (text,) = _written(_even(), length=0, measured=True)
    assert (text.nats, text.predictions, text.nats_per_prediction) == (0, 0, math.inf)


# Which are wanted


def _text(written, *, prompt="", stopped="end", loss=1.0):
    size = len(written) + (stopped == "end")
    return Text(prompt, written, 1, stopped, loss * size, size)


def _whole(texts):
    return [text.whole for text in texts]


def test_only_wanted_texts_come_and_no_more_than_so_many():
    texts = [_text("a"), _text("b", stopped="length"), _text("a"), _text("bc", prompt="a"),
             _text("c"), _text("d", stopped="until")]  # fmt: skip
    assert _whole(Selection().among(texts, 3)) == ["a", "b", "a"]
    assert _whole(Selection().among(texts, None)) == ["a", "b", "a", "abc", "c", "d"]
    assert _whole(Selection(ended=True).among(texts, None)) == ["a", "a", "abc", "c"]
    assert _whole(Selection(unique=True).among(texts, None)) == ["a", "b", "abc", "c", "d"]
    known = frozenset(["abc", "b", "bc"])
    assert _whole(Selection(known=known).among(texts, 3)) == ["a", "a", "c"]
    assert _whole(Selection(1, True, True, known).among(texts, None)) == ["a", "c"]


def test_the_best_of_each_group_is_the_likeliest_a_character():
    losses = [3.0, 1.0, 2.0, 5.0, 4.0, 4.5, 0.5]
    texts = [_text("x" * (9 - n), loss=loss) for n, loss in enumerate(losses)]
    best = list(Selection(best_of=3).among(texts, None))
    assert [text.nats_per_prediction for text in best] == [1.0, 4.0, 0.5]
    wanted = Selection(best_of=3, ended=True).among([*texts[:3], _text("y", stopped="length")], 1)
    assert _whole(wanted) == ["x" * 8]


def test_the_best_of_what_a_model_writes():
    model = language_model(dinosaurs(), threads=2)
    texts = _written(model, [""] * 12, length=30, measured=True)
    best = list(Selection(best_of=4).among(texts, 3))
    for number, text in enumerate(best):
        group = texts[4 * number : 4 * number + 4]
        losses = [model.evaluate(one.written).nats_per_character for one in group]
        assert text is group[int(np.argmin(losses))]


def test_where_nothing_new_comes_that_is_said():
    model = language_model(with_biases("ab", documents=2))
    author, found = model.author(length=1), []
    texts = author.texts(itertools.repeat(""), itertools.count())
    with pytest.raises(NothingNewError, match=r"no more than 3 texts.* none was new"):
        found.extend(Selection(unique=True).among(texts, 4))
    endless = _even().author(length=5).texts(itertools.repeat(""), itertools.count())
    with pytest.raises(NothingNewError, match=r"no more than 0 texts: of the next 1,000 .*whole$"):
        list(Selection(ended=True).among(endless, 1))


def test_where_the_texts_end_before_there_are_enough_that_is_said():
    texts, found = [_text("a"), _text("b"), _text("c")], []
    with pytest.raises(NothingNewError, match=r"of the 3 texts .* 1 is new: .* more `beams`"):
        found.extend(Selection(known=frozenset("ab")).among(texts, 2))
    assert _whole(found) == ["c"]
    assert _whole(Selection(known=frozenset("d")).among(texts, 9)) == ["a", "b", "c"]


def test_a_copy_longer_than_the_corpus_is_allowed():
    corpus = np.array([3, 4, 5], np.uint16)
    assert copies_of(corpus, 10**20).length == 3


def test_known_lines_are_those_of_all_files(tmp_path):
    (tmp_path / "a").write_bytes("Yi\nMei Long\r\né".encode())
    (tmp_path / "b").write_bytes(b"Zby\n\n")
    paths = [str(tmp_path / name) for name in "ab"]
    assert lines_of(paths) >= {"Yi", "Mei Long", "é", "Zby"}
    assert "Mei" not in lines_of(paths)
    assert lines_of([]) == frozenset()


# The likeliest


def _tiny_model(documents, seed=1):
    network = random_network(
        config_of(("gru", "tanh"), 1, 5, vocabulary_size=6), dtype=np.float32, seed=seed
    )
    return LanguageModel(network, Vocabulary(ABC), {"documents": documents})


def _every_text(model, prompt, length, expression=None):
    """The mean loss of every text of up to so many characters, and whether it has an end.

    Those of as many characters have none: whether it would follow is not asked.
    """
    may_end, found = model.training["documents"] > 1, {}
    for size in range(length + 1):
        for letters in itertools.product(ABC, repeat=size):
            written = "".join(letters)
            if expression and not re.fullmatch(expression, written):
                continue
            losses = _losses(model, prompt, written)
            if size < length and may_end:
                found[written, True] = losses.mean()
            elif size == length:
                found[written, False] = losses[:-1].mean()
    return found


def _losses(model, prompt, written):
    """-log P of each character that was written and of the end, by a session of its own."""
    author = model.author()
    session = Session(
        model.network.program(1), author._choosing.chooser, author._choosing.recall(1)
    )
    tokens = [*model.vocabulary.encode(prompt + written).astype(np.int32), END]
    losses = []
    for token in tokens:
        logits = session.logits()[0, : model.vocabulary.size].astype(np.float64)
        losses.append(np.logaddexp.reduce(logits) - logits[token])
        session.feed(np.array([[token]], np.int32))
    return np.array(losses[len(prompt) :])


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize(("prompt", "expression"), [("", None), ("ca", None), ("b", "[ab]c*|cab?")])
def test_with_beams_for_all_texts_the_best_is_the_best_of_all(documents, prompt, expression):
    model = _tiny_model(documents)
    expected = _every_text(model, prompt, 4, expression)
    if expression and documents == 1:  # a text ends there too, but only where nothing can follow
        expected = {key: 0 for key in expected}
    found = model.author(length=4, match=expression).likeliest(prompt, 500)
    assert found == sorted(found, key=lambda text: text.nats_per_prediction)
    keys = [(text.written, text.stopped == "end") for text in found]
    assert len(set(keys)) == len(keys)
    for key, text in zip(keys, found, strict=True):
        losses = _losses(model, prompt, text.written)
        own = losses if key[1] else losses[:-1]
        assert (text.predictions, text.seed) == (own.size, None)
        np.testing.assert_allclose(text.nats, own.sum(), rtol=1e-5)
        assert not expression or re.fullmatch(expression, text.written)
    if not expression or documents > 1:
        assert set(keys) == set(expected)
        assert min(expected, key=expected.__getitem__) == keys[0]


@pytest.mark.parametrize("source", [fables, dinosaurs])
def test_one_beam_is_the_likeliest_character_each_time(source):
    model = language_model(source())
    for prompt in ("", "Th", "Megalo"):
        (text,) = model.author(length=40).likeliest(prompt, 1)
        assert text.written == model.sample(40, prime=prompt, temperature=0)


def test_more_beams_find_likelier_texts():
    author = language_model(fables()).author(length=25)
    best = [
        [author.likeliest(prompt, beams)[0].nats for prompt in ("The ", "A", "so")]
        for beams in (1, 30)
    ]
    assert all(many <= one for one, many in zip(*best, strict=True)) and best[0] != best[1]


def test_chance_has_no_part_in_the_likeliest():
    model = _even()
    for choices in (
        {"temperature": 0.5}, {"top_k": 3}, {"dry": 1.0}, {"until": ("a",)}, {"mirostat": 3.0},
        {"copies": copies_of(model.vocabulary.encode("abc"), 2)},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="likeliest"):
            model.author(length=5, **choices).likeliest("", 2)


# Matches

EXPRESSIONS = ["The [a-z]+ (fox|dog)\\.", "[A-Z][a-z]{3,8}", "(a|b|c)*d?", "\\w+ \\w+", ".*"]
CONTROLS = [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.3, "repetition_penalty": 3.0},
            {"temperature": 1e9}, {"mirostat": 2.0}, {"typical": 0.2, "min_p": 0.1, "dry": 5.0},
            {"ignore_end": True}]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("source", [fables, dinosaurs])
def test_every_text_matches(source, expression):
    """With whatever says how to choose, after whatever prompt, in however few characters."""
    model = language_model(source(), threads=2)
    vocabulary = "".join(model.vocabulary.characters)
    if source is dinosaurs:
        expression = expression.replace(" ", "").replace("\\.", "")
    shortest = int(compile_pattern(expression, model.vocabulary).distance[0])
    for controls, length in itertools.product(CONTROLS, (shortest, shortest + 1, 40)):
        for text in _written(model, ["", "Th", vocabulary], length=length, match=expression,
                             **controls):  # fmt: skip
            assert re.fullmatch(expression, text.written), text
            assert len(text.written) <= length
            assert text.stopped in ("end", "length")


def test_a_text_of_one_document_goes_on_as_long_as_it_can_match():
    model = language_model(fables())
    texts = _written(model, [""] * 20, length=30, match="[a-z]{2,5}")
    assert {(len(text.written), text.stopped) for text in texts} == {(5, "end")}
    texts = _written(model, [""] * 20, length=4, match="[a-z]{2,5}")
    assert {(len(text.written), text.stopped) for text in texts} == {(4, "length")}
    assert len(model.sample(30, match="[a-z]*")) == 30


def test_a_length_below_the_shortest_match_is_refused():
    model = language_model(fables())
    assert model.sample(3, match="The( fox)?") == "The"
    for length in (0, 2):
        with pytest.raises(UsageError, match=r"shortest match has 3 characters.*`length`"):
            model.sample(length, match="The( fox)?")
    assert model.sample(0, match="a*") == ""


# Copies


@pytest.mark.parametrize("most", [2, 5, 12])
def test_nothing_longer_is_copied(most):
    model = language_model(fables(), threads=2)
    corpus = FABLES.read_text(encoding="utf-8")
    copies = copies_of(model.vocabulary.encode(corpus), most)
    finder = Copies(code_points(corpus), most + 1)
    prompts = ["", "Once there was", "\nThe "]
    for controls in ({"temperature": 0.5}, {"temperature": 0}):
        texts = _written(model, prompts, length=150, copies=copies, **controls)
        assert {len(text.written) for text in texts} == {150}
        for text in texts:
            inherited = max(len(text.prompt) - most, 0)  # what the prompt copies by itself
            assert not finder.runs(code_points(text.whole[inherited:]))
    free = _written(model, prompts, length=150, temperature=0)
    assert most > 5 or all(finder.runs(code_points(text.whole)) for text in free)


# Sessions that go on from others


def _session(model, texts, **choices):
    config = SamplingConfig(**choices)
    if config.match:
        pattern = compile_pattern(config.match, model.vocabulary)
        allowed = only_matches(pattern, model.network.dtype, may_end=True)
    else:
        allowed = anything(model.vocabulary.size, model.network.dtype, may_end=True)
    own = choosing(config, model.vocabulary, allowed)
    return Session(model.network.program(texts), own.chooser, own.recall(texts))


@pytest.mark.parametrize(
    "choices",
    [{}, {"dry": 2.0, "dry_length": 1, "repetition_penalty": 2.0}, {"mirostat": 2.0},
     {"match": "[A-Z][a-z]*aur[a-z]*"}],
)  # fmt: skip
def test_a_session_goes_on_exactly_from_another(choices):
    """States, what is remembered, and which texts are over: to the last bit."""
    model, rng = language_model(dinosaurs()), np.random.default_rng(4)
    first = _session(model, 3, **choices)
    uniforms, later = rng.random((3, 8)), rng.random((3, 20))
    first.prepare(np.full((3, 8), -1), uniforms)
    first.advance(0, 1)
    chosen = np.array([2, 0, 0, 1, 2])
    taken = _session(model, 5, **choices)
    taken.feed(np.full((5, 2), START + 5, np.int32))  # which is forgotten
    taken.take(first, chosen)
    np.testing.assert_array_equal(taken.logits(), first.logits()[chosen])
    for session, own in ((first, later), (taken, later[chosen])):
        session.prepare(np.full(own.shape, -1), own, measured=True)
        session.advance(0, 1)
    for name in ("ended", "written"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(first, name)[chosen])
    before_end = first.tokens[chosen] == taken.tokens
    assert before_end[:, 0].all() and (before_end | (taken.nats == 0)).all()
    np.testing.assert_array_equal(taken.nats, first.nats[chosen])
    np.testing.assert_array_equal(taken.logits(), first.logits()[chosen])


def test_texts_of_a_session_may_change_places():
    model = language_model(fables())
    session = _session(model, 3)
    before = session.feed(np.array([[5, 6], [7, 8], [9, 10]], np.int32))
    session.take(session, np.array([1, 1, 0]))
    np.testing.assert_array_equal(session.logits(), before[[1, 1, 0]])


def test_a_search_with_too_many_beams_is_refused():
    """Each is a text in memory, with the probability of every character behind it."""
    author = language_model(dinosaurs()).author(length=3)
    for beams in (0, MOST_BEAMS + 1):
        with pytest.raises(UsageError, match="beams must be from 1 to"):
            author.likeliest("", beams)
