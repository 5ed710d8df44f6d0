"""A range coder whose probabilities are a network's: a chooser that writes or reads a code.

A code is a number in [0, 1), byte by byte. Each token narrows the interval in which it lies to the
share that the token's weight has of all (Martin 1979): of an improbable token little is left, and
that takes more bytes to tell. Whoever reads the number takes the token in whose share it lies.

Weights are whole numbers, made of each logit by itself, and their sum is exact: no result depends
on how wide the processor's registers are, so that what is written here is read elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from charrnn.compute.cache import inlined, kernel
from charrnn.compute.filters import largest
from charrnn.compute.functions import exp
from charrnn.compute.vector import lanes, load, store

#: Weight of the likeliest token; the others are as much less likely, but never below 1. Of 65,535
#: tokens all weigh less than 2^47.
_MOST_WEIGHT = 2.0**30

#: How many times as likely as all others an unknown token may become: with that all weigh less
#: than 2^55.
_MOST_UNKNOWN = 256

#: An interval that is smaller is widened by a byte: its 64 bits are so many times the sum of all
#: weights that what rounding loses is nothing.
_LEAST_WIDTH = np.uint64(1 << 56)
_BYTE, _LAST_BYTE = np.uint64(8), np.uint64(56)
_NONE, _ONE = np.uint64(0), np.uint64(1)

#: Most bytes that a token takes, with the number of one that is unknown: 55 + 32 bits, and what
#: rounding may lose.
MOST_BYTES = 12

#: Bytes that whoever reads a code has read beyond its end when all of it is understood.
_AHEAD = 7


class Code(NamedTuple):
    """The codes of B texts, and where each of them is written or read.

    The bytes behind ``size`` count as zeros; who writes does not look at it.
    """

    data: Any  # [B, room] uint8
    size: Any  # [B] int64, bytes that there are
    at: Any  # [B] int64, the next byte
    low: Any  # [B] uint64, where the interval begins; for who reads, how far below the number
    width: Any  # [B] uint64, how wide it is


def code_to_write(texts: int, tokens: int) -> Code:
    """Empty codes with room for so many tokens each."""
    # Memory that nothing is written to is not taken.
    return _code(np.empty((texts, MOST_BYTES * tokens + 8), np.uint8), np.zeros(texts, np.int64))


def code_to_read(codes: list[bytes]) -> Code:
    """Codes that are there."""
    size = np.array([len(own) for own in codes], np.int64)
    data = np.zeros((len(codes), max(1, size.max(initial=0))), np.uint8)
    for row, own in zip(data, codes, strict=True):
        row[: len(own)] = np.frombuffer(own, np.uint8)
    code = _code(data, size)
    for b in range(len(codes)):
        start_reading(code, b)
    return code


def _code(data: np.ndarray, size: np.ndarray) -> Code:
    zeros, whole = np.zeros(size.size, np.uint64), np.full(size.size, 2**64 - 1, np.uint64)
    return Code(data, size, np.zeros(size.size, np.int64), zeros, whole)


def finished(code: Code) -> list[bytes]:
    """The bytes of codes that were written."""
    for b in range(code.size.size):
        finish(code, b)
    return [row[:size].tobytes() for row, size in zip(code.data, code.size, strict=True)]


def is_understood(code: Code) -> bool:
    """Whether all codes were read up to their very ends."""
    return bool((code.at == code.size + _AHEAD).all())


@inlined
def _raise_low(code, b, by):
    """Let the interval begin later; what is too much for 64 bits is carried into the bytes."""
    low = code.low[b] + by
    if low < by:
        at = code.at[b] - 1
        while code.data[b, at] == 255:
            code.data[b, at] = 0
            at -= 1
        code.data[b, at] += 1
    code.low[b] = low


@inlined
def _write_byte(code, b):
    """The first byte of the interval is settled, but for a carry."""
    code.data[b, code.at[b]] = code.low[b] >> _LAST_BYTE
    code.at[b] += 1
    code.low[b] <<= _BYTE


@inlined
def _read_byte(code, b):
    code.low[b] <<= _BYTE
    if code.at[b] < code.size[b]:
        code.low[b] |= np.uint64(code.data[b, code.at[b]])
    code.at[b] += 1


@kernel
def start_reading(code, b):
    """Read the first bytes."""
    for _ in range(8):
        _read_byte(code, b)


@kernel
def finish(code, b):
    """Write the one byte more that lies within the interval whatever follows it."""
    _raise_low(code, b, _LEAST_WIDTH - _ONE)
    _write_byte(code, b)
    code.size[b] = code.at[b]


@inlined
def _narrow(code, writes, b, first, weight, total):
    """Go on to the share of the interval that ``weight`` behind ``first`` has of ``total``."""
    step = code.width[b] // total
    code.width[b] = step * weight
    if writes:
        _raise_low(code, b, step * first)
    else:
        code.low[b] -= step * first
    while code.width[b] < _LEAST_WIDTH:
        code.width[b] <<= _BYTE
        if writes:
            _write_byte(code, b)
        else:
            _read_byte(code, b)


@kernel
def _weigh(logits, chances, possible, weights):
    """Give each token a weight, as likely as it is, or 0 if it is not ``possible``; their sum."""
    top = largest(logits)
    for j in range(0, logits.size, lanes(logits)):
        store(chances, j, exp(load(logits, j) - top) * _MOST_WEIGHT)
    total = _NONE
    for token in range(logits.size):
        weight = chances[token]
        whole = np.int64(weight if weight < _MOST_WEIGHT else _MOST_WEIGHT)
        weights[token] = possible[token] * (_ONE + np.uint64(whole))
        total += weights[token]
    return total


@kernel
def _expect_unknown(weights, unknown, total, read, misses):
    """Add to the weight of unknown tokens as often as they came; the new sum.

    A network that was trained without any takes them for next to impossible.
    """
    known = read - misses + 1
    more = total // np.uint64(known) * np.uint64(min(misses, _MOST_UNKNOWN * known))
    weights[unknown] += more
    return total + more


@kernel
def _before(weights, token):
    """The sum of the weights before a token's."""
    total = _NONE
    for j in range(token):
        total += weights[j]
    return total


@kernel
def _token_at(weights, place):
    """The token in whose share a place lies, or -1."""
    left = place
    for token in range(weights.size):
        if left < weights[token]:
            return token
        left -= weights[token]
    return -1


@inlined
def _place(code, b, total):
    """Where in the interval the number lies, ``total`` being all of it."""
    return code.low[b] // (code.width[b] // total)


class Coder(NamedTuple):
    """Instead of choosing, writes the given tokens as a code, or reads them from one.

    Of a token that is ``unknown`` its number follows, below ``numbers``, of which all are equally
    likely. Behind one that ends a document the next begins. The n-th token of a text has its place
    in column n mod N.
    """

    writes: bool
    unknown: int
    numbers: int
    frame: tuple[int, int]  # the tokens that begin and end a document
    possible: np.ndarray  # [W] uint64, 1 for tokens that may be given, else 0
    weights: np.ndarray  # [W] uint64, room to work
    tokens: np.ndarray  # [B, N] int32: given, or made
    given: np.ndarray  # [B, N] uint32, the numbers of unknown tokens: given, or made
    misses: np.ndarray  # [B] int64, how many unknown tokens there were
    code: Code

    def choose(self, row, recall, b, uniform):
        """The next token; -1 where the code does not hold one."""
        read, code = recall.read[b], self.code
        n = read % self.tokens.shape[1]
        total = _weigh(row.logits, row.chances, self.possible, self.weights)
        if self.misses[b]:
            total = _expect_unknown(self.weights, self.unknown, total, read, self.misses[b])
        if not self.writes:
            self.tokens[b, n] = _token_at(self.weights, _place(code, b, total))
        token = self.tokens[b, n]
        if token < 0:
            return -1
        weight = self.weights[token]
        _narrow(code, self.writes, b, _before(self.weights, token), weight, total)
        if token == self.unknown:
            self.misses[b] += 1
            count = np.uint64(self.numbers)
            if not self.writes:
                place = _place(code, b, count)
                if place >= count:
                    return -1
                self.given[b, n] = place
            _narrow(code, self.writes, b, np.uint64(self.given[b, n]), _ONE, count)
        if not self.writes and code.at[b] > code.size[b] + _AHEAD:
            return -1
        start, end = self.frame
        return start if token == end else token

    def follow(self, recall, b, token):
        """Nothing ends a text but its length."""
        return -1
