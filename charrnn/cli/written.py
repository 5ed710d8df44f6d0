"""How texts are printed: as they are, with what stands between them, or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charrnn.cli.prompt import unescaped
from charrnn.cli.tables import to_json
from charrnn.text.display import decoded

if TYPE_CHECKING:
    from charrnn.inference.texts import Text


@dataclass(frozen=True)
class Presentation:
    """``separator`` follows each text, which begins with its prompt where that is to be seen."""

    echo: bool
    separator: str
    as_json: bool

    def text(self, text: Text) -> str:
        """A text that is finished."""
        if self.as_json:
            return to_json(figures(text)) + "\n"
        return (text.whole if self.echo else text.written) + self.separator

    def pieces(self, prompt: str, written: Iterator[str]) -> Iterator[str]:
        """A text while it is written."""
        if self.echo:
            yield prompt
        yield from written
        yield self.separator


def presented(options: dict[str, Any]) -> Presentation:
    """As the options say."""
    separator = unescaped(decoded(options["separator"]))
    return Presentation(options["echo"], "\0" if options["null"] else separator, options["as_json"])


def figures(text: Text) -> dict[str, Any]:
    """A text as JSON values; what has no value is None."""
    bits = text.nats_per_prediction / math.log(2)
    return {
        "prompt": text.prompt,
        "text": text.written,
        "seed": text.seed,
        "stopped": text.stopped,
        "log_probability": 0.0 - text.nats,  # which is never -0.0
        "bits_per_character": bits if math.isfinite(bits) else None,
    }
