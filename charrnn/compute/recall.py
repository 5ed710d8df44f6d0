"""What choosers remember of texts that are being written."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from charrnn.compute.cache import inlined


class Recall(NamedTuple):
    """What is remembered of each of B texts.

    ``history`` holds the last R tokens twice over, so that any number of the latest lie in a row,
    the newest first.
    """

    history: Any  # [B, 2·R] int32
    read: Any  # [B] int64, tokens so far
    runs: Any  # [B, D] int32: how many of the last tokens stand there 1 … D tokens earlier too
    state: Any  # [B] int32, of the automaton that says what may follow
    bound: Any  # [B] float64, bits beyond which Mirostat takes nothing
    left: Any  # [B] int64, characters that may still be chosen


def create_recall(texts: int, *, window: int, runs: int, bound: float, length: int) -> Recall:
    """Of texts at their beginning: the last ``window`` tokens, and runs as far back as ``runs``."""
    return Recall(
        history=np.zeros((texts, 2 * max(window, runs, 1)), np.int32),
        read=np.zeros(texts, np.int64),
        runs=np.zeros((texts, runs), np.int32),
        state=np.zeros(texts, np.int32),
        bound=np.full(texts, bound),
        left=np.full(texts, length, np.int64),
    )


@inlined
def _place_of(read, room):
    """Where in the first half of a history the token stands that was read last."""
    return room - 1 - (read - 1) % room


@inlined
def recent(history, read, most):
    """A text's latest tokens, up to ``most``, the newest first."""
    room = history.size // 2
    first = _place_of(read, room)
    return history[first : first + min(most, room, read)]


@inlined
def remember(recall, b, token):
    """The text has one more token."""
    history, runs = recall.history[b], recall.runs[b]
    tokens = recent(history, recall.read[b], runs.size)
    for back in range(tokens.size):
        runs[back] = runs[back] + 1 if tokens[back] == token else 0
    recall.read[b] += 1
    at = _place_of(recall.read[b], history.size // 2)
    history[at] = history[at + history.size // 2] = token
