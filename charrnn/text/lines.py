"""Texts cut into blocks of whole lines, however they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

NEWLINE = ord("\n")

#: Characters of a block: enough for many lanes to read side by side.
BLOCK = 1 << 20


def whole_lines(pieces: Iterable[np.ndarray], size: int = BLOCK) -> Iterator[np.ndarray]:
    """The code points of a text, in blocks that end with a line, each once ``size`` are there.

    Only the last block may lack a newline at its end.
    """
    waiting: list[np.ndarray] = []
    held = 0
    for piece in pieces:
        cut = _end_of_lines(piece) if held + piece.size >= size else 0
        if cut:
            yield np.concatenate([*waiting, piece[:cut]])
            waiting, held = [], 0
        waiting.append(piece[cut:])
        held += piece.size - cut
    if held:
        yield np.concatenate(waiting)


def _end_of_lines(piece: np.ndarray) -> int:
    newlines = np.flatnonzero(piece == NEWLINE)
    return int(newlines[-1]) + 1 if newlines.size else 0


def line_starts(codes: np.ndarray) -> np.ndarray:
    """Where each line of code points begins; the last may lack a newline."""
    after = np.flatnonzero(codes[:-1] == NEWLINE) + 1
    return np.concatenate([[0], after]) if codes.size else after


def text_of(codes: np.ndarray) -> str:
    """The text of code points, of which some may be lone surrogates."""
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")
