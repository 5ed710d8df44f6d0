"""Labels at the command line: those that a model is told, and those that it finds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.tables import to_json
from charrnn.errors import UsageError
from charrnn.text.display import decoded, named

if TYPE_CHECKING:
    from charrnn.inference.attribution import Attribution

_WEIGHT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")

label_option = click.option(
    "--label", "told", multiple=True, metavar="LABEL[:WEIGHT]",
    help="A label that the model is told, of those that it was trained with; may be given several "
         "times. Weights mix labels (a:0.7, b:0.3), stress them (a:2) or turn away from them "
         "(a:-1).",
)  # fmt: skip


def with_told(model: Any, given: Sequence[str]) -> Any:
    """The model, to which the labels that are ``given`` are told, if any.

    Raises ``UsageError`` for one that it does not know or that is given twice.
    """
    weights: dict[str, float] = {}
    for text in given:
        name, weight = _weighed(decoded(text), model.labels)
        if name in weights:
            raise UsageError(f"the label '{named(name)}' is given twice: give it once")
        weights[name] = weight
    return model.told(weights or None)


def _weighed(text: str, labels: Sequence[str]) -> tuple[str, float]:
    """A label and its weight: 1, unless a number stands behind a colon that is not part of it."""
    name, colon, weight = text.rpartition(":")
    if colon and text not in labels and _WEIGHT.fullmatch(weight):
        return name, float(weight)
    return text, 1.0


def attribution_row(line: str, found: Sequence[Attribution]) -> str:
    """The likeliest label of each column with its probability, and the line, with tabs between."""
    likeliest = (f"{own.names[0]}\t{own.probabilities[0]:.4f}" for own in found)
    return "\t".join([*likeliest, line]) + "\n"


def attribution_json(line: str, found: Sequence[Attribution]) -> str:
    """The likeliest label of each column, the probabilities of all labels, and the line."""
    figures = {
        "likeliest": [own.names[0] for own in found],
        "labels": [dict(zip(own.names, own.probabilities, strict=True)) for own in found],
        "line": line,
    }
    return to_json(figures) + "\n"
