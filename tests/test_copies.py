"""What one text has in common with another, against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import UsageError
from charrnn.text.copies import Copies, hashes_of
from charrnn.text.vocabulary import code_points


def _longest(text, corpus, i):
    length = 0
    while i + length < len(text) and text[i : i + length + 1] in corpus:
        length += 1
    return length


def _naive_runs(text, corpus, least):
    """From every character the longest run, unless the one from the character before holds it."""
    lengths = [_longest(text, corpus, i) for i in range(len(text))]
    return [
        (i, n, corpus.index(text[i : i + n]))
        for i, n in enumerate(lengths)
        if n >= least and (i == 0 or lengths[i - 1] < n + 1)
    ]


_FEW = st.text("ab", max_size=40)


@given(_FEW, _FEW, st.integers(1, 6))
def test_runs_are_those_of_the_definition(text, corpus, length):
    copies = Copies(code_points(corpus), length)
    assert copies.runs(code_points(text)) == _naive_runs(text, corpus, length)


def test_long_runs_among_many():
    """Runs of thousands of characters, and one that more than one block is compared for."""
    rng = np.random.default_rng(0)
    corpus = rng.integers(0, 70, 50_000).astype(np.uint8)
    text = rng.integers(0, 70, 30_000).astype(np.uint8)
    text[100:5100] = corpus[40_000:45_000]
    text[5100:5125] = corpus[7:32]
    text[29_950:] = corpus[-50:]
    runs = [run for run in Copies(corpus, 20).runs(text) if run.length >= 25]
    found = [(run.start, run.start + run.length, run.position) for run in runs]
    for (start, end, position), (first, last, at) in zip(
        found, [(100, 5100, 40_000), (5100, 5125, 7), (29_950, 30_000, 49_950)], strict=True
    ):
        assert first - 2 <= start <= first and last <= end <= last + 2
        assert position == at - (first - start)


def test_a_text_of_one_character_ends():
    """Every place is like every other one."""
    blanks = np.full(20_000, 32, np.uint32)
    copies = Copies(blanks, 20)
    assert copies.runs(blanks[:9000]) == [(0, 9000, 0)]


def test_hashes_are_those_of_the_formula():
    tokens = np.array([3, 200, 7, 7, 65_000], np.uint16)
    base, expected = 0x9E3779B97F4A7C15, []
    for i in range(3):
        expected.append(sum(int(c) * base ** (2 - k) for k, c in enumerate(tokens[i : i + 3])))
    assert hashes_of(tokens, 3).tolist() == [value % 2**64 for value in expected]
    assert Copies(tokens, 3).hashes.tolist() == sorted(value % 2**64 for value in expected)
    assert hashes_of(tokens, 6).size == hashes_of(tokens, 10**20).size == 0


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_that_makes_no_sense(length):
    with pytest.raises(UsageError, match="length must be 1 or more"):
        Copies(np.zeros(3, np.uint8), length)
