"""What a run learns where more than the next character is to be told, or is told to the network.

For each task its texts become ``Told``: what is learned, the names of the classes, and what a split
of the texts has to respect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.config import TextConfig
from charrnn.errors import CorpusError, UsageError
from charrnn.text import markup
from charrnn.text.alphabet import Alphabet
from charrnn.text.corpus import read_corpus, read_pieces
from charrnn.text.display import named
from charrnn.text.documents import Documents
from charrnn.text.edits import GAP
from charrnn.text.examples import Examples, indices_of, lines_of, read_examples
from charrnn.text.labelled import label_of, labels_of_sources
from charrnn.text.labels import Labels
from charrnn.text.lines import text_of
from charrnn.text.paired import LabelColumns, PairLines, left_tokens, read_pairs
from charrnn.text.pairs import Pairs, Sides, needed_steps, suited_repeats
from charrnn.text.restoring import Removed, Restorer
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import CODE_POINTS, START, Vocabulary, code_points


@dataclass(frozen=True, eq=False)
class Known:
    """What is settled before texts are read: by a model to start from, or by other texts."""

    vocabulary: Vocabulary | None = None
    characters: str = ""  # that come first in a vocabulary that is not settled
    labels: tuple[str, ...] = ()  # () where they are not settled
    repeats: int | None = None  # of each character that CTC reads; None where that is not settled
    columns: int | None = None  # of the labels of pairs; None where that is not settled

    def pair_labels(self, config: TextConfig) -> LabelColumns | None:
        """Those that pairs may have, None where that is not settled."""
        if not self.labels:
            return None
        alphabet = Alphabet.of(self.labels, spaced=config.target_symbols)
        return LabelColumns(alphabet.labels, self.columns)


@dataclass(frozen=True, eq=False)
class Told:
    """D texts, with what is to be told of each."""

    texts: RunningText | Documents | Pairs
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    groups: np.ndarray | None = None  # [D]: texts of one group must not be split
    strata: np.ndarray | None = None  # [D]: each is to be split alike
    ends: np.ndarray | None = None  # bool [D]: ends that were cut off, to validate on
    more: dict[str, Any] = field(default_factory=dict)  # that a model says of its texts


def read_told(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Read the texts of a task. Raises ``CorpusError`` or ``UsageError``."""
    return _readers(config)(sources, config, known)


def _readers(config: TextConfig) -> Callable[..., Told]:
    if config.labels:
        return {"columns": _told_by_columns, "files": _told_by_files}[config.labels]
    return {
        "label": _labelled, "tags": _tagged, "restore": _restored, "pairs": _paired,
    }[config.task]  # fmt: skip


def _vocabulary(examples: Examples, config: TextConfig, known: Known) -> Vocabulary:
    return known.vocabulary or examples.vocabulary(config.min_count, known.characters)


def _names(examples: Examples, known: Known) -> Labels:
    names = known.labels or examples.distinct_names()
    if len(names) < 1 or (not known.labels and len(names) < 2):
        only = f": {named(names[0])}" if names else ""
        raise CorpusError(f"there is nothing to tell apart: the lines have {len(names)} labels"
                          f"{only}; give lines with two or more")  # fmt: skip
    return Labels(names)


def _labelled(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Texts with their labels, to be told."""
    examples = read_examples(sources, config)
    vocabulary, labels = _vocabulary(examples, config, known), _names(examples, known)
    if config.multiple:
        classes = np.zeros((len(examples.names), labels.size), np.bool_)
        for row, names in zip(classes, examples.names, strict=True):
            row[[labels.index(name) for name in names]] = True
        strata = np.array([labels.index(own[0]) if own else -1 for own in examples.names])
    else:
        classes = strata = np.array([labels.index(own[0]) for own in examples.names], np.int32)
    texts = Documents(vocabulary.table[examples.all_codes()], examples.ends, classes, False)
    return Told(texts, vocabulary, labels.names, np.array(examples.groups), strata)


def _told_by_columns(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Texts to be written, each told the labels of its line."""
    examples = read_examples(sources, config)
    vocabulary, labels = _vocabulary(examples, config, known), _names(examples, known)
    columns = indices_of(examples.names, labels)
    texts = RunningText(examples.framed(vocabulary), columns)
    return Told(texts, vocabulary, labels.names, np.array(examples.groups), columns[:, 0])


def _told_by_files(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Texts to be written, each told the name of its file."""
    if "-" in map(str, sources):
        raise UsageError("standard input has no name that could be a label: give files")
    corpus = read_corpus(
        sources, lines=config.lines, min_count=config.min_count, encoding=config.encoding,
        normalize_newlines=config.normalize_newlines, vocabulary=known.vocabulary,
        known=known.characters,
    )  # fmt: skip
    names = list(map(label_of, sources))
    labels = Labels(known.labels or tuple(sorted(set(names))))
    if labels.size < 2:
        raise CorpusError(f"there is one file, {names[0]}: give two or more to tell apart")
    columns = labels_of_sources(corpus, [labels.index(name) for name in names])
    texts = RunningText(corpus.tokens, columns)
    if config.lines or config.validation is not None:
        return Told(texts, corpus.vocabulary, labels.names, None, columns[:, 0])
    texts, ends = _cut(texts, config.validation_fraction)
    return Told(texts, corpus.vocabulary, labels.names, ends=ends)


def _cut(text: RunningText, fraction: float) -> tuple[RunningText, np.ndarray]:
    """The text with a document of its own for the end of each, and which documents these are."""
    starts = np.flatnonzero(text.tokens[:-1] == START)
    stops = np.append(starts[1:], text.tokens.size - 1)
    cuts = stops - np.round(fraction * (stops - starts - 1)).astype(np.int64)
    cuts = np.unique(cuts[cuts < stops])
    tokens = np.insert(text.tokens, cuts, START)
    begins = np.flatnonzero(tokens[:-1] == START)
    ends = np.isin(begins, cuts + np.arange(cuts.size))
    assert text.labels is not None
    return RunningText(tokens, text.labels[np.cumsum(~ends) - 1]), ends


def tagged_lines(
    sources: Sequence[str], config: TextConfig
) -> Iterator[tuple[str, list[markup.Span]]]:
    """The text of each line with its tags; lines without text are left out.

    Raises ``CorpusError`` where a line is not well formed, or a source cannot be read.
    """
    for source in sources:
        for number, line in lines_of(source, config):
            text, spans = markup.parse(line, number)
            if text:
                yield text, spans


def _tagged(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Lines with tags in them, a class for each character."""
    return told_of_tags(tagged_lines(sources, config), config, known)


def told_of_tags(
    lines: Iterable[tuple[str, list[markup.Span]]], config: TextConfig, known: Known
) -> Told:
    """What is told of ``tagged_lines``. Raises ``CorpusError`` where there are none."""
    examples, spans, inside = Examples(), [], []
    for text, own in lines:
        examples.add(text)
        spans.append(own)
        inside.append(markup.inside_words(text))
    if not spans:
        raise CorpusError("there are no lines; name a file that has tagged lines in it")
    vocabulary = _vocabulary(examples, config, known)
    if known.labels:
        scheme = markup.TagScheme.of(known.labels)
    else:
        scheme = markup.TagScheme.learn(span for own in spans for span in own)
    classes = [scheme.classes(n, own) for n, own in zip(examples.lengths, spans, strict=True)]
    tokens = vocabulary.table[examples.all_codes()]
    texts = Documents(tokens, examples.ends, np.concatenate(classes), True)
    edges = np.concatenate([scheme.edges(own) for own in classes])
    whole = not (edges & np.concatenate(inside)).any()
    groups = np.array(examples.groups)
    more = {"whole_words": whole, "joined_tags": _are_joined(examples, spans)}
    return Told(texts, vocabulary, scheme.names, groups, more=more)


def _are_joined(examples: Examples, spans: Sequence[list[markup.Span]]) -> bool:
    """Whether no tag is followed by another of its name with only blanks between them."""
    texts = np.split(examples.all_codes(), examples.ends[:-1])
    pairs = (
        (text_of(text), markup.Tagging(own, [0.0] * len(own)))
        for text, own in zip(texts, spans, strict=True)
    )
    return all(markup.joined(text, own).spans == own.spans for text, own in pairs)


def _restored(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Texts from which something was taken out, and what it was at each character."""
    return told_of_texts(plain_texts(sources, config), config, known)


def told_of_texts(texts: list[np.ndarray], config: TextConfig, known: Known) -> Told:
    """What is told of ``plain_texts`` when something is taken out of them."""
    ends = None
    if not config.by_line and config.validation is None:
        texts, ends = _with_ends(texts, config.validation_fraction)
    if known.labels:
        restorer = Restorer(config.restored, Labels(known.labels))
    else:
        learned = texts if ends is None else [texts[n] for n in np.flatnonzero(~ends)]
        restorer = Restorer.learn(config.restored, learned)
    removed = restorer.remove(texts)
    vocabulary = known.vocabulary or _vocabulary_of(removed, config, known)
    tokens = [np.append(START, vocabulary.table[own.kept]) for own in removed]
    documents = Documents(
        np.concatenate(tokens).astype(vocabulary.dtype),
        np.cumsum([own.size for own in tokens]),
        np.concatenate([own.classes for own in removed]),
        True,
        filled=restorer.filled(texts),
        gap=int(vocabulary.table[GAP]),
    )
    return Told(documents, vocabulary, restorer.labels.names, ends=ends)


def _vocabulary_of(removed: Sequence[Removed], config: TextConfig, known: Known) -> Vocabulary:
    counts = np.bincount(np.concatenate([own.kept for own in removed]), minlength=CODE_POINTS)
    if "gaps" in config.restored:
        counts[GAP] += config.min_count  # it is read, whether the text has it or not
    return Vocabulary.from_counts(counts, config.min_count, known.characters)


def plain_texts(sources: Sequence[str], config: TextConfig) -> list[np.ndarray]:
    """The code points of each line of the sources, or of each source, of those that have any.

    Raises ``CorpusError`` where there is none, or a source cannot be read.
    """
    if config.by_line:
        lines = (line for source in sources for _, line in lines_of(source, config))
        texts = [code_points(line, "surrogatepass") for line in lines]
    else:
        texts = []
        for source in sources:
            pieces = read_pieces(source, encoding=config.encoding, normalize_newlines=True)
            texts.append(np.concatenate([*pieces, np.empty(0, np.uint32)]))
    texts = [text for text in texts if text.size]
    if not texts:
        raise CorpusError("no characters in the texts; name a file that has some text in it")
    return texts


def _with_ends(texts: Sequence[np.ndarray], fraction: float) -> tuple[list[np.ndarray], np.ndarray]:
    """The texts with their ends cut off, as texts of their own, and which these are."""
    cuts = [text.size - round(fraction * text.size) for text in texts]
    parts = [
        part for text, cut in zip(texts, cuts, strict=True) for part in (text[:cut], text[cut:])
    ]
    some = np.array([part.size > 0 for part in parts])
    return [part for part in parts if part.size], (np.arange(len(parts)) % 2 == 1)[some]


def _paired(sources: Sequence[str], config: TextConfig, known: Known) -> Told:
    """Left sides, and the right sides that are to be written."""
    return told_of_pairs(read_pairs(sources, config, known.pair_labels(config)), config, known)


def told_of_pairs(lines: PairLines, config: TextConfig, known: Known) -> Told:
    """What is told of ``read_pairs``.

    Pairs whose right side does not fit into the steps of their left side are left out by CTC.
    Raises ``CorpusError`` where none is left, and where all right sides are empty.
    """
    examples = Examples()
    for text in lines.left:
        examples.add(text)
    vocabulary, spaced = _vocabulary(examples, config, known), config.target_symbols
    if not any(lines.right):
        raise CorpusError("all right sides are empty: there is nothing to tell of texts")
    if known.labels:
        alphabet = Alphabet.of(known.labels, spaced=spaced)
    else:
        labels = (name for names in lines.labels for name in names if name)
        alphabet = Alphabet.learn(lines.right, labels, spaced=spaced)
    left = Sides.of([
        left_tokens(text, names, vocabulary, alphabet)
        for text, names in zip(lines.left, lines.labels, strict=True)
    ])  # fmt: skip
    right = Sides.of([alphabet.encode(side) for side in lines.right])
    groups = np.array(examples.groups)
    more = {"longest": int(right.lengths.max()), "columns": len(lines.labels[0])}
    if config.aligned:
        more["repeats"] = known.repeats or suited_repeats(left, right)
        left = left.repeated(more["repeats"])
        fits = np.flatnonzero(needed_steps(right) <= left.lengths)
        if not fits.size:
            raise CorpusError("no right side fits into its left side: use the decoder attention")
        more["left_out"] = len(lines.left) - fits.size
        left, right, groups = left.take(fits), right.take(fits), groups[fits]
    texts = Pairs.of(left, right, aligned=config.aligned)
    return Told(texts, vocabulary, alphabet.names, groups, more=more)
