"""How characters are chosen: what a user asks for as what ``charrnn.compute.choosers`` takes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.compute.choosers import Draw, Plain, Sampler, Stops
from charrnn.compute.constraints import Allowed, Copies
from charrnn.compute.packing import padded
from charrnn.compute.readout import NEVER
from charrnn.compute.recall import Recall, create_recall
from charrnn.config import SamplingConfig, SamplingPlan
from charrnn.errors import UsageError
from charrnn.inference.pattern import Pattern
from charrnn.text.copies import hashes_of
from charrnn.text.vocabulary import END, START, UNKNOWN, Vocabulary

#: What of a ``SamplingPlan`` plain sampling knows.
_PLAIN = {"length", "ignore_end", "min_p", "temperature"}

#: What stands for a text without end.
_ENDLESS = 2**62


@dataclass(frozen=True)
class Choosing:
    """A chooser, what may follow what and be copied, and what each text is remembered by.

    ``window`` is how many of its latest characters the chooser looks at, ``runs`` how far back it
    looks for what the text repeats.
    """

    chooser: Any
    allowed: Allowed
    copies: Copies
    length: float = math.inf  # characters that a text may have
    window: int = 1
    runs: int = 0
    bound: float = 0.0

    def recall(self, texts: int) -> Recall:
        """Of texts at their beginning."""
        length = _ENDLESS if self.length == math.inf else int(self.length)
        return create_recall(
            texts, window=self.window, runs=self.runs, bound=self.bound, length=length
        )


def anything(vocabulary_size: int, dtype: np.dtype, *, may_end: bool) -> Allowed:
    """Any character may follow any other; start and unknown never do."""
    width = padded(vocabulary_size, dtype)
    masks = np.full((1, width), NEVER, dtype)
    masks[0, :vocabulary_size] = 0
    masks[0, [START, UNKNOWN] if may_end else [START, UNKNOWN, END]] = NEVER
    following = np.zeros((1, width), np.int32)
    return Allowed(masks, following, np.zeros(1, np.int32), 0)


def only_matches(
    pattern: Pattern, dtype: np.dtype, *, may_end: bool, length: float = math.inf
) -> Allowed:
    """What may follow so that a text of at most ``length`` characters matches in the end.

    Where a text ``may_end`` it does so at any match; otherwise where nothing else can follow.
    Raises ``UsageError`` where the length is too short.
    """
    if pattern.distance[0] > length:
        raise UsageError(
            f"the shortest match has {pattern.distance[0]:,} characters: give a larger `length`"
        )
    states, size = pattern.following.shape
    masks = np.full((states, padded(size, dtype)), NEVER, dtype)
    masks[:, :size][pattern.following >= 0] = 0
    stuck = ~(pattern.following >= 0).any(axis=1)
    masks[pattern.accepting if may_end else stuck, END] = 0
    following = np.zeros(masks.shape, np.int32)
    following[:, :size] = np.maximum(pattern.following, 0)
    distance = pattern.distance.astype(np.int32)
    return Allowed(masks, following, distance, int(distance.max()))


def copies_of(tokens: np.ndarray, length: int) -> Copies:
    """What may not be copied: more than ``length`` characters in a row of a text (tokens)."""
    length = min(length, tokens.size)  # a longer run stands nowhere, and room is made for it
    hashes = hashes_of(tokens, length)
    places = np.argsort(hashes, kind="stable")
    return Copies(length, hashes[places], places, tokens.astype(np.int32))


def no_copies() -> Copies:
    """Any number of characters in a row may be those of a text."""
    return Copies(0, np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int32))


def _stops(texts: tuple[str, ...], vocabulary: Vocabulary) -> Stops:
    for text in texts:
        if unseen := vocabulary.unseen(text):
            raise UsageError(f"no text ends with {text!r}: the model knows no {unseen[0]!r}; give "
                             "an `until` of characters that it was trained on")  # fmt: skip
    tokens = [vocabulary.encode(text)[::-1].astype(np.int32) for text in texts]
    ends = np.cumsum([t.size for t in tokens], dtype=np.int64)
    return Stops(np.concatenate([*tokens, np.empty(0, np.int32)]), ends)


def choosing(
    config: SamplingConfig, vocabulary: Vocabulary, allowed: Allowed, copies: Copies | None = None
) -> Choosing:
    """What ``config`` asks for; ``allowed`` says what may follow what.

    Temperature comes last, so that filters see what the network learned.
    """
    plan, copies = config.complete(), copies or no_copies()
    if _is_plain(plan) and not copies.length and len(allowed.masks) == 1:
        plain = Plain(allowed.masks[0], float(plan.min_p), Draw.of(plan.temperature))
        return Choosing(plain, allowed, copies, plan.length)
    return _full_choosing(plan, vocabulary, allowed, copies)


def _is_plain(plan: SamplingPlan) -> bool:
    """Whether nothing is asked for but what ``Plain`` does."""
    others = (f for f in dataclasses.fields(plan) if f.name not in _PLAIN)
    return all(getattr(plan, field.name) == field.default for field in others)


def _full_choosing(
    plan: SamplingPlan, vocabulary: Vocabulary, allowed: Allowed, copies: Copies
) -> Choosing:
    stops = _stops(plan.until, vocabulary)
    windows = [copies.length, *np.diff(stops.ends, prepend=0).tolist()]
    if plan.repetition_penalty != 1:
        windows.append(plan.repetition_window)
    return Choosing(
        Sampler(
            allowed,
            copies,
            penalty=math.log(plan.repetition_penalty),
            window=plan.repetition_window,
            run_penalty=float(plan.dry),
            run_base=float(plan.dry_base),
            run_length=plan.dry_length,
            top_k=plan.top_k,
            typical=float(plan.typical),
            top_p=float(plan.top_p),
            min_p=float(plan.min_p),
            draw=Draw.of(plan.temperature, plan.mirostat, plan.mirostat_rate),
            stops=stops,
        ),
        allowed,
        copies,
        length=plan.length,
        window=max(1, *windows),
        runs=plan.dry_window if plan.dry else 0,
        bound=2.0 * plan.mirostat,
    )
