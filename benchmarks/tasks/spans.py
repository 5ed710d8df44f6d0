"""A conditional random field that tags addresses, with the tokens and features of usaddress."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import unescape

import measures
import pycrfsuite
import usaddress

COSTS = (0.1, 0.01), (0.0, 1.0), (0.0, 0.1), (1.0, 0.01)  # first those of usaddress
CHOSEN_WITH = 3_000  # lines that they are chosen with


class Span(NamedTuple):
    """A tag of the characters from start to before end."""

    tag: str
    start: int
    end: int


def parse(line: str) -> tuple[str, set[Span]]:
    """The text of a line of markup, and its spans."""
    text = ""
    spans = set()
    for outside, tag, inside in re.findall(r"([^<]*)(?:<(\w+)>([^<]*)</\2>)?", line):
        text += unescape(outside)
        if tag:
            spans.add(Span(tag, len(text), len(text) + len(unescape(inside))))
            text += unescape(inside)
    return text, spans


def tokens(text: str) -> list[Span]:
    """Where the tokens of usaddress are in a text, without a tag."""
    found = []
    end = 0
    for token in usaddress.tokenize(text):
        start = text.index(token, end)
        end = start + len(token)
        found.append(Span("", start, end))
    return found


def tag_of(token: Span, spans: set[Span]) -> str:
    """The tag of the span that a token overlaps most; none where it overlaps none."""
    common = {span.tag: min(span.end, token.end) - max(span.start, token.start) for span in spans}
    best = max(common, key=lambda tag: common[tag], default="none")
    return best if common.get(best, 0) > 0 else "none"


def joined(text: str, tagged: Sequence[Span]) -> Iterator[Span]:
    """Neighbours of one tag as one span, which has no comma or semicolon at its end."""
    for tag, group in itertools.groupby(tagged, key=lambda span: span.tag):
        members = list(group)
        start = members[0].start
        end = start + len(text[start : members[-1].end].rstrip(" ,;"))
        if tag != "none":
            yield Span(tag, start, end)


def features(text: str) -> list:
    """The features of usaddress for the tokens of a text."""
    return usaddress.tokens2features(usaddress.tokenize(text))


def reachable(text: str, spans: set[Span]) -> set[Span]:
    """What a tagger of tokens that is never wrong would answer."""
    tagged = [place._replace(tag=tag_of(place, spans)) for place in tokens(text)]
    return set(joined(text, tagged))


class Tagger:
    """A field trained on lines of markup; c1 and c2 are the costs of its weights."""

    def __init__(self, lines: Sequence[str], c1: float, c2: float) -> None:
        costs = {"c1": c1, "c2": c2, "feature.minfreq": 0}
        trainer = pycrfsuite.Trainer(verbose=False, params=costs)
        for text, spans in map(parse, lines):
            if places := tokens(text):
                trainer.append(features(text), [tag_of(place, spans) for place in places])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.crfsuite"
            trainer.train(str(path))
            self.model = path.read_bytes()  # which the tagger reads from as long as it lives
        self.tagger = pycrfsuite.Tagger()
        self.tagger.open_inmemory(self.model)

    def __call__(self, text: str) -> set[Span]:
        """The spans of a text."""
        places = tokens(text)
        tags = self.tagger.tag(features(text)) if places else []
        return set(
            joined(text, [place._replace(tag=tag) for tag, place in zip(tags, places, strict=True)])
        )


def choose(lines: Sequence[str]) -> tuple[float, float]:
    """The costs whose spans are right most often in a tenth that is held out."""
    held = min(len(lines), CHOSEN_WITH) // 10
    texts, wanted = zip(*map(parse, lines[:held]), strict=True)

    def score(costs: tuple[float, float]) -> float:
        tagger = Tagger(lines[held:CHOSEN_WITH], *costs)
        return measures.spans(wanted, [tagger(text) for text in texts])["span_f1"]

    return max(COSTS, key=score)
