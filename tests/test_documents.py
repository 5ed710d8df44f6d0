"""Texts that are read whole: cut where they are long, packed into lanes, each once in a pass."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.text import packing
from charrnn.text.documents import Documents
from charrnn.text.packing import pack, ranges
from charrnn.text.vocabulary import START


def documents(lengths, *, by_position=False, seed=1, **more):
    """Texts of these lengths of which every token is another."""
    ends = np.cumsum(lengths, dtype=np.int64)
    count = int(ends[-1]) if ends.size else 0
    tokens = np.arange(3, 3 + count, dtype=np.uint16)
    size = count if by_position else ends.size
    classes = np.random.default_rng(seed).integers(0, 4, size, np.int32)
    return Documents(tokens, ends, classes, by_position, **more)


some_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=40)


# Packing


@given(data=st.data(), room=st.integers(1, 64))
def test_nothing_overlaps_or_goes_beyond_the_room(data, room):
    lengths = data.draw(st.lists(st.integers(1, room), max_size=60))
    lane, first = pack(np.array(lengths, np.int64), room)
    taken = set()
    for own, start, length in zip(lane, first, lengths, strict=True):
        steps = {(own, step) for step in range(start, start + length)}
        assert start >= 0 and start + length <= room
        assert not steps & taken
        taken |= steps
    assert set(lane) == set(range(len(set(lane))))  # no lane is left out
    for own in set(lane):  # and none has a hole but at its end
        assert sum(n for at, n in zip(lane, lengths, strict=True) if at == own) == 1 + max(
            step for at, step in taken if at == own
        )


@given(data=st.data(), room=st.integers(2, 40))
def test_each_goes_where_it_leaves_the_least_room(data, room):
    lengths = data.draw(st.lists(st.integers(1, room), max_size=40))
    lane, first = pack(np.array(lengths, np.int64), room)
    full = []  # how full each lane is
    for own, start, length in zip(lane, first, lengths, strict=True):
        fitting = [used for used in full if used + length <= room]
        assert start == max(fitting, default=0)
        if fitting:
            assert full[own] == start
            full[own] += length
        else:
            assert own == len(full)
            full.append(length)


def test_words_fill_nine_tenths_of_their_lanes():
    """Words of a language are about 3 to 14 characters long; so much is promised of them."""
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.normal(8.5, 2.5, 5000).round(), 1, 30).astype(np.int64)
    lane, _ = pack(lengths, 64)
    assert lengths.sum() / (64 * (lane.max() + 1)) > 0.95


def test_ranges_are_those_of_each():
    found = ranges(np.array([5, 0, 9]), np.array([2, 0, 3]))
    assert found.tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.array([], np.int64), np.array([], np.int64)).size == 0


# Pieces


@given(lengths=some_lengths, length=st.integers(3, 20), shift=st.integers(0, 20), data=st.data())
def test_pieces_cover_each_document_once(lengths, length, shift, data):
    margin = data.draw(st.integers(0, (length - 1) // 2))
    own = documents(lengths)
    pieces = own.pieces(length, margin=margin, shift=shift)
    assert pieces.lengths.min() >= 1 and pieces.lengths.max() <= length
    counted = ranges(pieces.counted_first, pieces.counted_last - pieces.counted_first)
    assert np.sort(counted).tolist() == list(range(own.positions))
    begins, ends = own.begins[pieces.document], own.ends[pieces.document]
    assert np.all((begins <= pieces.first) & (pieces.last <= ends))
    whole = (pieces.first == begins) & (pieces.last == ends)
    assert np.all(whole[own.lengths[pieces.document] <= length])
    # Beside what counts as much is read as there is of the document, up to the margin.
    before, after = pieces.counted_first - pieces.first, pieces.last - pieces.counted_last
    assert np.all(before[~whole] == np.minimum(margin, (pieces.counted_first - begins)[~whole]))
    assert np.all(after[~whole] == np.minimum(margin, (ends - pieces.counted_last)[~whole]))


# Documents


def test_taken_texts_keep_what_is_told_of_them():
    weights = np.arange(4, dtype=np.float32)
    for by_position in (False, True):
        own = documents([2, 3, 1, 4], by_position=by_position, weights=weights)
        some = own.take(np.array([3, 0]))
        assert some.tokens.tolist() == [9, 10, 11, 12, 3, 4] and some.ends.tolist() == [4, 6]
        at = [6, 7, 8, 9, 0, 1] if by_position else [3, 0]
        assert some.classes.tolist() == own.classes[at].tolist()
        assert some.weights.tolist() == [3, 0] and some.begins.tolist() == [0, 4]
    assert own.take(np.arange(0)).positions == 0


@pytest.mark.parametrize(
    ("positions", "texts"), [(0, 1), (2, 1), (4, 1), (5, 2), (9, 3), (10, 4), (99, 4)]
)
def test_a_sample_has_so_many_positions_but_at_least_one_text(positions, texts):
    own = documents([2, 3, 1, 4])
    assert own.sample(positions).ends.size == texts
    assert documents([]).sample(positions).positions == 0


def test_balanced_classes_count_alike_and_a_text_one_in_the_mean():
    own = Documents(np.arange(10), np.arange(1, 11), np.array([0] * 7 + [3] * 2 + [1]), False)
    weights = own.balanced().weights
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1)
    sums = np.bincount(own.classes, weights)
    np.testing.assert_allclose(sums[[0, 1, 3]], 10 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "steps"),
    [([1] * 10, 64), ([70] * 10, 96), ([9] * 999 + [5000], 64), ([999], 1024), ([5000], 1024)],
)
def test_chunks_hold_most_texts_whole(lengths, steps):
    """Up to a length, which is less where each position is told something."""
    assert documents(lengths).suited_length == steps
    by_position = documents(lengths, by_position=True)
    assert by_position.suited_length == min(steps, 256)


# Chunks


def _assert_is_of(own, chunk):
    """A batch is what its pieces say, each at a place of its own, started and ended."""
    batch, pieces = chunk.batch, chunk.pieces
    steps, lanes = chunk.at
    read = np.zeros(batch.inputs.shape, int)
    np.testing.assert_array_equal(batch.inputs[steps, lanes], own.tokens[chunk.tokens])
    assert batch.resets[0].all()
    if own.by_position:
        known = own.classes[chunk.tokens] >= 0
        counted = np.zeros(batch.inputs.shape, bool)
        counted[steps, lanes] = known
        np.testing.assert_array_equal(batch.counted, counted)
        targets = batch.targets[steps, lanes]
        np.testing.assert_array_equal(targets[known], own.classes[chunk.tokens[known]])
        return
    for (lane, first, last), piece in zip(batch.spans, range(len(pieces.first)), strict=True):
        expected = own.tokens[pieces.first[piece] : pieces.last[piece]]
        np.testing.assert_array_equal(batch.inputs[first:last, lane], expected)
        assert batch.resets[first, lane] and not batch.resets[first + 1 : last, lane].any()
        assert last == len(batch.resets) or batch.resets[last, lane]
        read[first:last, lane] += 1
    np.testing.assert_array_equal(batch.targets, own.classes[pieces.document])
    assert read.max() == 1
    np.testing.assert_array_equal(batch.counted, read == 1)
    assert (batch.inputs[read == 0] == START).all()


@settings(max_examples=40)
@given(lengths=some_lengths, lanes=st.integers(1, 5), by_position=st.booleans())
def test_all_texts_come_once_in_chunks(lengths, lanes, by_position):
    own = documents(lengths, by_position=by_position)
    chunks = list(own.chunks(lanes, 16, margin=3 if by_position else 0))
    for chunk in chunks:
        _assert_is_of(own, chunk)
        assert chunk.batch.inputs.shape[0] == 16 and chunk.batch.inputs.shape[1] <= lanes
    tokens = np.concatenate([chunk.tokens for chunk in chunks])
    assert np.sort(tokens).tolist() == list(range(own.positions))
    assert sum(chunk.batch.read for chunk in chunks) == own.positions


def test_no_texts_are_no_chunks():
    assert list(documents([]).chunks(4, 16)) == []


def test_classes_that_are_not_known_do_not_count():
    own = documents([5, 7], by_position=True)
    own.classes[[1, 6]] = -1
    (chunk,) = own.chunks(2, 16)
    assert chunk.batch.read == 10
    _assert_is_of(own, chunk)


# Endless reading


def _pass(packs):
    """The batches until the next pass begins."""
    number = packs.position // packing._PASS
    while packs.position // packing._PASS == number:
        yield packs.next()


def _tokens(batch):
    return np.sort(batch.inputs[batch.counted]).tolist()


@settings(max_examples=40)
@given(lengths=some_lengths, lanes=st.integers(1, 5), by_position=st.booleans())
def test_each_token_comes_once_in_a_pass(lengths, lanes, by_position):
    own = documents(lengths, by_position=by_position)
    packs = own.lanes(lanes, 16, seed=5)
    for number in range(3):
        assert packs.read == number * own.positions
        read = 0
        tokens = []
        for batch in _pass(packs):
            assert batch.inputs.shape == (16, lanes)
            tokens += _tokens(batch)
            read += batch.read
            assert packs.read == number * own.positions + read
        assert sorted(tokens) == own.tokens.tolist()


def test_passes_are_in_orders_of_their_own_and_so_are_seeds():
    own = documents([5] * 40)
    packs = own.lanes(2, 16, seed=5)
    orders = [[b.inputs.tobytes() for b in _pass(packs)] for _ in range(2)]
    other = [b.inputs.tobytes() for b in _pass(own.lanes(2, 16, seed=6))]
    again = [b.inputs.tobytes() for b in _pass(own.lanes(2, 16, seed=5))]
    assert orders[0] == again and orders[0] != orders[1] and orders[0] != other
    assert len(orders[0]) == packs.epoch


def test_long_texts_are_cut_elsewhere_in_each_pass():
    packs = documents([100]).lanes(1, 16, seed=5)
    starts = []
    for _ in range(3):
        starts.append(frozenset(int(span[0]) for batch in _pass(packs)
                                for span in [batch.inputs[batch.spans[0, 1]]]))  # fmt: skip
    assert len(set(starts)) == 3


@pytest.mark.parametrize("balanced", [False, True])
def test_set_to_a_position_it_goes_on_as_the_other(balanced):
    own = documents([3, 50, 7, 9, 16] * 9)
    own = own.balanced() if balanced else own
    first, second = own.lanes(3, 16, seed=5), own.lanes(3, 16, seed=5)
    for _ in range(40):  # into the third pass
        second.position = first.position
        one, other = first.next(), second.next()
        for name, array in vars(one).items():
            np.testing.assert_array_equal(array, getattr(other, name), err_msg=name)
        assert first.read == second.read
    assert first.position > 2 * packing._PASS


def test_past_the_end_of_a_pass_is_its_last_chunk():
    """A resume file may say anything."""
    packs = documents([9] * 40).lanes(2, 16, seed=5)
    *_, last = _pass(packs)
    packs.position = 5000
    np.testing.assert_array_equal(packs.next().inputs, last.inputs)
    assert packs.read == 360


def test_each_pass_has_gaps_of_its_own():
    own = documents([90, 7, 200, 1] * 9, by_position=True)
    # Of each token the class that it has as a gap; the first of a text can be none.
    filled = np.arange(own.positions, dtype=np.int32) + 10
    filled[own.begins] = -1
    gapped = dataclasses.replace(own, filled=filled, gap=2)
    packs, found = gapped.lanes(3, 64, seed=5), []
    for _ in range(3):
        gaps = []
        for batch in _pass(packs):
            is_gap = batch.inputs == 2
            gaps += batch.targets[is_gap & batch.counted].tolist()
            assert (batch.targets[~is_gap & batch.counted] < 4).all()
        found.append(sorted(gaps))
        assert len(gaps) == len({*gaps}) and {*gaps} <= {*filled[filled >= 0].tolist()}
        assert 0.05 < len(gaps) / own.positions < 0.16
    assert len(set(map(tuple, found))) == 3
    drawn = gapped.with_gaps(np.random.default_rng(1))
    again = drawn.with_gaps(np.random.default_rng(2))
    assert again is drawn and own.with_gaps(np.random.default_rng(1)) is own
    assert (drawn.tokens[own.begins] == own.tokens[own.begins]).all()


def test_some_of_the_texts_have_their_own_gaps():
    own = documents([3, 2, 4], by_position=True)
    gapped = dataclasses.replace(own, filled=np.arange(9, dtype=np.int32), gap=2)
    some = gapped.take(np.array([2, 0]))
    assert some.filled.tolist() == [5, 6, 7, 8, 0, 1, 2] and some.gap == 2
    assert len(gapped.arrays) == len(own.arrays) + 1


def test_the_last_lanes_are_not_the_emptiest():
    """Lanes come in any order, so that what is left over is not read last in each pass."""
    packs = documents([9] * 40 + [7] * 40).lanes(1, 16, seed=5)
    full = [batch.read for batch in itertools.islice(_pass(packs), 1000)]
    assert sorted(full, reverse=True) != full
