"""``charrnn sample``: write new text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    model_option,
    precision_option,
    threads_option,
)
from charrnn.cli.terminal import Output, say
from charrnn.cli.waiting import announced_compilation
from charrnn.errors import UsageError
from charrnn.text.display import decoded


@click.command()
@model_option
@click.option(
    "--length",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Most characters of a text, the prompt not counted.",
)
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="0: always the likeliest character; 1: as learned; more: wilder.",
)
@click.option("--prime", help="Text to go on from.")
@click.option(
    "--prime-file",
    type=click.File("r", encoding="utf-8"),
    help="File with text to go on from; - is standard input.",
)
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Texts to write."
)
@click.option("--seed", type=click.IntRange(min=0), help="The same seed writes the same text.")
@click.option("--raw", is_flag=True, help="Send control characters to a terminal as they are.")
@threads_option
@precision_option
def sample(model_path: Path, length: int, prime: str | None, prime_file: Any, raw: bool,
           threads: int, precision: str, **options: Any) -> None:  # fmt: skip
    """Write new text.

    A text ends where the model ends a document, or at --length. It begins with the prompt; a
    line end follows it.
    """
    if prime is not None and prime_file is not None:
        raise UsageError("give --prime or --prime-file, not both")
    from charrnn.inference.language_model import load
    from charrnn.storage.summary import reads_lines

    prompt = _read_prime(prime, prime_file)
    output = Output(raw=raw)
    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        if prime_file and reads_lines(model.training):
            prompt = prompt.removesuffix("\n")  # a file ends its line, the model's text goes on
        if unseen := model.vocabulary.unseen(prompt):
            known = frozenset(model.vocabulary.characters)
            shown = ", ".join(_with_other_case(character, known) for character in unseen)
            say(f"Warning: the model does not know {shown}: read as unknown characters")
        for piece in model.texts(length, prime=prompt, **options):
            output.write(piece)


def _read_prime(prime: str | None, file: Any) -> str:
    if file is None:
        return decoded(prime or "")
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt {file.name} is not UTF-8 at byte {error.start}") from error


def _with_other_case(character: str, known: frozenset[str]) -> str:
    """An unknown character, and the same in the other case if that is known."""
    other = character.swapcase()
    return f"{character!r} (it knows {other!r})" if other in known else repr(character)
