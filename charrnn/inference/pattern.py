"""Regular expressions over a vocabulary, as tables that say what may come next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charrnn.errors import UsageError
from charrnn.inference.automaton import (
    MAX_BYTES,
    Determination,
    distances,
    equal_states,
    select,
    too_large,
)
from charrnn.inference.expression import Positions, read_expression
from charrnn.text.display import named
from charrnn.text.vocabulary import Vocabulary

_SHOWN = 8  # unknown characters in a message


class Pattern(NamedTuple):
    """The smallest automaton of S states for all texts that match, over V tokens.

    Every state can be reached, and a match can follow in every one. State 0 is the start.
    """

    following: np.ndarray  # [S, V] int32: the state after a token; -1 where no match can follow
    accepting: np.ndarray  # [S] bool: what was read is a match as it stands
    distance: np.ndarray  # [S] int32: fewest characters that still make a match, 0 if accepting


def compile_pattern(expression: str, vocabulary: Vocabulary) -> Pattern:
    """The texts of a vocabulary's characters that an expression matches as a whole.

    It is in the syntax of Python's ``re`` and means what ``re.fullmatch`` does: ``.`` is any
    character but a line feed, ``\\w`` any letter, digit or underscore of any script. ``^`` at the
    beginning and ``$`` at the end may stand there and change nothing.

    Raises ``UsageError`` where it is no regular expression, has what an automaton cannot do
    (references to groups, lookaround, ``\\b``), matches no text of these characters, or where the
    automaton would be larger than 200,000 states or 256 MB.
    """
    positions = read_expression(expression)
    tokens = [vocabulary.encode(kind.among(vocabulary.characters)) for kind in positions.classes]
    groups = _groups(tokens, vocabulary.size)
    moves, accepting = Determination(positions, _readers(positions, tokens, groups)).run()
    moves, distance = _smallest(moves, distances(moves, accepting))
    if not len(moves):
        raise _unmatched(positions, tokens)
    if moves.itemsize * len(moves) * vocabulary.size > MAX_BYTES:
        raise too_large(f"{len(moves):,} states for {vocabulary.size:,} characters are more than "
                        f"{MAX_BYTES >> 20} MB")  # fmt: skip
    return Pattern(np.take(moves, groups, axis=1), distance == 0, distance)


def _groups(classes: list[np.ndarray], size: int) -> np.ndarray:
    """The number of each token's group [V]: tokens that are in the same classes share one.

    Group 0 is what is in no class; so are the special tokens.
    """
    groups, count = np.zeros(size, np.int64), 1
    for tokens in classes:
        parts, inverse = np.unique(groups[tokens], return_inverse=True)
        groups[tokens] = count + inverse
        count += len(parts)
    return np.unique(groups, return_inverse=True)[1]


def _readers(positions: Positions, classes: list[np.ndarray], groups: np.ndarray) -> list[int]:
    """The set of positions that read each group [K]."""
    of_class = [0] * len(classes)
    for position, kind in enumerate(positions.reads):
        if kind >= 0:
            of_class[kind] |= 1 << position
    readers = [0] * (int(groups.max()) + 1)
    for tokens, reading in zip(classes, of_class, strict=True):
        for group in np.unique(groups[tokens]).tolist():
            readers[group] |= reading
    return readers


def _smallest(moves: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The automaton without states that lead to no match, or that differ in nothing."""
    alive = distance >= 0
    if not alive[0]:
        return moves[:0], distance[:0]
    moves = select(moves, np.flatnonzero(alive), np.where(alive, np.cumsum(alive) - 1, -1))
    distance = distance[alive]
    states, kinds = equal_states(moves, distance)
    return select(moves, states, kinds), distance[states]


def _unmatched(positions: Positions, classes: list[np.ndarray]) -> UsageError:
    """Only a class without characters can be the reason."""
    kinds = [kind for kind in dict.fromkeys(reversed(positions.reads)) if kind >= 0]
    unknown = [named(str(positions.classes[kind])) for kind in kinds if not classes[kind].size]
    shown = ", ".join(f"'{kind}'" for kind in unknown[:_SHOWN])
    more = " and more" if len(unknown) > _SHOWN else ""
    return UsageError(f"no text of the model's characters matches `match`: it knows no {shown}"
                      f"{more}; write it with characters that it was trained on")  # fmt: skip
