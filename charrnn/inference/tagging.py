"""Models that find tags in texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.compute.turns import in_turn
from charrnn.inference.readers import Reader, together
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.text.markup import Span, TagScheme, inside_words, joined, write
from charrnn.text.vocabulary import code_points
from charrnn.training.reading import log_probabilities, position_logits


@dataclass(frozen=True)
class Tagged:
    """A text with the tags that are found in it."""

    text: str
    spans: list[Span]
    probabilities: list[float]  # of each span: the geometric mean over its characters

    @property
    def markup(self) -> str:
        """The text with its tags."""
        return write(self.text, self.spans)


class Tagger(Reader):
    """Finds tags in texts."""

    def __init__(self, network: Network, saved: SavedModel) -> None:
        super().__init__(network, saved)
        self.scheme = TagScheme.of(saved.labels)
        # What no tag of the training text did, none does: to begin or end within a word, or to
        # follow on another of its name.
        self._whole_words = self.training.get("whole_words", False)
        self._joined = self.training.get("joined_tags", False)

    @in_turn
    def answers(self, texts: Sequence[str]) -> list[Tagged | None]:
        """The likeliest tags of each text."""
        found = iter(self._tagged([text for text in texts if text]))
        return [next(found) if text else None for text in texts]

    def _tagged(self, texts: Sequence[str]) -> Iterator[Tagged]:
        for some in together(texts, self.scheme.size):
            codes = [code_points(text, "surrogatepass") for text in some]
            documents = self._documents(codes, by_position=True)
            logits = position_logits(self.network, documents) / self.temperature()
            logits = log_probabilities(logits)
            inside = [inside_words(text) for text in some] if self._whole_words else None
            taggings = self.scheme.spans(np.split(logits, documents.ends[:-1]), inside)
            if self._joined:
                taggings = list(map(joined, some, taggings))
            for text, tagging in zip(some, taggings, strict=True):
                chances = [math.exp(confidence) for confidence in tagging.confidences]
                yield Tagged(text, tagging.spans, chances)
