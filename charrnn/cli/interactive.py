"""``charrnn sample --interactive``: lines that are typed are gone on from."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

from charrnn.cli.choices import read_choices
from charrnn.cli.prompt import unescaped, warn_of_unknown
from charrnn.cli.terminal import Output, say
from charrnn.errors import CharrnnError
from charrnn.storage.summary import reads_lines
from charrnn.text.display import decoded

#: Characters of what was said before that an answer goes on from: no network remembers more.
_REMEMBERED = 4096

_HELP = """Each line is gone on from, after all that stands above it. Ctrl-C ends an answer.
/reset  begin anew: what stands above is forgotten
/again  another answer to the last line
/quit   or Ctrl-D: the end"""


def converse(model: Any, output: Output, options: dict[str, Any]) -> None:
    """Answer each line of standard input until its end, or /quit."""
    from charrnn.inference.texts import some_seed

    conversation = _Conversation(model, output, options, some_seed(options["seed"]))
    for line in _typed_lines():
        if line == "/quit":
            return
        if line == "/help":
            say_lines(_HELP)
        elif line == "/reset":
            conversation.above = ""
        elif line == "/again":
            conversation.again()
        else:
            conversation.answer(unescaped(decoded(line)))


def say_lines(text: str) -> None:
    """Tell people something that has several lines."""
    for line in text.splitlines():
        say(line)


class _Conversation:
    """What stands above, which an answer goes on from; answers have one seed after the other."""

    def __init__(self, model: Any, output: Output, options: dict[str, Any], seed: int) -> None:
        self._model, self._output, self._seed = model, output, seed
        self._author = model.author(**read_choices(model, options))
        self._lines = reads_lines(model.training)
        self.above, self._before = "", ""

    def answer(self, line: str) -> None:
        """Go on from the line, behind what stands above unless every line is a text of its own."""
        warn_of_unknown(self._model.vocabulary, line)
        if self._lines:
            self.above = ""
        elif self.above and not self.above.endswith("\n"):
            self.above += "\n"
        self.above += line
        self._go_on()

    def again(self) -> None:
        """Another answer in place of the last one."""
        self.above = self._before
        self._go_on()

    def _go_on(self) -> None:
        self._before = self.above
        with contextlib.suppress(KeyboardInterrupt):
            for piece in self._author.stream(self.above[-_REMEMBERED:], self._seed):
                self._output.write(piece)
                self.above += piece
        self._output.write("\n")
        self._seed += 1


def _typed_lines() -> Iterator[str]:
    """Lines of standard input; on a terminal with editing and a history."""
    if sys.stdin is None:
        raise CharrnnError("cannot read standard input: it is closed")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield from (line.removesuffix("\n") for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):  # Windows edits lines by itself
        import readline  # noqa: F401  (``input`` edits with it)
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            say("")
