"""Models that put back what was taken out of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.compute.readout import NEVER
from charrnn.compute.turns import in_turn
from charrnn.config import TextConfig
from charrnn.inference.readers import Reader, together
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.text.documents import Documents
from charrnn.text.lines import NEWLINE
from charrnn.text.restoring import Restorer
from charrnn.text.vocabulary import START, code_points
from charrnn.training.reading import position_logits

#: Characters before a line with which it is read where it is one of a running text. What stands
#: behind it is not waited for: an answer does not depend on how fast lines come.
CONTEXT = 32


@dataclass(frozen=True)
class Restored:
    """A text in which what was missing is put back."""

    text: str


class TextRestorer(Reader):
    """Puts back what was taken out of texts, and changes nothing else."""

    def __init__(self, network: Network, saved: SavedModel) -> None:
        super().__init__(network, saved)
        config = TextConfig(**saved.training["text"])
        self.restorer, self.by_line = Restorer(config.restored, self.labels), config.by_line

    @in_turn
    def answers(self, texts: Sequence[str], *, before: str = "") -> list[Restored | None]:
        """Each text with what is most likely missing from it.

        Where the model was trained on running text, the texts are its lines one after the other,
        each read with what stands before it; ``before`` is what stood before the first of them.
        """
        if self.by_line:
            found = iter(self._restored([text for text in texts if text]))
            return [next(found) if text else None for text in texts]
        return list(self._restored_lines(texts, before))

    def _restored(self, texts: Sequence[str]) -> Iterator[Restored]:
        for some in together(texts, self.labels.size):
            codes = [code_points(text, "surrogatepass") for text in some]
            scores = self._scores([removed.kept for removed in self.restorer.remove(codes)])
            yield from map(Restored, self.restorer.restore(codes, scores))

    def _scores(self, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits [n + 1, K] of the edits of START and of each character that stayed [n]."""
        tokens = [np.append(START, self.vocabulary.table[own]) for own in kept]
        ends = np.cumsum([own.size for own in tokens])
        classes = np.zeros(ends[-1], np.int32)
        documents = Documents(np.concatenate(tokens), ends, classes, True)
        return np.split(position_logits(self.network, documents), ends[:-1])

    def _restored_lines(self, lines: Sequence[str], before: str) -> Iterator[Restored | None]:
        """Lines of one text, each read with what stands before it."""
        for some in together(lines, self.labels.size):
            codes = [code_points(line, "surrogatepass") for line in some]
            scores = self._scores_in_context(some, codes, before)
            restored = self.restorer.restore(codes, scores)
            for line, text in zip(some, restored, strict=True):
                yield Restored(text) if line else None
            before = last_of(before, some)

    def _scores_in_context(
        self, lines: Sequence[str], codes: Sequence[np.ndarray], before: str
    ) -> list[np.ndarray]:
        """As ``_scores``; the newline before a line stands for START."""
        whole = "\n".join([before, *lines])
        starts = len(before) + 1 + np.cumsum([0, *(len(line) + 1 for line in lines[:-1])])
        parts = []
        for start, own in zip(starts.tolist(), codes, strict=True):
            context = whole[max(start - 1 - CONTEXT, 0) : start]
            parts += [code_points(context, "surrogatepass"), own]
        kept = [removed.kept for removed in self.restorer.remove(parts)]
        scores = self._scores([np.concatenate(pair) for pair in _pairs(kept)])
        own_scores = [own[context.size :] for own, context in zip(scores, kept[::2], strict=True)]
        if self.restorer.gone[NEWLINE]:  # what stands behind it belongs to the line before
            for own in own_scores:
                own[0], own[0, 0] = NEVER, 0
        return own_scores


def last_of(before: str, lines: Sequence[str]) -> str:
    """The end of a text, as long as a line is read with, that has grown by some lines."""
    return "\n".join([before, *lines])[-CONTEXT:]


def _pairs(parts: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(parts[::2], parts[1::2], strict=True)
