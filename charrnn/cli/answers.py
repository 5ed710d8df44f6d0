"""How answers to lines are printed: a line for each, for people, or as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from charrnn.cli.tables import to_json
from charrnn.inference.labelling import Labelled
from charrnn.inference.restoration import Restored
from charrnn.inference.tagging import Tagged
from charrnn.inference.transcription import Transcribed

#: Digits of probabilities that people read.
_DIGITS = 4


def presentation(best: int | None, as_json: bool) -> Callable[[Any], str]:
    """What shows an answer, or "" for a line that has none; of labels the ``best`` so many."""
    if as_json:
        return lambda answer: "" if answer is None else to_json(_figures(answer, best))
    return lambda answer: "" if answer is None else _line(answer, best)


def _line(answer: Any, best: int | None) -> str:
    if isinstance(answer, Tagged):
        return answer.markup
    if isinstance(answer, Restored):
        return answer.text
    if isinstance(answer, Transcribed):
        return _candidates(answer, best)
    fields = [_in_column(",".join(answer.labels))]
    if best:
        pairs = list(answer.probabilities.items())[:best]
        fields = [part for name, p in pairs for part in (_in_column(name), f"{p:.{_DIGITS}f}")]
    return "\t".join([*fields, *(term.word for term in answer.terms)])


def _candidates(answer: Transcribed, best: int | None) -> str:
    """The best right side, or the ``best`` so many with their probabilities."""
    if not best:
        return _in_column(answer.output)
    own = answer.candidates[:best]
    return "\t".join(f"{_in_column(c.output)}\t{c.probability:.{_DIGITS}f}" for c in own)


def _in_column(name: str) -> str:
    """A label on one line and in one column: files from strangers may name any."""
    return " ".join(name.split())


def _figures(answer: Any, best: int | None) -> dict[str, Any]:
    if isinstance(answer, Labelled):
        return _label_figures(answer, best)
    if isinstance(answer, Restored):
        return {"text": answer.text}
    if isinstance(answer, Transcribed):
        candidates = [dataclasses.asdict(own) for own in answer.candidates[: best or 1]]
        return {"text": answer.text, "outputs": candidates}
    spans = [
        {**span._asdict(), "text": answer.text[span.start : span.end], "probability": probability}
        for span, probability in zip(answer.spans, answer.probabilities, strict=True)
    ]
    return {"text": answer.text, "spans": spans}


def _label_figures(answer: Labelled, best: int | None) -> dict[str, Any]:
    likeliest = list(answer.probabilities.items())[:best]
    figures: dict[str, Any] = {"text": answer.text, "labels": list(answer.labels)}
    figures["probabilities"] = dict(likeliest)
    if answer.terms:
        figures["terms"] = [term._asdict() for term in answer.terms]
    return figures
