"""Figures as tables for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charrnn.text.display import printable

if TYPE_CHECKING:
    from charrnn.inference.expectation import Expected


def to_json(figures: Any) -> str:
    """JSON, with null for what is no finite number."""
    return json.dumps(_finite(figures), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def figures_table(figures: dict[str, Any]) -> str:
    """Names and values, a line for each."""
    width = max(map(len, figures))
    rows = [f"{n.replace('_', ' '):<{width}}  {printable(_shown(v))}" for n, v in figures.items()]
    return "\n".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
    if isinstance(value, dict):
        given = ((k, v) for k, v in value.items() if v is not None and v is not False)
        return ", ".join(f"{k} {v}" for k, v in given)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = ["  ".join(map(str.rjust, others, widths[1:])) for _, *others in rows]
    return "\n".join(f"{row[0]:<{widths[0]}}  {r}" for row, r in zip(rows, right, strict=True))


def expected_figures(found: Sequence[Expected]) -> list[dict[str, Any]]:
    """What may follow, for JSON; "character" is null where it is none."""
    return [
        {"name": x.name, "character": x.character, "probability": x.probability, "bits": x.bits}
        for x in found
    ]


def expected_table(found: Sequence[Expected]) -> str:
    """What may follow, a line for each."""
    rows = [("next", "probability", "bits")]
    for x in found:
        name = x.name if x.character is None else repr(x.character)
        rows.append((name, f"{x.probability:.6f}", f"{x.bits:.3f}"))
    return aligned(rows)


def benchmark_table(result: dict[str, dict[str, float]]) -> str:
    """What ``charrnn.studies.benchmark`` measures: the limit, then a line for each kind of work."""
    limit = result["limit"]
    lines = [
        f"limit           {limit['gflops']:.0f} GFLOP/s, {limit['gigabytes_per_second']:.0f} GB/s",
        f"{'':<15} {'characters/s':>12} {'GFLOP/s':>9} {'of limit':>9}",
    ]
    for name in ("training", "evaluation", "sampling", "sampling_batch"):
        row = result[name]
        lines.append(
            f"{name.replace('_', ' '):<15} {row['characters_per_second']:>12,.0f} "
            f"{row['gflops']:>9.1f} {row['percent_of_limit']:>8.1f}%"
        )
    if "profile" in result:
        lines.append("a training step's time")
        lines += [f"  {part:<13} {percent:>11.1f}%" for part, percent in result["profile"].items()]
    if "choosers" in result:
        lines.append("sampling one text, beside plain sampling")
        lines += [f"  {way:<18} {percent:>6.1f}%" for way, percent in result["choosers"].items()]
    return "\n".join(lines)
