"""``charrnn neurons``: what the units of a network stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import (
    json_option,
    model_option,
    precision_option,
    reading_options,
    threads_option,
)
from charrnn.cli.tables import aligned, to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.text.display import printable

if TYPE_CHECKING:
    from charrnn.studies.neurons import Neuron


@click.command()
@click.argument("files", nargs=-1, required=True)
@model_option
@click.option("--find", metavar="REGEX",
              help="Rank units by how well they tell where a match of this regular expression "
                   "covers the character that is read.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True,
              help="Show so many, and silence these.")  # fmt: skip
@reading_options
@threads_option
@precision_option
@json_option
def neurons(files: tuple[str, ...], model_path: Path, find: str | None, top: int,
            lines: bool | None, threads: int, precision: str, as_json: bool,
            **reading: Any) -> None:  # fmt: skip
    """Tell what units stand for, from what they do on FILES.

    AUC is the probability that a unit's output is higher where a pattern holds than where it does
    not: 1 or 0 tells it always, 0.5 never. Without --find each unit is shown with what it tells
    best of capitals, quotes, white space, places in a line and so on. Then come the characters and
    the places that excite it, and by how much the loss is higher when the unit is silenced: when
    its output is 0 to all that reads it.

    Read are the first 16,384 characters, on half of which units are silenced. For a model that
    reads, FILES are like those that it was trained on.

    \b
    Examples:
      charrnn neurons held-out.txt
      charrnn neurons held-out.txt --find "(?m)^.{1,5}" --top 3
      charrnn neurons --model sexes.safetensors sexes-test.tsv --json
    """
    from charrnn.inference.models import load
    from charrnn.studies.neurons import neurons as ranked_neurons
    from charrnn.studies.texts import read_text

    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        with shown_reading():
            text = read_text(model, files, lines=lines, **reading)
        found, _ = ranked_neurons(model.network, model.vocabulary, text, find=find, top=top)
    if as_json:
        print_result(to_json([neuron.figures for neuron in found[:top]]))
    else:
        print_result("\n".join(_table(found[:top])))


def _table(found: Sequence[Neuron]) -> Iterator[str]:
    """A row of figures for each unit, then what excites each."""
    heading = ["unit", "AUC", "loss without", "mean", "deviation"]
    rows = [[n.unit.name, f"{n.auc:.4f}", f"{n.loss_change:+.4f}", f"{n.mean:+.3f}",
             f"{n.deviation:.3f}", n.pattern] for n in found]  # fmt: skip
    table = aligned([heading, *(row[:-1] for row in rows)]).split("\n")
    tells = ["tells", *(printable(row[-1]) for row in rows)]
    yield from (f"{line}  {own}" for line, own in zip(table, tells, strict=True))
    for neuron in found:
        yield ""
        sign = "high" if neuron.auc >= 0.5 else "low"
        characters = " ".join(repr(c)[1:-1] if c != " " else "' '" for c, _ in neuron.characters)
        yield f"{neuron.unit.name}  {sign} after {characters}"
        for before, character, after, output in neuron.contexts:
            shown = f"{_one_line(before):>28}[{_one_line(character)}]{_one_line(after)}"
            yield f"  {output:+.3f} {shown.rstrip()}"


def _one_line(text: str) -> str:
    return printable(text.replace("\n", "↵"))
