"""Logits from the n-grams of a document: a table with a row of logits for each bucket of hashes.

Every n-gram of up to ``LONGEST`` characters counts once for a document, however often it is there,
and all of them together have the length 1: x = 1/√n for each of the n buckets that they fall into,
logits += Σ x · table[bucket]. Back, the gradient of a bucket's row is Σ x · dlogits of the
documents that have it.
"""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute.cache import kernel

#: Characters of the longest n-grams.
LONGEST = 5

#: Odd, so that no character is lost, and 2^64 over the golden ratio, which spreads.
_BASE = np.uint64(0x9E3779B97F4A7C15)


@kernel
def buckets_of_documents(inputs, spans, around, buckets, ends, found, counts, first, last):
    """The different buckets of the documents ``first … last``, in the order in which they come.

    ``inputs`` [T, B] and ``spans`` [D, 3] are those of a batch; the token ``around`` stands before
    and behind each document. Those of document d lie before ``ends[d]`` in ``found``, ``counts[d]``
    of them from ``ends[d - 1]`` on, where ``LONGEST`` for each character and for the two around
    have room.
    """
    seen = np.zeros(buckets, np.int32)  # the last document that had a bucket, from 1
    for d in range(first, last):
        b, start, end = spans[d]
        begin = ends[d - 1] if d else 0
        at = begin
        for t in range(start - 1, end + 1):
            code = np.uint64(0)
            for before in range(t, max(t - LONGEST, start - 2), -1):
                token = inputs[before, b] if start <= before < end else around
                code = (code + np.uint64(token + 1)) * _BASE
                bucket = np.int32(((code >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32))
                if seen[bucket] != d + 1:
                    seen[bucket] = d + 1
                    found[at] = bucket
                    at += 1
        counts[d] = at - begin


@kernel
def add_logits(table, ends, found, counts, logits, first, last):
    """Add to the ``logits`` [D, width] of the documents ``first … last``."""
    labels = table.shape[1]
    for d in range(first, last):
        begin = ends[d - 1] if d else 0
        share = 1 / math.sqrt(counts[d])
        sums = np.zeros(labels, table.dtype)
        for at in range(begin, begin + counts[d]):
            for k in range(labels):
                sums[k] += table[found[at], k]
        for k in range(labels):
            logits[d, k] += share * sums[k]


@kernel
def differentiate_rows(dlogits, ends, found, counts, gradients, first, last):
    """The gradients of the table's rows ``first … last``, of all documents."""
    labels = gradients.shape[1]
    gradients[first:last] = 0
    for d in range(len(counts)):
        begin = ends[d - 1] if d else 0
        share = 1 / math.sqrt(counts[d])
        for at in range(begin, begin + counts[d]):
            bucket = found[at]
            if first <= bucket < last:
                for k in range(labels):
                    gradients[bucket, k] += share * dlogits[d, k]
