"""An associative memory: it stores lines, and a damaged or unfinished one leads to a stored one.

A line has a place for each character and ends with END; behind what is said of it nothing is known.
A network of units holds all lines at once, and its state is moved towards them until it settles:

``classical`` (Hopfield 1982)
    A character is a codeword of units of ±1, drawn by chance, so that two characters differ in
    about half of them, as the theory's patterns do: with the bits of an index, or one-hot, all
    would be alike. Behind a line's end the units are drawn for this line alone, so that patterns
    are of one length and lines are not alike in what they lack. What is unknown is 0.

    U = Σ ξ ξᵀ / N,  s ← sign(U s),  energy -½ sᵀ U s

``modern`` (Krotov & Hopfield 2016, Ramsauer et al. 2020)
    A character is one-hot, behind a line's end is END again, so that all patterns are of one
    length, and sᵀξ counts the characters in which they agree. That a stored line ends where the one
    that is read does counts as half of one: it may be unfinished, and it may be all of the line.

    s ← X softmax(β Xᵀ s),  energy ½ sᵀs - log(Σ exp(β Xᵀ s)) / β + log(P) / β + ½ ξᵀξ

Both end where the energy falls no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.config import RECALL_BETA, RECALL_RULES, TextConfig, require_choice
from charrnn.errors import CorpusError, UsageError
from charrnn.text.corpus import read_pieces
from charrnn.text.display import printable
from charrnn.text.examples import lines_of
from charrnn.text.lines import text_of, whole_lines
from charrnn.text.vocabulary import (
    CODE_POINTS,
    END,
    MAX_TOKENS,
    SPECIALS,
    UNKNOWN,
    Vocabulary,
    code_points,
)

#: Units of a character's codeword.
_CODE = 64

#: Most values of eight bytes: a gigabyte.
_MOST = 2**27

#: Lines that are recalled together, and units of them.
_TOGETHER, _UNITS = 256, 2**23

#: Of lines that are equally near the first wins, by so much of a character, and the largest change
#: of a line's share at which nothing changes any more.
_PREFERENCE, _SETTLED = 1e-6, 1e-8

#: How much of a character it says that a line ends.
_ENDING = 0.5


class Recalled(NamedTuple):
    """What a line led to."""

    cue: str
    line: str
    stored: bool  # whether it is one of the lines, and no mixture of several
    steps: int  # after which nothing changed any more
    energy: float


class Settled(NamedTuple):
    """Where the states of some networks [B, …] have come to rest."""

    states: np.ndarray
    steps: np.ndarray  # [B]
    energies: np.ndarray  # [B]


class HopfieldNetwork:
    """The classical network of some patterns [P, W, K]: W places of K units, ±1, or 0: unknown.

    Units of one place have no connections with one another, so that they can be updated together
    and the energy falls with each update; with K = 1 it is Hopfield's own.
    """

    def __init__(self, patterns: np.ndarray) -> None:
        # In double precision sums of ±1 are exact, so that a field of 0 is 0.
        self._patterns = np.ascontiguousarray(patterns.transpose(1, 0, 2), np.float64)
        self.units = patterns.shape[1] * patterns.shape[2]

    def settle(self, states: np.ndarray) -> Settled:
        """Update place after place of the states [B, W, K], in an order drawn once, to the end.

        A unit whose field is 0 stays as it is.
        """
        states = states.astype(np.float64)
        overlaps = np.einsum("bwk,wpk->bp", states, self._patterns, optimize=True)
        steps, moving = np.zeros(len(states), np.int64), np.ones(len(states), np.bool_)
        while moving.any():
            moving = self._sweep(states, overlaps)
            steps += moving
        return Settled(states, steps, self._energies(states, overlaps))

    def _sweep(self, states: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
        """Update each place once, and the overlaps [B, P] with it; which states changed [B]."""
        changed = np.zeros(len(states), np.bool_)
        for place in np.random.default_rng(0).permutation(states.shape[1]):
            patterns, before = self._patterns[place], states[:, place].copy()
            overlaps -= before @ patterns.T  # a place is told by the others alone
            field = overlaps @ patterns
            states[:, place] = np.where(field, np.sign(field), before)
            overlaps += states[:, place] @ patterns.T
            changed |= (states[:, place] != before).any(axis=1)
        return changed

    def _energies(self, states: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
        """-½ sᵀ U s [B], without the connections within a place."""
        within = np.zeros(len(states))
        for place, patterns in enumerate(self._patterns):
            within += ((states[:, place] @ patterns.T) ** 2).sum(axis=1)
        return -0.5 * ((overlaps**2).sum(axis=1) - within) / self.units


class _Classical:
    """Lines of tokens [P, W] as patterns of a ``HopfieldNetwork``."""

    def __init__(self, tokens: np.ndarray, size: int, _beta: float) -> None:
        _check_room(3 * tokens.size * _CODE)  # they are made of others, and laid out anew
        rng = np.random.default_rng(0)
        self._codewords = rng.choice([-1.0, 1.0], (size, _CODE))
        self._codewords[[token for token in range(SPECIALS) if token != END]] = 0
        patterns = self._codewords[tokens]
        behind = np.cumsum(tokens == END, axis=1) > 1
        patterns[behind] = rng.choice([-1.0, 1.0], (np.count_nonzero(behind), _CODE))
        self._network = HopfieldNetwork(patterns)

    def settle(self, tokens: np.ndarray) -> Settled:
        """Tokens [B, W] to those that the network settles on."""
        known = np.where(tokens == END, UNKNOWN, tokens)
        settled = self._network.settle(self._codewords[known])
        return settled._replace(states=(settled.states @ self._codewords.T).argmax(axis=2))


class _Modern:
    """Lines of tokens [P, W] as one-hot patterns."""

    def __init__(self, tokens: np.ndarray, size: int, beta: float) -> None:
        count, self._places = tokens.shape
        self._size, self._beta = size, beta
        self._ones = tokens.astype(np.int64)  # where a 1 is [P, W]
        self._ones += size * np.arange(self._places)
        self._preference = _PREFERENCE * np.linspace(1, 0, count)

    def settle(self, tokens: np.ndarray) -> Settled:
        """Tokens [B, W] to those that the network settles on."""
        found = [self._settle_one(own) for own in tokens]
        return Settled(*(np.array(values) for values in zip(*found, strict=True)))

    def _settle_one(self, tokens: np.ndarray) -> tuple[np.ndarray, int, float]:
        state = np.zeros((self._places, self._size))
        said = np.where(tokens == END, _ENDING, tokens != UNKNOWN)
        state[np.arange(self._places), tokens] = said
        steps, before = 0, np.zeros(len(self._ones))
        shares, _ = self._shares(state)
        while abs(shares - before).max() > _SETTLED:
            state, before, steps = self._mixture(shares), shares, steps + 1
            shares, energy = self._shares(state)
        return state.argmax(axis=1), steps, energy

    def _shares(self, state: np.ndarray) -> tuple[np.ndarray, float]:
        """How much each line counts in what follows a state [P], and the state's energy."""
        near = state.reshape(-1)[self._ones].sum(axis=1) + self._preference
        with np.errstate(over="ignore"):  # of a very large beta: e^-∞ is 0
            powers = np.exp(self._beta * (near - near.max()))
        total = powers.sum()
        free = near.max() + math.log(total / len(near)) / self._beta
        return powers / total, 0.5 * ((state**2).sum() + self._places) - free

    def _mixture(self, shares: np.ndarray) -> np.ndarray:
        """The lines, each as much as it counts [W, V]."""
        weights = np.repeat(shares, self._places)
        cells = self._places * self._size
        return np.bincount(self._ones.reshape(-1), weights, cells).reshape(-1, self._size)


def _check_room(values: int) -> None:
    if values > _MOST:
        raise UsageError("so many lines of that length take more than a gigabyte: give fewer or "
                         "shorter ones, or `rule` modern, which takes least")  # fmt: skip


class AssociativeMemory:
    """Lines that are stored, without those that are empty, and each once.

    ``beta`` is the modern rule's. Raises ``CorpusError`` where there are no lines, ``UsageError``
    where there is no such rule, ``beta`` is not above 0, or too many lines are too long.
    """

    def __init__(
        self, lines: Sequence[str], rule: str = RECALL_RULES[0], beta: float = RECALL_BETA
    ) -> None:
        require_choice("`rule`", rule, RECALL_RULES)
        if not 0 < beta < math.inf:
            raise UsageError(f"`beta` must be a number above 0, not {beta}")
        self.lines = list(dict.fromkeys(filter(None, lines)))
        if not self.lines:
            raise CorpusError("there are no lines to store; name a file that has some")
        counts = np.bincount(code_points("".join(self.lines)), minlength=CODE_POINTS)
        if (distinct := np.count_nonzero(counts)) > (most := MAX_TOKENS - SPECIALS):
            raise CorpusError(f"the lines have {distinct:,} distinct characters, more than the "
                              f"{most:,} that are told apart: store fewer lines")  # fmt: skip
        self._vocabulary = Vocabulary.from_counts(counts)
        self._places, self._stored = max(map(len, self.lines)) + 1, frozenset(self.lines)
        # Where each place of each line has its 1, what it has there, how it counts; and states.
        _check_room(self._places * (4 * len(self.lines) + 3 * self._vocabulary.size))
        tokens = self._tokens(self.lines, behind=END)
        kind: Any = {"classical": _Classical, "modern": _Modern}[rule]
        self._rule = kind(tokens, self._vocabulary.size, beta)

    def held(self, most: int = 100) -> float:
        """The share of the lines, of which ``most`` are tried, that lead to themselves.

        Hopfield's rule holds 0.138 random patterns a unit, and far fewer lines of a language, which
        are alike.
        """
        tried = self.lines[:: -(-len(self.lines) // most)]
        return sum(own.line == own.cue for own in self.recall(tried)) / len(tried)

    def _tokens(self, lines: Sequence[str], behind: int) -> np.ndarray:
        """Lines as tokens with END [n, W]; what is longer than the longest one is left out."""
        tokens = np.full((len(lines), self._places), behind, np.int32)
        for row, line in zip(tokens, lines, strict=True):
            own = np.append(self._vocabulary.encode(line), END)[: self._places]
            row[: own.size] = own
        return tokens

    def recall(self, cues: Sequence[str]) -> list[Recalled]:
        """What the network settles on for each of some damaged or unfinished lines.

        Characters that no stored line has are unknown, as is all that follows a line. Of lines that
        are equally near the modern rule takes the one stored first.
        """
        together = max(1, min(_TOGETHER, _UNITS // (_CODE * self._places)))
        portions = range(0, len(cues), together)
        return [own for at in portions for own in self._recall(cues[at : at + together])]

    def _recall(self, cues: Sequence[str]) -> list[Recalled]:
        settled = self._rule.settle(self._tokens(cues, behind=UNKNOWN))
        answers = []
        for cue, tokens, steps, energy in zip(cues, *settled, strict=True):
            line = self._vocabulary.decode(tokens[: np.argmax([*(tokens < SPECIALS), True])])
            answers.append(Recalled(cue, line, line in self._stored, int(steps), float(energy)))
        return answers


def read_memory(
    source: str | Path,
    rule: str = RECALL_RULES[0],
    beta: float = RECALL_BETA,
    *,
    encoding: str = "utf-8",
) -> AssociativeMemory:
    """A memory of the lines of a file, or of standard input for ``-``.

    Raises as ``AssociativeMemory``, and ``CorpusError`` where the file cannot be read.
    """
    lines = [line for _, line in lines_of(str(source), TextConfig(encoding=encoding))]
    if not lines:
        raise CorpusError(f"there are no lines in {printable(str(source))}; name a file that has "
                          "some")  # fmt: skip
    return AssociativeMemory(lines, rule, beta)


def recalled_lines(
    memory: AssociativeMemory, source: str | Path, *, encoding: str = "utf-8"
) -> Iterator[list[Recalled | None]]:
    """What each line of a file, or of standard input for ``-``, leads to; None for an empty one.

    In blocks of the lines that have come when those before are answered. Raises ``CorpusError``
    where it cannot be read.
    """
    pieces = read_pieces(source, encoding=encoding, normalize_newlines=True)
    for block in whole_lines(pieces, size=1):
        lines = text_of(block).removesuffix("\n").split("\n")
        found = iter(memory.recall(list(filter(None, lines))))
        yield [next(found) if line else None for line in lines]
