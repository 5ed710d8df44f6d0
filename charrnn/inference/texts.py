"""Texts as a model writes them: with their prompts, their seeds, and why they are over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.compute.generation import AT_END, AT_LENGTH, AT_NOTHING, AT_STOP
from charrnn.config import MOST_BEAMS, SamplingConfig, require_whole
from charrnn.errors import UsageError
from charrnn.inference.beams import Beams, Found
from charrnn.inference.choosing import Choosing
from charrnn.inference.sampling import TOGETHER, Piece, Writer
from charrnn.network.network import Network
from charrnn.text.vocabulary import Vocabulary

#: Characters that are written side by side at most: what is not yet printed is kept.
_KEPT = 2**24

_REASONS = {AT_END: "end", AT_LENGTH: "length", AT_NOTHING: "nothing allowed"}


@dataclass(frozen=True)
class Text:
    """What was written after a prompt."""

    prompt: str
    written: str
    seed: int | None  # that writes it again; None: no chance was in it
    stopped: str  # why it is over: end, length, until, or nothing allowed
    nats: float  # -log P of what was written, by the network alone; 0 unless that was asked for
    predictions: int  # characters that were chosen, and the end

    @property
    def whole(self) -> str:
        """The prompt and what was written."""
        return self.prompt + self.written

    @property
    def nats_per_prediction(self) -> float:
        """Mean loss; infinite where nothing was chosen."""
        return self.nats / self.predictions if self.predictions else math.inf


class Author:
    """Writes texts as ``config`` says, whose choices are ``choosing``.

    A text that ends with one of ``config.until`` ends before it where these are ``dropped``.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        config: SamplingConfig,
        choosing: Choosing,
        *,
        dropped: bool = False,
    ) -> None:
        self._network, self._vocabulary = network, vocabulary
        self._config, self._choosing = config, choosing
        self._dropped = config.until if dropped else ()
        self._writer = Writer(network, choosing)

    def stream(self, prompt: str, seed: int) -> Iterator[str]:
        """One text in pieces, as they come, without its prompt."""
        held, most = "", max(map(len, self._dropped), default=1) - 1
        for (piece,) in self._pieces([prompt], [seed]):
            held += self._vocabulary.decode(piece.tokens)
            if piece.ended:
                yield self._without_stop(held, piece.ended)
                return
            ready = max(len(held) - most, 0)
            yield held[:ready]
            held = held[ready:]

    def texts(
        self, prompts: Iterable[str], seeds: Iterable[int], *, measured: bool = False
    ) -> Iterator[Text]:
        """A text for each prompt, with its seed; as many side by side as is fast.

        ``prompts`` and ``seeds`` may go on for ever. Raises ``UsageError`` for texts without end.
        """
        if self._config.length == math.inf and not self._config.until:
            raise UsageError("texts without end cannot be kept: give a `length` or `until`")
        return self._texts(prompts, seeds, measured)

    def _texts(
        self, prompts: Iterable[str], seeds: Iterable[int], measured: bool
    ) -> Iterator[Text]:
        together = int(max(1, min(TOGETHER, _KEPT // max(self._config.length, 1))))
        pairs = iter(zip(prompts, seeds, strict=False))
        while some := list(itertools.islice(pairs, together)):
            own_prompts, own_seeds = [p for p, _ in some], [s for _, s in some]
            parts = list(zip(*self._pieces(own_prompts, own_seeds, measured), strict=True))
            for (prompt, seed), pieces in zip(some, parts, strict=True):
                yield self._text(prompt, seed, pieces)

    def likeliest(self, prompt: str, beams: int) -> list[Text]:
        """The likeliest texts after a prompt that are found among so many beginnings at once.

        There are as many or fewer, the best first. Chance, filters and penalties have no part in
        it. Raises ``UsageError`` where any of these is asked for, or texts without end.
        """
        require_whole("beams", beams, 1, MOST_BEAMS)
        self._require_likeliest()
        search = Beams(self._network, self._choosing, beams)
        found = search.search(self._vocabulary.encode(prompt), int(self._config.length))
        return [self._found(prompt, text) for text in found[:beams]]

    def _require_likeliest(self) -> None:
        asked = self._config
        if asked.length == math.inf:
            raise UsageError("the likeliest texts are searched for up to a `length`: give one")
        heard = SamplingConfig(asked.length, ignore_end=asked.ignore_end, match=asked.match)
        if asked != heard or self._choosing.copies.length:
            raise UsageError(
                "the likeliest texts are a matter of `length`, `match` and `ignore_end` alone: "
                "leave out what else says how to choose"
            )

    def _found(self, prompt: str, text: Found) -> Text:
        return Text(
            prompt=prompt,
            written=self._vocabulary.decode(text.tokens),
            seed=None,
            stopped="end" if text.ended else "length",
            nats=text.nats,
            predictions=text.predictions,
        )

    def _pieces(
        self, prompts: list[str], seeds: list[int], measured: bool = False
    ) -> Iterator[list[Piece]]:
        if self._config.length == 0:
            yield [Piece(np.empty(0, np.int32), 0.0, AT_LENGTH)] * len(prompts)
            return
        read = [self._vocabulary.encode(prompt) for prompt in prompts]
        yield from self._writer.write(read, seeds, measured=measured)

    def _text(self, prompt: str, seed: int, pieces: Sequence[Piece]) -> Text:
        tokens = np.concatenate([piece.tokens for piece in pieces])
        ended = next(piece.ended for piece in pieces if piece.ended)
        return Text(
            prompt=prompt,
            written=self._without_stop(self._vocabulary.decode(tokens), ended),
            seed=seed,
            stopped=_REASONS.get(ended, "until"),
            nats=sum(piece.nats for piece in pieces),
            predictions=tokens.size + (ended == AT_END),
        )

    def _without_stop(self, text: str, ended: int) -> str:
        if self._dropped and ended >= AT_STOP:
            stop = self._dropped[ended - AT_STOP]  # it may begin in the prompt
            return text[: max(len(text) - len(stop), 0)]
        return text


def some_seed(seed: int | None) -> int:
    """The seed, or one by chance. Raises ``UsageError`` where it is no whole number from 0 up."""
    if seed is None:
        return int(np.random.default_rng().integers(2**32))
    require_whole("seed", seed, 0)
    return int(seed)
