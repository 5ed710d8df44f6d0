"""What a report says of a model that writes: its samples, and what it makes of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from charrnn.inference.language_model import LanguageModel
from charrnn.storage.checkpoint import SavedModel
from charrnn.storage.summary import reads_lines
from charrnn.studies.activity import shown
from charrnn.studies.canvas import Line
from charrnn.studies.gradients import choose_places, measure
from charrnn.studies.report.charts import Chart, chart, logarithms
from charrnn.studies.texts import beginning
from charrnn.text.corpus import Corpus
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import END, START, UNKNOWN
from charrnn.training.evaluation import batch_at, evaluate, losses_by_position
from charrnn.training.reading import log_probabilities

#: Temperatures at which samples are written, their length, and their seed; of those by labels, the
#: temperature, and how many there are at most.
TEMPERATURES, _LENGTH, SEED, _TOLD, _LABELS = (0.3, 0.7, 1.0), 400, 1, 0.7, 6

#: Characters of a text that the model writes where none is given, of the text that is measured, and
#: of the part of it that is shown in colours.
_OWN, _MEASURED, EXCERPT = 4_000, 2**17, 2_000

#: Bits at which one colour of a surprise ends and the next begins.
BOUNDS = (0.5, 1, 2, 4, 8)

#: What is told of a character beside itself, and passages that are told.
_ALTERNATIVES, _PASSAGES, _SHORTEST_PASSAGE = 5, 8, 12

#: Positions whose losses are followed back, and steps.
_POSITIONS, _STEPS_BACK = 64, 100


class Sample(NamedTuple):
    """Something that the model wrote."""

    name: str
    text: str


def samples(model: LanguageModel) -> list[Sample]:
    """A text at each of ``TEMPERATURES``, and one of each label; of short documents several."""
    count = 12 if reads_lines(model.training) else 1

    def written(temperature: float, **told: Any) -> str:
        return "".join(
            model.texts(_LENGTH // count, count=count, seed=SEED, temperature=temperature,
                        min_p=0.0, **told)
        )  # fmt: skip

    plain = [Sample(f"temperature {own:g}", written(own)) for own in TEMPERATURES]
    return plain + [
        Sample(f"{label}, temperature {_TOLD:g}", written(_TOLD, labels={label: 1.0}))
        for label in model.labels[:_LABELS]
    ]


def stages(model: LanguageModel) -> list[Sample]:
    """What was written during the run, if anything was."""
    found = (model.history or {}).get("samples", [])
    return [Sample(f"after {step:,} steps", text) for step, text in found]


def own_text(model: LanguageModel) -> RunningText:
    """A text that the model writes at temperature 1, of short documents many."""
    many = reads_lines(model.training)
    texts = model.texts(
        _OWN // 40 if many else _OWN, count=40 if many else 1, seed=SEED, temperature=1.0, min_p=0.0
    )
    documents = "".join(texts).removesuffix("\n").split("\n") if many else ["".join(texts)[:-1]]
    framed = [np.append(START, model.vocabulary.encode(text)) for text in documents if text]
    tokens = np.concatenate([*framed, [START]])
    return RunningText(tokens.astype(model.vocabulary.dtype))


class Character(NamedTuple):
    """A character of a text, how surprising it is, and what is likeliest in its place."""

    shown: str
    level: int  # of ``BOUNDS``
    bits: float
    alternatives: list[tuple[str, float]]  # with their probabilities


def characters(model: LanguageModel, text: RunningText) -> list[Character]:
    """The first characters of a text, ends of documents among them."""
    text, vocabulary = beginning(text, EXCERPT), model.vocabulary
    positions = np.arange(text.positions)[:, np.newaxis]
    batch = batch_at(text.tokens, positions, labelling=text.labelling)
    logits = model.network.logits(batch)[:, 0]
    chances = np.exp(log_probabilities(logits))
    targets = batch.targets[:, 0]
    bits = -np.log2(np.maximum(chances[np.arange(targets.size), targets], 1e-38))
    chances[:, START] = 0  # which never follows
    count = min(_ALTERNATIVES, vocabulary.size - 1)
    best = np.argpartition(-chances, count, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(chances, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    names = _Names(model)
    spelled = shown(text.tokens[1:], vocabulary)
    return [
        Character(
            spelled[n],
            int(np.searchsorted(BOUNDS, bits[n], "right")),
            round(float(bits[n]), 2),
            [(names[t], round(float(chances[n, t]), 4)) for t in best[n].tolist()],
        )
        for n in range(targets.size)
    ]


class _Names:
    """What tokens are called."""

    def __init__(self, model: LanguageModel) -> None:
        self._vocabulary = model.vocabulary

    def __getitem__(self, token: int) -> str:
        if token in (END, UNKNOWN):
            return {END: "end of text", UNKNOWN: "unknown character"}[token]
        return self._vocabulary.decode([token])


class Passage(NamedTuple):
    """A line of a text, and its bits per character."""

    bits: float
    text: str


@dataclass(frozen=True)
class Measured:
    """How well a text was predicted."""

    bits_per_character: float
    characters: int
    by_position: Chart | None
    passages: list[Passage]  # those with the most bits per character first


def measured(model: LanguageModel, text: RunningText) -> Measured:
    """The losses of a text: all in all, by position, and of its most surprising lines."""
    text = beginning(text, _MEASURED)
    losses = np.empty(text.positions, model.network.dtype)
    found = evaluate(model.network, text.tokens, losses, labelling=text.labelling)
    bins = losses_by_position(text.tokens, losses)
    names = [f"{own.fewest:,}" + "+" * (own.most > own.fewest) for own in bins]
    line = Line(np.arange(len(bins)), np.array([own.nats_per_character for own in bins]))
    return Measured(
        found.bits_per_character,
        found.characters,
        chart("Loss, nats, by the characters that stand before", "characters before",
              {"loss": line}, names=names),
        _passages(shown(text.tokens[1:], model.vocabulary), losses / np.log(2)),
    )  # fmt: skip


def _passages(text: str, bits: np.ndarray) -> list[Passage]:
    """The lines with the most bits a character, their ends counted, that are not all too short."""
    found, begin = [], 0
    for line in text.split("\n"):
        end = begin + len(line)
        if len(line) >= _SHORTEST_PASSAGE:
            found.append(Passage(float(bits[begin : end + 1].mean()), line))
        begin = end + 1
    return sorted(found, key=lambda passage: -passage.bits)[:_PASSAGES]


def gradients(saved: SavedModel, text: RunningText, threads: int) -> Chart | None:
    """How far back the loss at a character depends on what was read."""
    tokens = beginning(text, _MEASURED).tokens
    documents = int(np.count_nonzero(tokens == START))
    unknown = int(np.count_nonzero(tokens == UNKNOWN))
    corpus = Corpus(saved.vocabulary, tokens, tokens.size - documents, documents, unknown,
                    (tokens.size - 1,))  # fmt: skip
    places = choose_places(tokens, _POSITIONS, _STEPS_BACK)
    norms = measure(saved, corpus, places, threads=threads)
    line = Line(np.arange(norms.size), logarithms(norms.tolist()))
    return chart("Norm of the loss's gradient at hidden states before it", "steps back",
                 {"norm": line}, logarithmic=True)  # fmt: skip
