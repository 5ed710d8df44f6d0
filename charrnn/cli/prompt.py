"""The prompt that a text goes on from: its options, how it is read, what the model cannot know."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import options
from charrnn.cli.terminal import say
from charrnn.errors import UsageError
from charrnn.text.display import decoded

if TYPE_CHECKING:
    from charrnn.text.vocabulary import Vocabulary

#: What a shell passes on as two characters, and means.
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}

#: Most unknown characters of a prompt that are named.
_NAMED = 20


class _PromptFile(click.File):
    """A file in UTF-8; standard input may be closed."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "-" and sys.stdin is None:
            self.fail("standard input is closed", param, ctx)
        return super().convert(value, param, ctx)


prompt_options = options(
    click.option("--prime", help=r"Text to go on from; \n, \t and \r are what they stand for, "
                 r"\\ is \."),
    click.option("--prime-file", type=_PromptFile("r", encoding="utf-8"),
                 help="File with text to go on from; - is standard input."),
)  # fmt: skip


def read_prompt(prime: str | None, file: Any, *, lines: bool) -> str:
    """The prompt; of a file for a model of ``lines`` without its last line end.

    Raises ``UsageError`` where both are given, or where the file is not UTF-8.
    """
    if prime is not None and file is not None:
        raise UsageError("give --prime or --prime-file, not both")
    if file is None:
        return unescaped(decoded(prime or ""))
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt {file.name} is not UTF-8 at byte {error.start}") from error
    return text.removesuffix("\n") if lines else text


def prompts_of_lines(encoding: str) -> Iterator[list[str]]:
    """The lines of standard input without their ends, as many at once as there are.

    Raises ``CorpusError`` where it is no such text.
    """
    from charrnn.text.corpus import read_pieces
    from charrnn.text.lines import text_of, whole_lines

    for block in whole_lines(read_pieces("-", encoding=encoding, normalize_newlines=True), 1):
        yield text_of(block).removesuffix("\n").split("\n")


def unescaped(text: str) -> str:
    """Text of the command line, whose ``\\n``, ``\\t``, ``\\r`` and ``\\\\`` are what they mean."""
    return re.sub(r"\\([ntr\\])", lambda match: _ESCAPES[match[1]], text)


def warn_of_unknown(vocabulary: Vocabulary, prompt: str) -> None:
    """Say which characters of the prompt are read as unknown ones."""
    if unseen := vocabulary.unseen(prompt):
        known = frozenset(vocabulary.characters)
        shown = ", ".join(_with_other_case(character, known) for character in unseen[:_NAMED])
        more = f" and {len(unseen) - _NAMED:,} others" if len(unseen) > _NAMED else ""
        say(f"Warning: the model does not know {shown}{more}: read as unknown characters")


def _with_other_case(character: str, known: frozenset[str]) -> str:
    """An unknown character, and the same in the other case if that is known."""
    other = character.swapcase()
    return f"{character!r} (it knows {other!r})" if other in known else repr(character)
