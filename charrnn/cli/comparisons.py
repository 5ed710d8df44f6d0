"""What ``compare`` tells of its runs: a table, JSON, and curves of losses against time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from charrnn.cli.options import as_option, as_value
from charrnn.cli.tables import aligned
from charrnn.cli.varied import name_of


class Outcome(NamedTuple):
    """A run that was made."""

    number: int  # of its variant
    variant: dict[str, Any]
    figures: dict[str, Any]  # the fields of a ``charrnn.studies.comparison.Result``
    curve: list[dict[str, Any]]  # as ``charrnn.studies.comparison.Trial`` has it


#: Columns of the table before the loss and after it: a figure, its heading, how it is shown.
_BEFORE = (("layers", "layers", ",.0f"), ("hidden_size", "hidden", ",.0f"),
           ("weights", "weights", ",.0f"),
           ("characters_per_second", "chars/s", ",.0f"))  # fmt: skip
_AFTER = (("bits_per_character", "bits", ".4f"), ("seconds", "seconds", ",.1f"),
          ("steps", "steps", ",.0f"))  # fmt: skip


def outcome_figures(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The figures of each run, for JSON, with what is varied."""
    return [own.variant | own.figures for own in outcomes]


def comparison_table(outcomes: Sequence[Outcome]) -> str:
    """A line for each variant, in columns: of several seeds the medians.

    Without validation text the training loss is shown.
    """
    losses = [f"{_kind(outcomes)} loss"]
    if "seed" in outcomes[0].variant:
        losses = ["runs", *losses, "lowest", "highest"]
    varied = [field for field in outcomes[0].variant if field != "seed"]
    before, after = ([column for column in columns if column[0] not in varied]
                     for columns in (_BEFORE, _AFTER))  # fmt: skip
    headings = [*(_heading(field) for field in varied), *(column[1] for column in before),
                *losses, *(column[1] for column in after)]  # fmt: skip
    rows = [headings]
    for runs in _groups(outcomes):
        figures = [own.figures for own in runs]
        rows.append([
            *(as_value(field, figures[0].get(field, runs[0].variant[field])) for field in varied),
            *(_median(figures, field, form) for field, _, form in before),
            *_losses(figures, f"{_kind(outcomes)}_loss", len(losses) > 1),
            *(_median(figures, field, form) for field, _, form in after),
        ])  # fmt: skip
    return aligned(rows)


def _kind(outcomes: Sequence[Outcome]) -> str:
    """Which losses are shown: in training where a run that came to something has no others."""
    tried = [own.figures for own in outcomes if not own.figures["error"]]
    return "training" if any(own["validation_loss"] is None for own in tried) else "validation"


def _heading(field: str) -> str:
    """What a column of values of a field is called."""
    columns = {name: heading for name, heading, _ in (*_BEFORE, *_AFTER)}
    return columns.get(field, as_option(field).removeprefix("--"))


def _groups(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """The runs of each variant, which differ in their seeds."""
    groups: dict[Any, list[Outcome]] = {}
    for own in outcomes:
        varied = tuple(value for field, value in own.variant.items() if field != "seed")
        groups.setdefault(varied, []).append(own)
    return list(groups.values())


def _median(figures: Sequence[dict[str, Any]], field: str, form: str) -> str:
    """The median of what the runs have, which is nothing where none came to anything."""
    known = [own[field] for own in figures if own[field] is not None]
    return format(statistics.median(known), form) if known else ""


def _losses(figures: Sequence[dict[str, Any]], field: str, several: bool) -> list[str]:
    """The median loss, and of ``several`` seeds the runs that have one, and the bounds."""
    known = [own[field] for own in figures if own[field] is not None]
    told = [f"{f(known):.4f}" for f in _SPREAD] if known else ["came to nothing", "", ""]
    return [f"{len(known)}", *told] if several else told[:1]


_SPREAD: tuple[Callable[[list[float]], float], ...] = (statistics.median, min, max)


def draw(outcomes: Sequence[Outcome], path: Path | None) -> str | None:
    """Losses against time, of each variant the run whose loss is the median.

    They are drawn as a picture at ``path``, or else returned as text. Raises ``UsageError`` where
    no run has any, ``CharrnnError`` where the picture cannot be drawn or written.
    """
    from charrnn.studies.runs import Run, draw_picture, report

    kind = _kind(outcomes)
    drawn = [Run(name_of(own.variant), own.curve)
             for own in (_typical(runs, f"{kind}_loss") for runs in _groups(outcomes))
             if own.curve]  # fmt: skip
    figure = "validation" if kind == "validation" else "loss"
    if path is None:
        return report(drawn, figure, "seconds")
    draw_picture(drawn, figure, "seconds", path)
    return None


def _typical(runs: Sequence[Outcome], field: str) -> Outcome:
    """The run whose loss is the median, of an even number the lower of the two in the middle."""
    known = [own for own in runs if own.figures[field] is not None]
    ranked = sorted(known, key=lambda own: own.figures[field])
    return ranked[(len(ranked) - 1) // 2] if ranked else runs[0]
