"""How well a model that reads does on files in which what it is to tell is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from charrnn.config import TextConfig
from charrnn.errors import UsageError
from charrnn.inference.labelling import Labeller
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.measures import (
    RestoredMeasures,
    label_measures,
    label_set_measures,
    pair_measures,
    tag_measures,
)
from charrnn.inference.readers import Reader
from charrnn.inference.restoration import TextRestorer
from charrnn.inference.tagging import Tagger
from charrnn.inference.transcription import Transcriber
from charrnn.text.alphabet import parts
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.documents import Documents
from charrnn.text.edits import GAP
from charrnn.text.labelled import read_labelled
from charrnn.text.labels import Labels
from charrnn.text.lines import text_of
from charrnn.text.paired import read_pairs
from charrnn.text.running import Labelling, RunningText
from charrnn.text.tasks import (
    Known,
    Told,
    plain_texts,
    read_told,
    tagged_lines,
    told_of_pairs,
    told_of_tags,
    told_of_texts,
)
from charrnn.text.vocabulary import code_points
from charrnn.training.evaluation import loss_of
from charrnn.training.reading import document_logits

#: Of the gaps that are drawn.
_SEED = 1


def assess(
    reader: Reader, sources: Sequence[str], *, encoding: str = "utf-8",
    temperature: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures by name: see ``charrnn.inference.measures``; nats are means.

    The files have the form of those that the model has learned from. Raises ``CorpusError`` where
    one cannot be read, ``UsageError`` where it has a label that the model does not know: of pairs
    a ``CorpusError`` that names the line.
    """
    config = reading_config(reader, encoding)
    if isinstance(reader, Labeller):
        return _assess_labels(reader, sources, config, temperature)
    if isinstance(reader, Tagger):
        return _assess_tags(reader, sources, config)
    if isinstance(reader, Transcriber):
        return _assess_pairs(reader, sources, config)
    assert isinstance(reader, TextRestorer)
    return _assess_restoring(reader, sources, config)


def reading_config(reader: Reader, encoding: str) -> TextConfig:
    """How files are read in which what a model is to tell is given."""
    return dataclasses.replace(
        TextConfig(**reader.training["text"]),
        encoding=encoding,
        validation=None,
        validation_fraction=0.0,
        balance=False,
    )


def known_texts(
    model: LanguageModel | Reader, sources: Sequence[str], config: TextConfig
) -> RunningText | Documents:
    """Texts of the form that a model has learned from, with what it is told of them, or tells.

    Of one that writes ``config`` says whether lines are documents, of one that reads nothing but
    the encoding. Raises ``CorpusError`` where one cannot be read, ``UsageError`` where it has a
    label that the model does not know, and for a model of pairs.
    """
    if isinstance(model, Transcriber):
        raise UsageError("the model answers texts, and what its units stand for is not shown: "
                         "use charrnn evaluate or charrnn apply")  # fmt: skip
    if isinstance(model, Reader):
        config = reading_config(model, config.encoding)
        return _documents(read_told(sources, config, _known(model)))
    text, labelling = read_running(model, sources, config)
    return RunningText(text.tokens, labelling.labels if labelling else None)


def read_running(
    model: LanguageModel, sources: Sequence[str], config: TextConfig
) -> tuple[Corpus, Labelling | None]:
    """What a model that writes is measured on, and the labels that it is told of it, if any.

    Raises as ``known_texts``.
    """
    if model.labels:
        config = dataclasses.replace(config, labels=model.training.get("text", {}).get("labels"))
        return read_labelled(sources, config, model.vocabulary, Labels(model.labels))
    text = read_corpus(
        sources, lines=config.lines, vocabulary=model.vocabulary, encoding=config.encoding,
        normalize_newlines=config.normalize_newlines,
    )  # fmt: skip
    return text, None


def _known(reader: Reader) -> Known:
    repeats, columns = (reader.training.get(name) for name in ("repeats", "columns"))
    labels = reader.labels.names
    return Known(reader.vocabulary, labels=labels, repeats=repeats, columns=columns)


def _documents(told: Told) -> Documents:
    assert isinstance(told.texts, Documents)
    return told.texts.with_gaps(np.random.default_rng(_SEED))


def _assess_labels(
    reader: Labeller, sources: Sequence[str], config: TextConfig, temperature: float | None
) -> dict[str, Any]:
    texts = _documents(read_told(sources, config, _known(reader)))
    logits = document_logits(reader.network, texts) / reader.temperature(temperature)
    chances = reader.probabilities(logits)
    if reader.multiple:
        return label_set_measures(logits, chances, texts.classes)
    return label_measures(reader.labels.names, logits, chances, texts.classes)


def _assess_tags(reader: Tagger, sources: Sequence[str], config: TextConfig) -> dict[str, Any]:
    pairs = list(tagged_lines(sources, config))
    found = reader.answers([text for text, _ in pairs])
    told = [
        (text, spans, answer.spans if answer else [])
        for (text, spans), answer in zip(pairs, found, strict=True)
    ]
    texts = _documents(told_of_tags(pairs, config, _known(reader)))
    nats = loss_of(reader.network, texts, reader.temperature())
    return {**tag_measures(told), "nats_per_character": nats}


def _assess_pairs(
    reader: Transcriber, sources: Sequence[str], config: TextConfig
) -> dict[str, Any]:
    known, spaced = _known(reader), config.target_symbols
    lines = read_pairs(sources, config, known.pair_labels(config))
    right = lines.alternatives()
    answers = reader.answers(["\t".join((left, *labels)) for left, labels in right])
    written = [answer.output if answer else "" for answer in answers]
    told = (
        (parts(own, spaced=spaced), [parts(side, spaced=spaced) for side in sides])
        for own, sides in zip(written, right.values(), strict=True)
    )
    measured = told_of_pairs(lines, config, known)
    # A loss is that of one network.
    loss = {"nats_per_symbol": loss_of(reader.network, measured.texts)} if reader.alone else {}
    left_out = {"do_not_fit": measured.more["left_out"]} if config.aligned else {}
    return pair_measures(told) | loss | left_out


def _assess_restoring(
    reader: TextRestorer, sources: Sequence[str], config: TextConfig
) -> dict[str, Any]:
    measures = RestoredMeasures(reader.restorer.gone)
    gaps = gaps_right = 0
    fills_gaps = "gaps" in reader.restorer.kinds
    texts = plain_texts(sources, config)
    for true in _parts(texts, reader.labels.size):
        (removed,) = reader.restorer.remove([true], np.random.default_rng(_SEED))
        (answer,) = reader.answers([text_of(removed.kept)])
        restored = code_points(answer.text if answer else "", "surrogatepass")
        measures.add((true, removed.kept, restored))
        measures.add_edits(*(own.classes for own in reader.restorer.remove([true, restored])))
        at = np.flatnonzero(removed.kept == GAP) if fills_gaps else np.empty(0, np.int64)
        gaps += at.size
        stays = [codes[~reader.restorer.gone[codes]][at] for codes in (true, restored)]
        gaps_right += int(np.count_nonzero(stays[0] == stays[1]))
    figures = measures.figures()
    if gaps:
        figures |= {"gaps": gaps, "gaps_right": gaps_right / gaps}
    return {
        **figures,
        "nats_per_character": loss_of(
            reader.network, _documents(told_of_texts(texts, config, _known(reader)))
        ),
    }


#: Logits of a part of a text, so many at most.
_KEPT = 2**24


def _parts(texts: Sequence[np.ndarray], classes: int) -> Iterator[np.ndarray]:
    """Texts in parts whose logits fit into memory."""
    size = max(_KEPT // classes, 1)
    for text in texts:
        for first in range(0, text.size, size):
            yield text[first : first + size]
