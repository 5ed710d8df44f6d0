"""The texts on which studies of a model are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from charrnn.config import TextConfig
from charrnn.errors import UsageError
from charrnn.inference.assessment import known_texts
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.readers import Reader
from charrnn.storage.summary import reads_lines
from charrnn.text.documents import Documents
from charrnn.text.running import RunningText

Text = TypeVar("Text", bound="RunningText | Documents")


def read_text(
    model: LanguageModel | Reader,
    sources: Sequence[str],
    *,
    lines: bool | None = None,
    encoding: str = "utf-8",
    normalize_newlines: bool = False,
) -> RunningText | Documents:
    """Texts of files as ``known_texts`` has them; None: in lines as the model was trained.

    Raises ``CorpusError`` where a file cannot be read, ``UsageError`` where ``lines`` are chosen
    for a model that reads.
    """
    if isinstance(model, Reader):
        if lines is not None or normalize_newlines:
            raise UsageError("`lines` and `normalize_newlines` are for models that write")
        return known_texts(model, sources, TextConfig(encoding=encoding))
    lines = reads_lines(model.training) if lines is None else lines
    config = TextConfig(lines=lines, encoding=encoding, normalize_newlines=normalize_newlines)
    return known_texts(model, sources, config)


def beginning(text: Text, positions: int) -> Text:
    """The first ``positions`` of a text; of documents those that are whole in it, at least one."""
    if isinstance(text, RunningText):
        return dataclasses.replace(text, tokens=text.tokens[: positions + 1])
    count = max(1, int(np.searchsorted(text.ends, positions, "right")))
    return text.take(np.arange(min(count, text.ends.size)))  # type: ignore[return-value]
