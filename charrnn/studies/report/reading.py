"""What a report says of a model that reads: how often it is right, where, and how sure it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from charrnn.inference.assessment import assess, reading_config
from charrnn.inference.labelling import Labeller
from charrnn.inference.measures import reliability
from charrnn.inference.readers import Reader
from charrnn.inference.restoration import TextRestorer
from charrnn.inference.tagging import Tagger
from charrnn.inference.transcription import Transcriber
from charrnn.studies.activity import shown
from charrnn.studies.canvas import Line
from charrnn.studies.report.charts import Chart, chart
from charrnn.studies.texts import beginning
from charrnn.text.documents import Documents
from charrnn.text.paired import read_pairs
from charrnn.training.reading import attention, document_logits

#: Texts that are shown, their characters, and those of all that are read for them.
_SHOWN, _LONGEST, _READ = 12, 600, 2**16

#: Labels of a table of who is taken for whom, and pairs that are told beside it.
_LABELS, _PAIRS = 12, 12

#: Shares of attention, in those of an even one, at which one colour ends and the next begins.
_SHARES = (0.75, 1, 1.5, 2.5, 4)


class Cell(NamedTuple):
    """How often one label is taken for another, and the share of the row in eighths."""

    texts: int
    level: int


class Confusion(NamedTuple):
    """Who is taken for whom: rows are what is so, columns what is told."""

    names: list[str]  # the commonest
    rows: list[list[Cell]]
    pairs: list[tuple[str, str, int]]  # that are confused most often


class Attended(NamedTuple):
    """A text with what is told of it, and where the attention is."""

    pieces: list[tuple[str, int]]  # a character, and the colour of its share
    told: str
    true: str
    chance: float


def figures(reader: Reader, file: str, encoding: str) -> dict[str, Any]:
    """What ``assess`` finds."""
    return assess(reader, [file], encoding=encoding)


def confusion(found: dict[str, dict[str, int]]) -> Confusion:
    """A table of what ``label_measures`` counts."""
    totals = {name: sum(row.values()) for name, row in found.items()}
    names = sorted(totals, key=lambda name: -totals[name])[:_LABELS]
    rows = [
        [Cell(n, round(8 * n / max(totals[own], 1))) for n in (found[own].get(o, 0) for o in names)]
        for own in names
    ]
    pairs = [(a, b, n) for a, row in found.items() for b, n in row.items() if a != b]
    return Confusion(names, rows, sorted(pairs, key=lambda pair: -pair[2])[:_PAIRS])


def calibration(reader: Labeller, texts: Documents) -> Chart | None:
    """How often the reader is right, against how sure it is; on the diagonal all is as it says."""
    texts = beginning(texts, _READ)
    logits = document_logits(reader.network, texts) / reader.temperature()
    chances = reader.probabilities(logits)
    if reader.multiple:
        certainty = np.maximum(chances, 1 - chances).ravel()
        right = ((chances >= 0.5) == texts.classes).ravel()
    else:
        certainty, right = chances.max(axis=1), chances.argmax(axis=1) == texts.classes
    sure, correct, _ = reliability(certainty, right)
    ends = np.array([0.0, 1.0])
    lines = {"as sure as right": Line(ends, ends), "this model": Line(sure, correct)}
    return chart("Share that is right, by how sure it is", "certainty", lines)


def attended(reader: Labeller, texts: Documents) -> list[Attended]:
    """Some texts: of those that are read first what is told wrongly, then what is told rightly."""
    texts = beginning(texts, _READ)
    logits = document_logits(reader.network, texts) / reader.temperature()
    chances, shares = reader.probabilities(logits), attention(reader.network, texts)
    told = chances.argmax(axis=1)
    wrong = _is_wrong(reader, texts, chances)
    order = np.argsort(~wrong, kind="stable")
    half = _SHOWN // 2
    chosen = [*order[: min(half, int(wrong.sum()))], *np.flatnonzero(~wrong)[:half]]
    names = reader.labels.names
    found = []
    for n in chosen:
        begin, end = int(texts.begins[n]), int(texts.ends[n])
        levels = np.searchsorted(_SHARES, shares[begin:end] * (end - begin), "right").tolist()
        spelled = shown(texts.tokens[begin:end], reader.vocabulary)
        own = texts.classes[n]
        true = (
            [name for name, is_so in zip(names, own, strict=True) if is_so]
            if reader.multiple
            else [names[own]]
        )
        found.append(Attended(list(zip(spelled, levels, strict=True))[:_LONGEST], names[told[n]],
                              ", ".join(true), float(chances[n, told[n]])))  # fmt: skip
    return found


def _is_wrong(reader: Labeller, texts: Documents, chances: np.ndarray) -> np.ndarray:
    """Which of the texts are told wrongly, bool [D]."""
    if reader.multiple:
        return ((chances >= 0.5) != texts.classes).any(axis=1)
    wrong: np.ndarray = chances.argmax(axis=1) != texts.classes
    return wrong


class Answer(NamedTuple):
    """A text, and what the reader makes of it in pieces: a text and its tag, or "" for none."""

    text: str
    pieces: list[tuple[str, str]]


def answers(reader: Reader, texts: Documents) -> list[Answer]:
    """Some texts with the tags that are found, or with what is put back; [] for labels."""
    if not isinstance(reader, (Tagger, TextRestorer)):
        return []
    read = shown(beginning(texts, _READ).tokens, reader.vocabulary)
    ends = beginning(texts, _READ).ends.tolist()
    lines = [read[begin:end].strip("\n") for begin, end in zip([0, *ends], ends, strict=False)]
    if len(lines) == 1:  # a running text
        lines = lines[0].split("\n")
    lines = [line[:_LONGEST] for line in lines if line][:_SHOWN]
    found = reader.answers(lines)
    return [Answer(line, _pieces(own)) for line, own in zip(lines, found, strict=True)]


def answered_pairs(reader: Transcriber, file: str, encoding: str) -> list[Answer]:
    """The first left sides of a file with what is written to them, beside what it says where that
    is something else.
    """
    right = list(read_pairs([file], reading_config(reader, encoding)).alternatives().items())
    lines = ["\t".join((left, *labels)) for (left, labels), _ in right[:_SHOWN]]
    found = zip(right, reader.answers(lines), strict=False)
    return [
        Answer(left, [(own.output if own.output in sides else f"{own.output} ({sides[0]})", "")])
        for ((left, _), sides), own in found
        if own
    ]


def _pieces(answer: Any) -> list[tuple[str, str]]:
    if not hasattr(answer, "spans"):
        return [(answer.text, "")]
    pieces, at = [], 0
    for span in sorted(answer.spans, key=lambda span: span.start):
        tagged = answer.text[span.start : span.end], span.name
        pieces += [(answer.text[at : span.start], ""), tagged]
        at = span.end
    return [piece for piece in [*pieces, (answer.text[at:], "")] if piece[0]]
