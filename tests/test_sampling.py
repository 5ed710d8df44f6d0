"""What is drawn: the likeliest character, the model's distribution, the same for the same seed."""

import itertools
import math

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from samples import (
    assert_same_bits,
    choosing_of,
    config_of,
    every_variant,
    random_network,
    session_of,
)
from trained import dinosaurs, fables, language_model, with_biases

from charrnn.compute import threads
from charrnn.compute.readout import cross_entropy_rows
from charrnn.config import SamplingConfig
from charrnn.errors import UsageError
from charrnn.inference import sampling
from charrnn.storage.checkpoint import save_model
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import END, START, UNKNOWN


class _Twin:
    """One character at a time through ``Network.losses``: -log P of each is asked for in turn."""

    def __init__(self, network, *, may_end=True):
        self.network, self.size = network, network.config.vocabulary_size
        self.state = network.initial_state(self.size)
        self.forbidden = [START, UNKNOWN] if may_end else [START, UNKNOWN, END]

    def read(self, token):
        """log P of every token after ``token``; -inf for those that are never drawn."""
        shape = (1, self.size)
        targets = np.arange(self.size, dtype=np.int32).reshape(shape)
        inputs = np.full(shape, token, np.int32)
        batch = Batch(inputs, targets, np.full(shape, token == START, np.uint8))
        losses, self.state = self.network.losses(batch, self.state)
        logs = -losses[0].astype(np.float64)
        logs[self.forbidden] = -np.inf
        return logs

    def read_all(self, tokens):
        """The same after a text, which a document begins with."""
        return [self.read(token) for token in (START, *tokens)][-1]


def _draw(network, texts=1, *, length, temperature=1.0, prime=(), seed=1, may_end=True):
    """Sampled tokens of each text, in one array."""
    config = SamplingConfig(length=length, temperature=temperature)
    writer = sampling.Writer(network, choosing_of(network, config, may_end=may_end))
    read = np.array(prime, np.int64)
    pieces = writer.write([read] * texts, range(seed, seed + texts))
    return [np.concatenate([piece.tokens for piece in text]) for text in zip(*pieces, strict=True)]


@every_variant
@pytest.mark.parametrize(
    ("layers", "embedding", "prime"),
    [(1, 0, (4, 7, 9, 3)), (2, 5, ()), (3, 0, (5,) * 70)],
    ids=["prime", "", "long-prime"],
)
def test_temperature_0_takes_the_likeliest(cell, more, layers, embedding, prime):
    config = config_of(cell, layers, 20, embedding, vocabulary_size=37, **more)
    network = random_network(config, dtype=np.float32)
    twin = _Twin(network, may_end=False)
    logs, expected = twin.read_all(prime), []
    for _ in range(100):  # beyond one chunk
        expected.append(int(logs.argmax()))
        logs = twin.read(expected[-1])
    (found,) = _draw(network, length=100, temperature=0, prime=prime, may_end=False)
    assert found.tolist() == expected


@every_variant
def test_a_crew_of_threads_writes_what_one_thread_writes(cell, more, monkeypatch):
    """In chunks where all of them write, and in those where one does."""
    monkeypatch.setattr(threads, "available_threads", lambda: 3)
    config = config_of(cell, 2, 70, embedding_size=5, vocabulary_size=60, **more)
    monkeypatch.setattr(sampling, "_FIRST_TRIAL", 0.0)
    texts, sizes = {}, set()
    size_of = sampling._Crew.size
    monkeypatch.setattr(sampling._Crew, "size", lambda crew: sizes.add(n := size_of(crew)) or n)
    for count in 1, 2, 3:
        network = random_network(config, dtype=np.float32, threads=count)
        (texts[count],) = _draw(network, length=700, prime=range(3, 40), may_end=False)
        assert sizes == {1, count}
        sizes.clear()
    first, *others = texts.values()
    assert first.size == 700
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_crew_works_at_the_size_that_is_faster_and_tries_the_other_again(monkeypatch):
    now = 0.0
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now)
    crew, taken = sampling._Crew(4), []
    for chunk in range(300):
        alone = 3.0 if chunk < 100 else 0.5  # others' programs end, and one alone is slower
        size = crew.size()
        seconds = 1.0 / (alone if size == 1 else 1.0)
        now += seconds
        crew.note(size, 1, seconds)
        taken.append(size)
    assert taken[:2] == [4, 1]
    assert taken[2:100].count(1) >= 90
    assert 4 in taken[2:100]
    assert taken[160:].count(4) >= 130
    assert 1 in taken[160:]


def test_temperature_0_of_a_trained_model_stops_at_its_end():
    model = language_model(dinosaurs())
    twin = _Twin(model.network)
    logs, expected = twin.read_all(model.vocabulary.encode("Bar")), []
    while logs.argmax() != END and len(expected) < 60:
        expected.append(int(logs.argmax()))
        logs = twin.read(expected[-1])
    text = model.sample(60, temperature=0, prime="Bar")
    assert text == model.vocabulary.decode(expected)
    assert text == model.sample(60, temperature=0, prime="Bar", seed=99)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("source", ["names", "cell"])
def test_draws_follow_the_softmax(temperature, source):
    """Frequencies of the first character after a prompt, 4,000 texts."""
    if source == "names":
        model = language_model(dinosaurs(), threads=2)
        network, prime = model.network, model.vocabulary.encode("Ty")
    else:
        config = config_of(("gru", "tanh"), 2, embedding_size=5)
        network, prime = random_network(config, dtype=np.float32), [5, 3, 8]
    count = 4000
    first = [text[0] if text.size else END for text in
             _draw(network, count, length=1, temperature=temperature, prime=prime)]  # fmt: skip
    logs = _Twin(network).read_all(prime) / temperature
    expected = np.exp(logs - logs.max())
    expected /= expected.sum()
    found = np.bincount(first, minlength=expected.size) / count
    bound = 5 * np.sqrt(expected * (1 - expected) / count) + 1 / count
    assert (np.abs(found - expected) <= bound).all()
    assert np.count_nonzero(found) > 5 if temperature == 1 else True


@pytest.mark.parametrize(
    "temperature", [0, 1e-300, 1e-45, 1e-30, 1e-20, 0.01, 1, 100, 1e20, 1e29, 1e30, 1e45, 1e300]
)
@pytest.mark.parametrize("may_end", [True, False])
def test_start_and_unknown_are_never_drawn(temperature, may_end):
    """However likely they are; nor are columns that only pad the vocabulary."""
    saved = with_biases("abcd", biases=[(START, 50), (UNKNOWN, 60), (3, -1), (4, -50)])
    texts = _draw(language_model(saved).network, 50, length=20, temperature=temperature,
                  may_end=may_end)  # fmt: skip
    drawn = set(np.concatenate(texts).tolist())
    assert drawn <= {3, 4, 5, 6}
    assert all(text.size == 20 for text in texts) or may_end
    if temperature >= 1e20:
        assert drawn == {3, 4, 5, 6}
    if not may_end and temperature <= 0.01:
        assert drawn <= {5, 6}


@pytest.mark.parametrize("temperature", [1e-300, 1e-45, 1e-30, 1e-10, 1e-3])
def test_tiny_temperatures_are_stable(temperature):
    model = language_model(fables())
    assert model.sample(50, temperature=temperature) == model.sample(50, temperature=0)


@pytest.mark.parametrize("temperature", [1e10, 1e30, 1e38, 1e300])
def test_huge_temperatures_are_stable(temperature):
    model = language_model(fables())
    text = model.sample(300, temperature=temperature, seed=1)
    assert len(text) == 300
    assert set(text) <= set(model.vocabulary.characters)
    assert len(set(text)) > len(model.vocabulary.characters) / 2


@pytest.mark.parametrize("temperature", [-1, -1e-9, math.nan, math.inf, -math.inf])
def test_temperatures_out_of_range_are_refused(temperature, tmp_path):
    with pytest.raises(UsageError, match="from 0"):
        language_model(fables()).sample(5, temperature=temperature)
    save_model(tmp_path / "m", with_biases("ab"))
    for more in (), ("--count", 3):
        done = invoke("sample", "--model", tmp_path / "m", "--temperature", temperature, *more)
        assert_one_line_error(done, 2, "temperature", "from 0")
        assert not done.stdout


def test_the_same_seed_writes_the_same_text():
    model = language_model(fables())
    text = model.sample(200, seed=5)
    assert text == model.sample(200, seed=5)
    assert text == language_model(fables()).sample(200, seed=5)
    assert text != model.sample(200, seed=6)
    assert model.sample(200) != model.sample(200)
    assert text[:70] == model.sample(70, seed=5)


@pytest.mark.parametrize("source", [fables, dinosaurs])
def test_a_text_depends_on_its_number_alone(source):
    """Not on how many there are, nor on the threads that write them."""
    many = list(language_model(source()).texts(100, count=70, seed=3))
    assert len(many) == 70
    assert len(set(many)) > 60
    for team, count in itertools.product((1, 2, 3), (2, 3, 65, 70)):
        texts = list(language_model(source(), threads=team).texts(100, count=count, seed=3))
        assert texts == many[:count]
    one = language_model(source(), threads=2)
    assert "".join(one.texts(100, count=1, seed=3)) == many[0]
    assert one.sample(100, seed=3) + "\n" == many[0]


def test_a_text_comes_in_pieces():
    """Long before all of it is written."""
    pieces = language_model(fables()).texts(10**9, prime="The ")
    assert next(pieces) == "The "
    assert 0 < len(next(pieces)) <= 1000
    assert language_model(fables()).network.team.threads == 1


def test_a_prompt_has_a_say():
    model = language_model(fables())
    assert len({model.sample(50, prime=prime, seed=1) for prime in ("", "q", "The", "s")}) == 4
    assert model.sample(1, prime="The Heron and th", temperature=0) == "e"
    written = "".join(model.texts(20, prime="Once", seed=1))
    assert written == "Once" + model.sample(20, prime="Once", seed=1) + "\n"


def test_unseen_characters_of_a_prompt_are_unknown():
    model = language_model(fables())
    assert model.sample(50, prime="日本", seed=1) == model.sample(50, prime="Ωé", seed=1)
    (text,) = _draw(model.network, length=50, prime=[UNKNOWN] * 2, may_end=False)
    same = model.sample(50, prime="\ud800é", seed=1, temperature=1)
    assert model.vocabulary.decode(text) == same


@pytest.mark.parametrize("count", [1, 2, 70])
def test_length_0_is_the_prompt(count):
    model = language_model(fables())
    assert "".join(model.texts(0, prime="Oh", count=count)) == "Oh\n" * count
    assert model.sample(0) == ""


def test_names_end_by_themselves():
    names = list(language_model(dinosaurs(), threads=2).texts(200, count=200, seed=1))
    assert sum(len(name) < 60 for name in names) > 190
    assert all(name.count("\n") == 1 and name.endswith("\n") for name in names)
    assert len(set(names)) > 150


def test_a_model_of_one_document_writes_to_the_full_length():
    """The end is never drawn there, be it ever so likely; where there are more, it ends a text."""
    assert len(language_model(fables()).sample(3000, seed=1)) == 3000
    for documents, lengths in ((1, {90}), (2, {0})):
        model = language_model(with_biases("abc", documents=documents, biases=[(END, 60)]))
        assert {len(model.sample(90, seed=seed)) for seed in range(5)} == lengths
        assert {len(text) - 1 for text in model.texts(90, count=5)} == lengths


def test_an_end_in_a_later_chunk_ends_only_its_text():
    model = language_model(with_biases("abc", documents=2, biases=[(END, -3.5)]), threads=2)
    lengths = [len(text) - 1 for text in model.texts(1000, count=64, seed=1, temperature=1)]
    assert min(lengths) < sampling.CHUNK < max(lengths)
    expected = 3 * math.exp(3.5)  # of a geometric distribution
    assert abs(np.mean(lengths) - expected) < 5 * expected / 8


# Sessions


@every_variant
def test_logits_are_those_by_which_a_text_is_measured(cell, more):
    """Of each character that is fed, after all before it."""
    config = config_of(cell, 2, 20, vocabulary_size=37, **more)
    network, text = random_network(config, dtype=np.float32), np.arange(3, 30, dtype=np.int32)
    session = session_of(network)
    rows = [session.logits(), *(session.feed(text[n : n + 1, None]) for n in range(text.size - 1))]
    found = np.empty(text.size, np.float32)
    cross_entropy_rows(np.concatenate(rows), text, found)
    inputs = np.array([START, *text[:-1]], np.int32)[:, None]
    batch = Batch(inputs, text[:, None].copy(), (inputs == START).astype(np.uint8))
    losses, _ = network.losses(batch, network.initial_state(1))
    assert_same_bits(found, losses[:, 0])


def test_texts_of_a_session_do_not_see_one_another():
    network = random_network(config_of(("lstm", "tanh"), 2, 20), dtype=np.float32)
    tokens = np.random.default_rng(1).integers(3, 11, (3, 12))
    together = session_of(network, 3).feed(tokens)
    for text, logits in zip(tokens, together, strict=True):
        alone = session_of(network)
        alone.feed(text[None, :5])
        assert_same_bits(alone.feed(text[None, 5:])[0], logits)


@every_variant
def test_a_document_begins_anew_where_its_start_is_read(cell, more):
    """In one of the texts, while the other goes on."""
    config = config_of(cell, 2, 20, vocabulary_size=37, **more)
    network = random_network(config, dtype=np.float32)
    tokens = np.random.default_rng(1).integers(3, 37, (2, 9))
    session, alone, whole = session_of(network, 2), session_of(network), session_of(network)
    begun = tokens.copy()
    begun[1, 4] = START
    logits = session.feed(begun)
    assert_same_bits(logits[0], whole.feed(tokens[:1])[0])
    assert_same_bits(logits[1], alone.feed(tokens[1:, 5:])[0])


def test_a_program_is_made_once_for_many_texts(monkeypatch):
    network = random_network(config_of(("gru", "tanh"), 1, 8), dtype=np.float32, threads=2)
    made, program = [], network.program
    monkeypatch.setattr(network, "program", lambda room: made.append(room) or program(room))
    writer = sampling.Writer(network, choosing_of(network, SamplingConfig(length=5)))
    for count in (64, 64, 22):
        list(writer.write([np.empty(0, np.int64)] * count, range(count)))
    assert made == [32, 11]
