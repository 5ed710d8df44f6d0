"""Labels of texts that are written: which a position has, and where a network is told none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.text.running import Labelling, Lanes, RunningText
from charrnn.text.vocabulary import START


def labelled(lengths, columns=2, *, classes=5, seed=1):
    """Documents of these lengths, of which every character is another, with labels or none.

    (Another than its neighbours, where there are more than tokens have numbers for.)
    """
    characters = 3 + np.arange(sum(lengths)) % 60_000
    starts = np.cumsum([0, *lengths])[:-1]
    tokens = np.append(np.insert(characters, starts, START), START).astype(np.uint16)
    rng = np.random.default_rng(seed)
    return RunningText(tokens, rng.integers(-1, classes, (len(lengths), columns), np.int32))


some_lengths = st.lists(st.integers(1, 30), min_size=1, max_size=20)


@given(some_lengths)
def test_a_position_has_the_labels_of_its_document(lengths):
    text = labelled(lengths)
    document = np.repeat(np.arange(len(lengths)), np.array(lengths) + 1)
    assert text.starts.tolist() == np.flatnonzero(np.diff(document, prepend=-1)).tolist()
    positions = np.random.default_rng(2).permutation(text.positions)[:, None]
    found = text.labelling.at(positions)
    assert found.dtype == np.int32 and found.flags.c_contiguous
    np.testing.assert_array_equal(found[..., 0], text.labels[document[positions[:, 0]]].T)


def _told(text, key):
    """Of each position: whether it is told its labels, of which none is -1."""
    positions = np.arange(text.positions)[:, None]
    found = text.labelling.some_at(positions, key)
    told = found[0, :, 0] >= 0
    expected = np.where(told, text.labelling.at(positions)[..., 0], -1)
    np.testing.assert_array_equal(found[..., 0], expected, "all labels or none")
    return told


def _with_labels(lengths):
    text = labelled(lengths)
    return RunningText(text.tokens, np.abs(text.labels))


def test_a_tenth_of_the_documents_are_told_nothing():
    text = _with_labels([3] * 20_000)
    told = _told(text, (1, 0)).reshape(-1, 4)
    assert (told == told[:, :1]).all(), "of a whole document"
    assert np.mean(told) == pytest.approx(0.9, abs=0.01)
    for key in ((1, 1), (2, 0)):
        other = _told(text, key).reshape(-1, 4)[:, 0]
        assert np.mean(~told[:, 0] & ~other) == pytest.approx(0.01, abs=0.003), "drawn anew"
    np.testing.assert_array_equal(_told(text, (1, 0)).reshape(-1, 4), told)


def test_of_a_long_document_pieces_are_told_nothing():
    told = _told(_with_labels([30_000, 500_000]), (1, 0))
    for first, stop in ((0, 30_000), (30_001, 530_001)):
        pieces = np.array_split(told[first:stop], range(1024, stop - first, 1024))
        assert all((piece == piece[0]).all() for piece in pieces)
    assert 0.85 < told.mean() < 0.95


@given(some_lengths, st.data())
def test_some_of_the_documents_in_any_order(lengths, data):
    text = labelled(lengths)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), unique=True))
    some = text.take(np.array(chosen, np.int64))
    documents = np.split(text.tokens[:-1], text.starts[1:])
    tokens = [*np.concatenate([documents[n] for n in chosen]), START] if chosen else []
    assert some.tokens.tolist() == tokens
    assert some.positions == sum(lengths[n] + 1 for n in chosen)
    np.testing.assert_array_equal(some.labels, text.labels[chosen])
    assert RunningText(text.tokens).take(np.array(chosen, np.int64)).labels is None


def test_lanes_tell_of_each_character_what_its_document_has():
    text = _with_labels([5, 90, 1, 40, 17] * 9)
    of_token = dict(zip(text.tokens.tolist(), text.labelling.at(np.arange(text.positions)[:, None])
                        [..., 0].T.tolist(), strict=False))  # fmt: skip
    lanes = text.lanes(4, 16, seed=3)
    left_out = 0
    for _ in range(40):  # more than two passes
        batch = lanes.next()
        for place, token in np.ndenumerate(batch.inputs):
            own = batch.labels[(slice(None), *place)].tolist()
            if token != START:
                left_out += own == [-1, -1]
                assert own in ([-1, -1], of_token[token])
    assert 0.05 < left_out / (40 * 64) < 0.16


def test_lanes_set_to_a_position_are_told_the_same():
    text = _with_labels([7, 30, 2, 11] * 6)
    first, second = text.lanes(3, 16, seed=3), text.lanes(3, 16, seed=3)
    told = []
    for _ in range(30):
        second.position = first.position
        told.append(first.next().labels)
        np.testing.assert_array_equal(told[-1], second.next().labels)
    other = text.lanes(3, 16, seed=4)
    assert any(not np.array_equal(own, other.next().labels) for own in told)


def test_without_labels_lanes_tell_none():
    text = RunningText(labelled([9]).tokens)
    assert text.labelling is None and text.lanes(1, 4).next().labels is None
    assert Lanes(text.tokens, 1, 4).next().told.tolist() == [[[-1]] * 4]
    assert Labelling(text.tokens, np.array([[2]], np.int32)).at(np.array([[8]])).item() == 2
