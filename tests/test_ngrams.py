"""The table of n-grams beside a network that tells labels: which rows, and what they come to."""

import naive
import numpy as np
import pytest
from samples import assert_same_bits

from charrnn.compute import ngrams
from charrnn.text.vocabulary import START
from charrnn.training.sizes import suited_buckets

LANES, BUCKETS, LABELS = 2, 31, 3
INPUTS = np.random.default_rng(3).integers(3, 7, (12, LANES)).astype(np.int32)
#: A whole lane, a document beside another one, one of a single character.
SPANS = np.array([[1, 0, 12], [0, 0, 5], [0, 5, 12], [0, 11, 12]], np.int32)


def _found(buckets=BUCKETS, parts=1):
    ends = np.cumsum((SPANS[:, 2] - SPANS[:, 1] + 2) * ngrams.LONGEST)
    counts, found = np.empty(len(SPANS), np.int64), np.full(ends[-1], -1, np.int32)
    for first, last in naive.pairwise(np.linspace(0, len(SPANS), parts + 1).astype(int)):
        ngrams.buckets_of_documents(INPUTS, SPANS, START, buckets, ends, found, counts, first, last)
    return ends, found, counts


def _rows(ends, found, counts):
    return [found[b : b + n] for b, n in zip([0, *ends[:-1]], counts, strict=True)]


@pytest.mark.parametrize("buckets", [1, 2, BUCKETS, 10**6])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_document_has_the_buckets_of_its_own_ngrams_each_once(buckets, parts):
    rows = _rows(*_found(buckets, parts))
    for (lane, first, last), own in zip(SPANS, rows, strict=True):
        expected = naive.ngram_buckets(INPUTS[first:last, lane], buckets)
        assert sorted(own.tolist()) == sorted(expected)


def test_a_character_of_its_own_has_all_its_ngrams():
    """The frame, the character, the two pairs of both, and all three: the frame's sides are one."""
    assert len(naive.ngram_buckets([5], 2**40)) == 5
    assert _found(10**6)[2][-1] == 5


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_logits_are_sums_of_rows_and_gradients_their_transpose(dtype, tolerance):
    rng = np.random.default_rng(1)
    ends, found, counts = _found()
    table = rng.normal(size=(BUCKETS, LABELS)).astype(dtype)
    wanted = np.zeros((len(SPANS), BUCKETS))  # the documents, each of length 1
    for own, row in zip(wanted, _rows(ends, found, counts), strict=True):
        own[row] = 1 / np.sqrt(len(row))
    logits = np.ones((len(SPANS), 8), dtype)  # padded
    ngrams.add_logits(table, ends, found, counts, logits, 0, len(SPANS))
    np.testing.assert_allclose(logits[:, :LABELS], 1 + wanted @ table, rtol=0, atol=tolerance * 9)
    assert (logits[:, LABELS:] == 1).all()
    dlogits = rng.normal(size=logits.shape).astype(dtype)
    gradients = np.full(table.shape, np.nan, dtype)
    ngrams.differentiate_rows(dlogits, ends, found, counts, gradients, 0, BUCKETS)
    expected = wanted.T @ dlogits[:, :LABELS]
    np.testing.assert_allclose(gradients, expected, rtol=0, atol=tolerance * 9)
    shared = np.full_like(gradients, np.nan)
    for first, last in naive.pairwise([0, 7, 7, BUCKETS]):
        ngrams.differentiate_rows(dlogits, ends, found, counts, shared, first, last)
    assert_same_bits(shared, gradients)


@pytest.mark.parametrize(
    ("positions", "classes", "buckets"),
    [
        (10, 2, 2**12),  # few
        (200_000, 2, 2**15),
        (10**9, 2, 2**18),  # many
        (10**9, 37, 2**16),  # whose rows are long
        (10**9, 60_000, 64),
    ],
)
def test_the_table_suits_the_text_and_is_bounded(positions, classes, buckets):
    assert suited_buckets(positions, classes) == buckets
