"""The prompt that a text goes on from: its options, how it is read, what the model cannot know."""

from __future__ import annotations

from typing import Any

import click

from charrnn.cli.options import options
from charrnn.cli.terminal import say
from charrnn.errors import UsageError
from charrnn.text.display import decoded
from charrnn.text.vocabulary import Vocabulary

prompt_options = options(
    click.option("--prime", help="Text to go on from."),
    click.option("--prime-file", type=click.File("r", encoding="utf-8"),
                 help="File with text to go on from; - is standard input."),
)  # fmt: skip


def read_prompt(prime: str | None, file: Any, *, lines: bool) -> str:
    """The prompt; of a file for a model of ``lines`` without its last line end.

    Raises ``UsageError`` where both are given, or where the file is not UTF-8.
    """
    if prime is not None and file is not None:
        raise UsageError("give --prime or --prime-file, not both")
    if file is None:
        return decoded(prime or "")
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt {file.name} is not UTF-8 at byte {error.start}") from error
    return text.removesuffix("\n") if lines else text


def warn_of_unknown(vocabulary: Vocabulary, prompt: str) -> None:
    """Say which characters of the prompt are read as unknown ones."""
    if unseen := vocabulary.unseen(prompt):
        known = frozenset(vocabulary.characters)
        shown = ", ".join(_with_other_case(character, known) for character in unseen)
        say(f"Warning: the model does not know {shown}: read as unknown characters")


def _with_other_case(character: str, known: frozenset[str]) -> str:
    """An unknown character, and the same in the other case if that is known."""
    other = character.swapcase()
    return f"{character!r} (it knows {other!r})" if other in known else repr(character)
