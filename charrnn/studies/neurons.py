"""What each unit of a network stands for: characters, places and patterns that it tells.

How well a unit tells where a pattern holds is the area under the curve of true against false
positives: the probability that its output is higher at a position where the pattern holds than at
one where it does not, ties counted half (Hanley and McNeil 1982; it is the rank-sum statistic).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.studies.activity import Activity, Silencer, Unit, activity
from charrnn.studies.texts import beginning
from charrnn.text.documents import Documents
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import Vocabulary

#: Positions of a text that are read, and those on which units are silenced.
SAMPLE, SILENCED = 2**14, 2**13

#: What is looked for where no pattern is given.
PATTERNS = {
    "white space": r"\s+",
    "line end": r"\n",
    "beginning of a word": r"\b\w",
    "third letter of a word or later": r"(?<=\w\w)\w",
    "capital letter": r"[^\W\d_a-zà-öø-ÿ]",
    "vowel": r"[aeiouyAEIOUYáéíóúàèìòùâêîôûäëïöüåæøý]",
    "digit": r"\d",
    "punctuation": r"[^\w\s]",
    "within quotes": r'"[^"]*"|“[^”]*”|«[^»]*»',
    "within brackets": r"\([^()]*\)|\[[^\[\]]*\]",
    "first ten characters of a line": r"(?m)^.{1,10}",
    "beyond 40 characters of a line": r"(?<=[^\n]{40})[^\n]",
    "indentation": r"(?m)^[ \t]+",
}

#: Positions at which a pattern must hold at least, and must not.
_FEWEST = 5

#: Characters and contexts that are told of a unit, characters around a context, and how often a
#: character must come.
_CHARACTERS, _CONTEXTS, _AROUND, _OFTEN = 6, 4, 24, 5


class Context(NamedTuple):
    """A place at which a unit is at its most: the character, and what stands around it."""

    before: str
    character: str
    after: str
    output: float


@dataclass(frozen=True)
class Neuron:
    """A unit and what is known of it; ``index`` is its place among all outputs."""

    unit: Unit
    index: int
    pattern: str  # the one that it tells best
    auc: float  # of that; below 0.5: the unit is low where it holds
    mean: float
    deviation: float
    characters: list[tuple[str, float]]  # that excite it, and its mean output after each
    contexts: list[Context]
    loss_change: float | None = None  # nats more where it is silenced; None: not measured

    @property
    def strength(self) -> float:
        """How well it tells its pattern, be it by being high or low: 0.5 to 1."""
        return max(self.auc, 1 - self.auc)

    @property
    def figures(self) -> dict[str, Any]:
        """All of it as JSON values."""
        figures = asdict(self)
        del figures["index"], figures["unit"]
        return {
            "unit": self.unit.name,
            **self.unit._asdict(),
            **figures,
            "characters": [{"character": c, "output": v} for c, v in self.characters],
            "contexts": [context._asdict() for context in self.contexts],
        }


def held(found: Activity, pattern: str) -> np.ndarray:
    """Where a match of a pattern covers the character that is read, bool [N].

    It is looked for in each document by itself. Raises ``UsageError`` for what is no regular
    expression.
    """
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from error
    where = np.zeros(len(found.text), np.bool_)
    for begin, end in found.documents:
        for match in expression.finditer(found.text[begin:end]):
            where[begin + match.start() : begin + match.end()] = True
    return where


def patterns_in(found: Activity, find: str | None) -> dict[str, np.ndarray]:
    """The patterns by name with where each holds [N]: the one to ``find``, or ``PATTERNS``.

    Those that hold nearly nowhere or everywhere say nothing, and are left out. Raises
    ``UsageError`` where none is left.
    """
    wanted = PATTERNS if find is None else {find: find}
    places = {name: held(found, pattern) for name, pattern in wanted.items()}
    told = {n: p for n, p in places.items() if _FEWEST <= p.sum() <= p.size - _FEWEST}
    if not told:
        what = "what is looked for" if find is None else repr(find)
        raise UsageError(f"{what} must hold in {_FEWEST} places or more of the text, and not in "
                         f"{_FEWEST} or more: give another pattern, or a longer text")  # fmt: skip
    return told


def areas(outputs: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Areas under the curve [U, P] of ``outputs`` [N, U] for where each pattern holds [P][N]."""
    holds = np.stack(places, axis=1).astype(np.float64)
    counts = holds.sum(axis=0)
    sums = np.stack([_ranks(column) @ holds for column in outputs.T])
    areas: np.ndarray = (sums / counts - (counts + 1) / 2) / (len(holds) - counts)
    return areas


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value among all from 1 up, the mean of those that are equal [N]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def neurons(
    network: Network,
    vocabulary: Vocabulary,
    text: RunningText | Documents,
    *,
    find: str | None = None,
    top: int | None = None,
) -> tuple[list[Neuron], Activity]:
    """All units, those that tell most first, and what they did while the network read the text.

    Each is told with the pattern that it tells best: the one to ``find``, or one of ``PATTERNS``;
    of these come first the best of each pattern, then the second best, and so on. Only the ``top``
    first are silenced. Raises ``UsageError`` as ``patterns_in``.
    """
    found = activity(network, vocabulary, beginning(text, SAMPLE))
    places = patterns_in(found, find)
    told = areas(found.outputs, list(places.values()))
    names, silencer = list(places), Silencer(network, beginning(text, SILENCED))
    ranked = []
    for rank, (index, own) in enumerate(_ranked(told)):
        change = silencer.change(index) if top is None or rank < top else None
        ranked.append(_neuron(found, index, (names[own], float(told[index, own])), change))
    return ranked, found


def _ranked(told: np.ndarray) -> list[tuple[int, int]]:
    """Units and the patterns that they tell best, by the areas [U, P]: see ``neurons``."""
    strengths = np.abs(told - 0.5)
    best, order = strengths.argmax(axis=1), np.argsort(-strengths.max(axis=1), kind="stable")
    before = np.zeros(told.shape[1], np.int64)  # units of each pattern that are stronger
    rounds = []
    for index in order.tolist():
        rounds.append(before[best[index]])
        before[best[index]] += 1
    return [(int(order[n]), int(best[order[n]])) for n in np.argsort(rounds, kind="stable")]


def _neuron(found: Activity, index: int, told: tuple[str, float], change: float | None) -> Neuron:
    outputs = found.outputs[:, index]
    sign = 1 if told[1] >= 0.5 else -1
    return Neuron(
        unit=found.units[index],
        index=index,
        pattern=told[0],
        auc=told[1],
        mean=float(outputs.mean(dtype=np.float64)),
        deviation=float(outputs.std(dtype=np.float64)),
        characters=_characters(found, outputs * sign, sign),
        contexts=_contexts(found, outputs * sign, sign),
        loss_change=change,
    )


def _characters(found: Activity, excitement: np.ndarray, sign: int) -> list[tuple[str, float]]:
    """The characters after which the mean is the highest, of those that come often enough."""
    sums, counts = found.sums_by_character(excitement)
    means = np.divide(sums, counts, out=np.full(sums.size, -np.inf), where=counts >= _OFTEN)
    order = np.argsort(-means, kind="stable")[:_CHARACTERS]
    return [
        (found.alphabet[n], float(means[n]) * sign) for n in order.tolist() if counts[n] >= _OFTEN
    ]


def _contexts(found: Activity, excitement: np.ndarray, sign: int) -> list[Context]:
    """The places at which it is the highest, no two of them near each other."""
    contexts: list[Context] = []
    free = np.ones(excitement.size, np.bool_)
    for place in np.argsort(-excitement, kind="stable").tolist():
        if len(contexts) == _CONTEXTS:
            break
        if free[place]:
            free[max(place - _AROUND, 0) : place + _AROUND] = False
            contexts.append(context_at(found, place, float(excitement[place]) * sign))
    return contexts


def context_at(found: Activity, place: int, output: float, around: int = _AROUND) -> Context:
    """A place of a text with so much of its document on both sides."""
    begin, end = found.bounds[found.document[place] :][:2].tolist()
    before = found.text[max(place - around, begin) : place]
    return Context(before, found.text[place], found.text[place + 1 : min(place + 1 + around, end)],
                   output)  # fmt: skip
