"""``charrnn recall``: the stored line that a damaged or unfinished one leads to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import given_options, json_option, option
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import Output, say
from charrnn.config import RECALL_BETA, RECALL_RULES, TextConfig
from charrnn.errors import UsageError
from charrnn.text.display import decoded

if TYPE_CHECKING:
    from charrnn.inference.memory import AssociativeMemory, Recalled


@click.command()
@click.argument("memory", type=click.Path(path_type=Path))
@click.option("--line", "given", multiple=True, metavar="TEXT",
              help="Recall this line; may be given several times.  [default: the lines of "
                   "standard input]")  # fmt: skip
@click.option(
    "--rule",
    type=click.Choice(RECALL_RULES),
    default=RECALL_RULES[0],
    show_default=True,
    help="How lines are stored: classical is Hopfield's rule of 1982, which holds few.",
)
@click.option("--beta", type=float, default=RECALL_BETA, show_default=True,
              help="Of the modern rule: how sharply the nearest lines are preferred; with little "
                   "it settles on a mixture of several.")  # fmt: skip
@option(TextConfig, "--encoding", str, "Encoding of the text.")
@json_option
@click.pass_context
def recall(context: click.Context, memory: Path, given: tuple[str, ...], rule: str, beta: float,
           encoding: str, as_json: bool) -> None:  # fmt: skip
    """Recall lines of MEMORY, a text, by damaged or unfinished ones.

    An associative memory stores all lines of MEMORY at once. A line that is read sets the state of
    its units, and what they settle on is printed: the nearest stored line, or a mixture of some
    where it holds too many. Characters count at their places: some may be wrong, but none missing.
    What follows a line is unknown, and so is a character that no stored line has, such as # in most
    texts. A line is printed for each line, an empty one for an empty one.

    \b
    Examples:
      charrnn recall proverbs.txt --line "A stitch in"
      charrnn recall proverbs.txt --line "A rollimg stome" --rule classical
      charrnn recall names.txt --json < damaged.txt | jq -r .line
    """
    from charrnn.inference.memory import read_memory

    if rule == "classical" and "beta" in given_options(context):
        raise UsageError("--beta is for --rule modern")
    if str(memory) == "-" and not given:
        raise UsageError("MEMORY is standard input: give the lines to recall with --line")
    output = Output()
    stored = read_memory(memory, rule, beta, encoding=encoding)
    if rule == "classical" and (share := stored.held()) < 1:
        say(f"the classical rule holds {share:.0%} of these {len(stored.lines):,} lines: "
            "--rule modern holds more")  # fmt: skip
    for answers in _answers(stored, tuple(map(decoded, given)), encoding):
        output.write("".join(_shown(answer, as_json) + "\n" for answer in answers))


def _answers(
    memory: AssociativeMemory, given: tuple[str, ...], encoding: str
) -> Iterable[list[Recalled | None]]:
    from charrnn.inference.memory import recalled_lines

    if not given:
        return recalled_lines(memory, "-", encoding=encoding)
    found: Iterator[Any] = iter(memory.recall(list(filter(None, given))))
    return [[next(found) if line else None for line in given]]


def _shown(answer: Recalled | None, as_json: bool) -> str:
    if answer is None:
        return ""
    return to_json(answer._asdict()) if as_json else answer.line
