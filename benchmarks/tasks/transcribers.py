"""Peers that write the output of an input."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import dateparser
import paired
import phonetisaurus
import transcripts
from transcripts import Question

SPACE = "\u2423"  # stands for a space of an input, where phonetisaurus would end it


class Phonetisaurus:
    """Transducers of n-grams of aligned symbols, trained as the package does by itself."""

    def __init__(self, outputs: Mapping[Question, Sequence[str]]) -> None:
        self.spaced = transcripts.have_spaces(outputs)
        split = str.split if self.spaced else list
        lexicon = {_word(asked): list(map(split, several)) for asked, several in outputs.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.fst"
            phonetisaurus.train(lexicon, path)
            self.model = path.read_bytes()

    def __call__(self, asked: Sequence[Question]) -> dict[Question, str]:
        """The answers to questions, without those that it has none for."""
        questions = {_word(one): one for one in asked}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.fst"
            path.write_bytes(self.model)
            answers = list(phonetisaurus.predict(questions, path))
        join = " " if self.spaced else ""
        return {questions[word]: join.join(symbols) for word, symbols in answers}


def parsed_dates(asked: Sequence[Question]) -> dict[Question, str]:
    """What dateparser, whose rules are written by hand, reads in the language of each date."""
    settings = {"REQUIRE_PARTS": ["day", "month", "year"]}
    answers = {}
    for one in asked:
        if found := dateparser.parse(one.text, languages=one.labels, settings=settings):
            # It takes two digits for a year up to 2068, and is told of which hundred they are.
            late = (found.year - paired.FIRST_DATE.year) // 100 * 100
            answers[one] = str(found.replace(year=found.year - late).date())
    return answers


def _word(asked: Question) -> str:
    return asked.text.replace(" ", SPACE)
