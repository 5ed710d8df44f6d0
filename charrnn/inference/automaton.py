"""Deterministic automata: made from positions, and made small.

An automaton of S states and K symbols is its ``moves`` [S, K], int32: the state after reading each
symbol in each state, -1 where there is none. State 0 is the start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from charrnn.errors import UsageError
from charrnn.inference.expression import END_POSITION, Positions, members

MAX_STATES = 200_000
MAX_BYTES = 1 << 28  # of a table

#: Sets that are looked at, each as much as it has kilobits: a few seconds.
_MAX_WORK = 20_000_000


def too_large(why: str) -> UsageError:
    """The error where an automaton, or making it, exceeds a limit."""
    return UsageError(
        f"`match` needs too large an automaton ({why}); repeat less, or let what comes before a "
        "character leave that out, as in '[^,]*,' instead of '.*,'"
    )


class Determination:
    """Makes an automaton of ``positions``, whose states are sets of what may come next.

    ``readers`` [K] has the set of positions that read each symbol.
    """

    def __init__(self, positions: Positions, readers: list[int]) -> None:
        self._follow, self._weaker, self._readers = positions.follow, positions.weaker, readers
        self._states: list[int] = []
        self._numbers: dict[int, int] = {}  # of these
        self._reached: dict[int, int] = {}  # from positions that were read to a state's number
        self._cost = 1 + len(positions.follow) // 1024
        self._work = 0
        self._most = min(MAX_STATES, MAX_BYTES // (4 * len(readers)))
        self._number(positions.first)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """The moves, and which states end a text [S], bool.

        Raises ``UsageError`` where there are too many states, or where it would take long.
        """
        rows = [self._row(state) for state in self._states]  # they become more meanwhile
        accepting = [bool(state & END_POSITION) for state in self._states]
        return np.array(rows, np.int32), np.array(accepting)

    def _row(self, state: int) -> np.ndarray:
        row = np.full(len(self._readers), -1, np.int32)
        for symbol, readers in enumerate(self._readers):
            if read := state & readers:
                if read not in self._reached:
                    self._reached[read] = self._number(self._after(read))
                row[symbol] = self._reached[read]
        self._count(len(row))
        return row

    def _after(self, read: int) -> int:
        """What may come when one of these positions was read."""
        following = 0
        for position in members(read):
            following |= self._follow[position]
        self._count(read.bit_count() + following.bit_count())
        return following

    def _number(self, following: int) -> int:
        for position in members(following):
            following &= ~self._weaker[position]
        number = self._numbers.setdefault(following, len(self._states))
        if number == len(self._states):
            self._states.append(following)
        if number >= self._most:
            raise too_large(f"more than {self._most:,} states")
        return number

    def _count(self, sets: int) -> None:
        self._work += sets * self._cost
        if self._work > _MAX_WORK:
            raise too_large("it would take long to make")


def distances(moves: np.ndarray, accepting: np.ndarray) -> np.ndarray:
    """Fewest symbols from each state to an accepting one [S], int32; -1 where none is reached."""
    before = _predecessors(moves)
    distance = np.where(accepting, 0, -1).tolist()
    queue = np.flatnonzero(accepting).tolist()
    for state in queue:
        for previous in before[state]:
            if distance[previous] < 0:
                distance[previous] = distance[state] + 1
                queue.append(previous)
    return np.array(distance, np.int32)


def _predecessors(moves: np.ndarray) -> list[list[int]]:
    """The states from which each state is reached in one move [S]."""
    before: list[list[int]] = [[] for _ in moves]
    for state, row in enumerate(moves):
        for following in set(row.tolist()) - {-1}:
            before[following].append(state)
    return before


def select(moves: np.ndarray, states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The moves of some ``states`` alone, with new ``numbers`` [S] (-1: left out) for all."""
    return np.append(numbers, -1).astype(np.int32)[moves[states]]  # -1 is the last


def equal_states(moves: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States that nothing tells apart: the first of each kind [S'], and the kind of each [S].

    ``labels`` [S] are numbers that differ only where states do. Kinds are numbered by their first.
    """
    kinds = _Refinement(moves, labels).run()
    _, first, kinds = np.unique(kinds, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[kinds]


class _Refinement:
    """Divides states until all of a kind have moves to the same kinds.

    Of a kind that falls apart the largest part keeps its number, and only states before the others
    are looked at again: each state is few times in a smaller part.
    """

    def __init__(self, moves: np.ndarray, labels: np.ndarray) -> None:
        self._moves, self._before = moves, _predecessors(moves)
        _, kinds = np.unique(labels, return_inverse=True)
        self._kinds = np.append(kinds, -1).astype(np.int32)  # no move leads to no kind
        self._members: list[set[int]] = [set() for _ in range(kinds.max() + 1)]
        for state, kind in enumerate(kinds.tolist()):
            self._members[kind].add(state)

    def run(self) -> np.ndarray:
        """The kind of each state [S]."""
        again: Iterable[int] = range(len(self._moves))
        while again:
            moved: list[int] = []
            for kind, parts in self._differing(list(again)).items():
                moved += self._divide(kind, list(parts.values()))
            again = {previous for state in moved for previous in self._before[state]}
        return self._kinds[:-1]

    def _differing(self, states: list[int]) -> dict[int, dict[bytes, set[int]]]:
        """By kind, these states in parts that have the same moves."""
        found: dict[int, dict[bytes, set[int]]] = defaultdict(lambda: defaultdict(set))
        kinds = self._kinds[states].tolist()
        for state, kind, row in zip(states, kinds, self._kinds[self._moves[states]], strict=True):
            found[kind][row.tobytes()].add(state)
        return found

    def _divide(self, kind: int, parts: list[set[int]]) -> list[int]:
        """Take a kind apart; the states that get a new number.

        What is in no part has the moves that it had, which those of no part are any more.
        """
        whole = self._members[kind]
        largest = max(parts, key=len)
        rest = len(whole) - sum(map(len, parts))
        if rest > len(largest):
            whole.difference_update(*parts)
        else:
            if rest:
                parts.append(whole.difference(*parts))
            parts.remove(largest)
            self._members[kind] = largest
        for part in parts:
            self._kinds[list(part)] = len(self._members)
            self._members.append(part)
        return [state for part in parts for state in part]
