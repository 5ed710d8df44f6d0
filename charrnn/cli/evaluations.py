"""What ``evaluate`` tells: figures of all, of each file, and by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charrnn.cli.tables import aligned, figures_table
from charrnn.text.display import printable

if TYPE_CHECKING:
    from charrnn.training.evaluation import CorpusEvaluation, Evaluation

_MEANS = ("nats_per_character", "bits_per_character", "perplexity")
_COUNTS = ("characters", "unknown")


def evaluation_figures(
    names: Sequence[str],
    result: CorpusEvaluation,
    adapted: CorpusEvaluation | None,
    *,
    by_position: bool,
) -> dict[str, Any]:
    """All figures by name; "files" where there are several, "positions" where they are wanted."""
    figures = _figures(result.total, adapted.total if adapted else None)
    if len(names) > 1:
        others = adapted.sources if adapted else [None for _ in names]
        parts = zip(names, result.sources, others, strict=True)
        figures["files"] = [{"file": n, **_figures(own, other)} for n, own, other in parts]
    if by_position:
        rows = figures["positions"] = [position._asdict() for position in result.positions]
        if adapted:
            for row, other in zip(rows, adapted.positions, strict=True):
                row["adapted_nats_per_character"] = other.nats_per_character
    return figures


def _figures(result: Evaluation, adapted: Evaluation | None) -> dict[str, Any]:
    names = (*_MEANS, "known_perplexity", *_COUNTS)
    figures = {name: getattr(result, name) for name in names}
    if adapted:
        figures |= {f"adapted_{name}": getattr(adapted, name) for name in _MEANS}
    return figures


def evaluation_tables(figures: dict[str, Any]) -> str:
    """The same for people: the totals, then tables of what else there is."""
    parts = {"files": _file_table, "positions": _position_table}
    totals = {name: value for name, value in figures.items() if name not in parts}
    tables = [show(figures[name]) for name, show in parts.items() if name in figures]
    return "\n\n".join([figures_table(totals), *tables])


def assessment_tables(figures: dict[str, Any]) -> str:
    """What a model that reads tells, for people: figures, and the F1 of each tag.

    Who was taken for whom is for programs: there may be hundreds of labels.
    """
    totals = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    tables = [figures_table(totals)]
    if tags := figures.get("f1_of_tags"):
        tables.append(aligned([["tag", "F1"], *([n, f"{f1:.4f}"] for n, f1 in tags.items())]))
    return "\n\n".join(tables)


def _file_table(files: list[dict[str, Any]]) -> str:
    wanted = (*_MEANS[1:], "known_perplexity", *_COUNTS, "adapted_bits_per_character")
    names = [name for name in wanted if name in files[0]]
    heading = [
        "file",
        *(name.replace("_per_character", "/char").replace("_", " ") for name in names),
    ]
    return aligned([heading, *([printable(f["file"]), *_shown(f, names)] for f in files)])


def _position_table(positions: list[dict[str, Any]]) -> str:
    names = [name for name in positions[0] if name not in ("fewest", "most")]
    heading = ["characters before", *(name.replace("_", " ") for name in names)]
    return aligned([heading, *([_range(p), *_shown(p, names)] for p in positions)])


def _range(position: dict[str, Any]) -> str:
    fewest, most = position["fewest"], position["most"]
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _shown(figures: dict[str, Any], names: Sequence[str]) -> list[str]:
    values = [figures[name] for name in names]
    return [f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for value in values]
