"""Results as text for people: names and values, rows and columns."""

from __future__ import annotations

from typing import Any


def figures_table(figures: dict[str, Any]) -> str:
    """Names and values, one pair a line."""
    width = max(map(len, figures))
    return "\n".join(
        f"{name.replace('_', ' '):<{width}}  {_shown(v)}" for name, v in figures.items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items() if v not in (None, False))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return printable(value)


def printable(text: str) -> str:
    """The text on one line, line ends and control characters as escapes."""
    return text if text.isprintable() else repr(text)[1:-1]


def benchmark_table(result: dict[str, dict[str, float]]) -> str:
    """What ``charrnn.benchmark`` measured."""
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
    return "\n".join(lines)
