"""``charrnn sample``: write new text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.choices import choice_options, read_choices
from charrnn.cli.labels import label_option, with_told
from charrnn.cli.options import (
    json_option,
    model_option,
    option,
    precision_option,
    refuse_together,
    threads_option,
)
from charrnn.cli.prompt import prompt_options, prompts_of_lines, read_prompt, warn_of_unknown
from charrnn.cli.terminal import Output
from charrnn.cli.waiting import announced_compilation
from charrnn.cli.written import presented
from charrnn.config import MOST_BEAMS, TextConfig
from charrnn.errors import UsageError

if TYPE_CHECKING:
    from charrnn.inference.texts import Author, Text


#: What cannot be asked for together.
_EXCLUDED = {
    "interactive": (
        *("prime", "prime_file", "prime_lines", "echo", "count", "whole", "unique", "known"),
        *("best_of", "beams", "separator", "null", "as_json"),
    ),
    "prime_lines": ("prime", "prime_file", "whole", "unique", "known"),
    "beams": ("best_of", "seed"),
    "as_json": ("separator", "null"),
    "null": ("separator",),
}


@click.command()
@click.pass_context
@model_option
@label_option
@choice_options
@prompt_options
@click.option(
    "--prime-lines",
    is_flag=True,
    help="Write a text for each line of standard input, which goes on from it.",
)
@click.option(
    "--echo/--no-echo", default=True, show_default=True, help="Print the prompt before the text."
)
@click.option(
    "--interactive",
    is_flag=True,
    help="Go on from each line that is typed; /help tells what else there is.",
)
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Texts to write."
)
@click.option("--whole", is_flag=True, help="Only texts that end by themselves within --length.")
@click.option("--unique", is_flag=True, help="No text twice.")
@click.option(
    "--not-in",
    "known",
    type=click.Path(),
    multiple=True,
    help="No text that is a line of this file; may be given several times.",
)
@click.option(
    "--best-of",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Write so many for each text, and print the likeliest a character.",
)
@click.option(
    "--beams",
    type=click.IntRange(min=1, max=MOST_BEAMS),
    help="Search for the likeliest texts, with so many beginnings at once.",
)
@option(TextConfig, "--encoding", str, "Encoding of all texts that are read but the prompt file.")
@click.option("--separator", default="\\n", show_default=True, help="What follows each text.")
@click.option("--null", is_flag=True, help="A null character follows each text.")
@json_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="The same seed writes the same text; further texts have the seeds after it.",
)
@click.option("--raw", is_flag=True, help="Send control characters to a terminal as they are.")
@threads_option
@precision_option  # fmt: skip
def sample(context: click.Context, model_path: Path, told: tuple[str, ...], interactive: bool,
           raw: bool, threads: int, precision: str, **options: Any) -> None:  # fmt: skip
    """Write new text.

    A text ends where the model ends a document, with --until, or at --length. It begins with the
    prompt; a line end follows it. With --json there is an object for each: the prompt, the text
    after it, its seed, why it stopped, its log probability and its bits per character.

    \b
    What is asked for is done in this order: --match, --max-copy,
    --repetition-penalty, --dry, --top-k, --typical, --top-p, --min-p,
    --temperature, --mirostat.

    \b
    Examples:
      charrnn sample --length 500 --prime "Once upon a time" --temperature 0.7
      charrnn sample --count 20 --unique --not-in names.txt --whole
      charrnn sample --until "\\n\\n" --top-p 0.9 --json | jq -r .text
      charrnn sample --match "The q.....k (fox|dog)" --count 5
      charrnn sample --label austen:0.7 --label melville:0.3
    """
    from charrnn.inference.language_model import load

    refuse_together(context, _EXCLUDED)
    output = Output(raw=raw)
    with announced_compilation():
        model = with_told(load(model_path, threads=threads, precision=precision), told)
        if interactive:
            from charrnn.cli.interactive import converse

            converse(model, output, options)
            return
        for text in _texts(model, options):
            output.write(text)


def _texts(model: Any, options: dict[str, Any]) -> Iterator[str]:
    """What is printed, piece by piece."""
    from charrnn.inference.texts import some_seed

    author = model.author(**read_choices(model, options))
    show, seed = presented(options), some_seed(options["seed"])
    prompts = _prompts(model, options)
    if _is_streamed(options):
        ((prompt,),) = prompts
        yield from show.pieces(prompt, author.stream(prompt, seed))
    else:
        yield from map(show.text, _wanted(author, prompts, seed, options))


def _is_streamed(options: dict[str, Any]) -> bool:
    """Whether a text can be printed while it is written."""
    one = options["count"] == options["best_of"] == 1 and not options["beams"]
    any_text = not (options["whole"] or options["known"] or options["as_json"])
    return one and any_text and not options["prime_lines"]


def _wanted(
    author: Author, prompts: Iterator[list[str]], seed: int, options: dict[str, Any]
) -> Iterator[Text]:
    """The texts that are asked for; prompts that come later are not waited for."""
    from charrnn.inference.selection import Selection, lines_of

    count, best_of, beams = options["count"], options["best_of"], options["beams"]
    known = lines_of(options["known"], options["encoding"])
    selection = Selection(best_of, options["whole"], options["unique"], known)
    if beams:
        if count > beams:
            raise UsageError(f"--beams {beams} finds no more texts than that: give a larger one")
        for prompt in itertools.chain.from_iterable(prompts):
            yield from selection.among(author.likeliest(prompt, beams), count)
        return
    written = () if selection.refuses else (count * best_of,)  # of each prompt; (): for ever
    seeds, measured = itertools.count(seed), options["as_json"] or best_of > 1
    texts = (
        text
        for group in prompts
        for text in author.texts(_repeated(group, *written), seeds, measured=measured)
    )
    yield from selection.among(texts, count if selection.refuses else None)


def _repeated(prompts: list[str], *times: int) -> Iterator[str]:
    return (same for prompt in prompts for same in itertools.repeat(prompt, *times))


def _prompts(model: Any, options: dict[str, Any]) -> Iterator[list[str]]:
    """What texts go on from, as it comes."""
    from charrnn.storage.summary import reads_lines

    if options["prime_lines"]:
        groups = prompts_of_lines(options["encoding"])
    else:
        lines = reads_lines(model.training)
        groups = iter([[read_prompt(options["prime"], options["prime_file"], lines=lines)]])
    for prompts in groups:
        warn_of_unknown(model.vocabulary, "".join(prompts))
        yield prompts
