"""Scored lines as they are printed: rows with tabs, JSON, or colours."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.cli.tables import to_json
from charrnn.cli.terminal import visible
from charrnn.text.display import printable

if TYPE_CHECKING:
    from charrnn.inference.scoring import ScoredLines

#: Bits below which a character has a colour: the number of a background in the palette of 256.
_SCALE = ((0.5, None), (1, 194), (2, 229), (4, 222), (8, 216), (float("inf"), 203))

#: White space of which nothing would be seen, and what goes before it.
_MARKS = {"\n": "↵", "\t": "→"}


def presentation(
    models: Sequence[str], as_json: bool, per_character: bool
) -> Callable[[ScoredLines], str]:
    """How blocks of lines are shown; ``models`` are the names of those that scored them."""
    if per_character:
        if as_json:
            return _character_json
        colours = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return _Coloured() if colours else _character_rows
    kind = (_json_one, _json_several) if as_json else (_row_one, _row_several)
    return functools.partial(_records, list(models), kind[len(models) > 1], as_json)


def _records(models: list[str], show: Callable[..., Any], as_json: bool, block: ScoredLines) -> str:
    """A line for each line; ``show`` makes of its figures what stands before the line."""
    bits, unknown = block.bits_of_lines().T.tolist(), block.unknown_in_lines().T.tolist()
    counts = zip(
        block.characters_of_lines().tolist(), block.predictions_of_lines().tolist(), strict=True
    )
    copied: Any = block.copied or [None] * len(bits)
    rows = zip(block.lines(), bits, counts, unknown, copied, strict=True)
    join = _json_line if as_json else _tabbed
    return "".join(join(line, show(models, *figures), copy) for line, *figures, copy in rows)


def _row_one(models: list[str], bits: Any, counts: Any, unknown: Any) -> str:
    characters, predictions = counts
    return f"{bits[0]:.4f}\t{characters}\t{bits[0] / predictions:.4f}\t{unknown[0]}"


def _row_several(models: list[str], bits: Any, counts: Any, unknown: Any) -> str:
    columns = "\t".join(f"{value:.4f}" for value in bits)
    return f"{columns}\t{counts[0]}\t{models[bits.index(min(bits))]}"


def _tabbed(line: str, figures: str, copy: Any) -> str:
    if copy is None:
        return f"{figures}\t{line}\n"
    longest = copy.longest
    where = f"{longest.file}:{longest.line}" if longest else ""
    return f"{figures}\t{copy.characters}\t{where}\t{line}\n"


def _json_one(models: list[str], bits: Any, counts: Any, unknown: Any) -> dict[str, Any]:
    characters, predictions = counts
    mean = bits[0] / predictions
    return {"bits": bits[0], "characters": characters, "bits_per_character": mean,
            "unknown": unknown[0]}  # fmt: skip


def _json_several(models: list[str], bits: Any, counts: Any, unknown: Any) -> dict[str, Any]:
    characters, predictions = counts
    each = [
        {"model": name, "bits": b, "bits_per_character": b / predictions, "unknown": u}
        for name, b, u in zip(models, bits, unknown, strict=True)
    ]
    return {"characters": characters, "likeliest": models[bits.index(min(bits))], "models": each}


def _json_line(line: str, figures: dict[str, Any], copy: Any) -> str:
    if copy is not None:
        passages = [passage._asdict() for passage in copy.passages]
        figures = figures | {"copied": copy.characters, "passages": passages}
    return to_json(figures | {"line": line}) + "\n"


def _characters(block: ScoredLines) -> Iterator[list[tuple[str, float]]]:
    """The characters of each line with their bits; an end of a document is "\\n"."""
    text = block.text()
    bits = block.bits[0].tolist()
    for start, end in zip(block.starts, np.append(block.starts[1:], len(text)), strict=True):
        yield list(zip(text[start:end], bits[start:end], strict=True))


def _character_json(block: ScoredLines) -> str:
    """Each line an array of pairs; the end of a document, which is no character, is null."""
    lines = []
    for characters in _characters(block):
        pairs: list[Any] = [list(pair) for pair in characters]
        if block.documents:
            pairs[-1][0] = None
        lines.append(to_json(pairs) + "\n")
    return "".join(lines)


def _character_rows(block: ScoredLines) -> str:
    """A row for each character, escaped where it could not be seen; nothing for an end."""
    rows = []
    for characters in _characters(block):
        names = [printable(character) for character, _ in characters]
        if block.documents:
            names[-1] = ""
        rows += [f"{name}\t{bits:.4f}\n" for name, (_, bits) in zip(names, characters, strict=True)]
    return "".join(rows)


class _Coloured:
    """Text on backgrounds that say how surprising it is, below a line that explains them.

    Black on a light colour can be read on a dark terminal and on a light one.
    """

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, block: ScoredLines) -> str:
        lines = "".join(map(_coloured, _characters(block)))
        legend, self._begun = "" if self._begun else _legend(), True
        return legend + lines


def _legend() -> str:
    named, low = [], 0.0
    for high, colour in _SCALE:
        name = f" {low:g} to {high:g} " if high < float("inf") else f" {low:g} or more "
        named.append(_painted(name, colour))
        low = high
    return f"bits: {''.join(named)}\n"


def _coloured(characters: list[tuple[str, float]]) -> str:
    pieces = []
    for colour, group in itertools.groupby(characters, key=lambda pair: _colour(pair[1])):
        text = "".join(character for character, _ in group)
        shown = "".join(_MARKS.get(character, visible(character)) for character in text)
        pieces.append(_painted(shown, colour) + ("\n" if text.endswith("\n") else ""))
    return "".join(pieces)


def _colour(bits: float) -> int | None:
    return next(colour for bound, colour in _SCALE if bits < bound)


def _painted(text: str, colour: int | None) -> str:
    return text if colour is None else f"\x1b[38;5;16;48;5;{colour}m{text}\x1b[0m"
