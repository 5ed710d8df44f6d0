"""Capitals and accents put back by the form in which each word was most frequent."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE = re.compile(r"(?:^|[.!?…]['\"’”»)_]*\s)[\s'\"‘“«(_—-]*[^\W\d_]")


def lower(text: str) -> str:
    """A text without capitals, character by character."""
    return "".join(one.lower() if len(one.lower()) == 1 else one for one in text)


def without_accents(text: str) -> str:
    """A text whose letters have lost what is above and below them, character by character."""
    letters = (unicodedata.normalize("NFD", one) for one in text)
    return "".join(one[0] if all(map(unicodedata.combining, one[1:])) else one for one in letters)


REMOVE: dict[str, Callable[[str], str]] = {"case": lower, "accents": without_accents}


def start_sentences(text: str) -> str:
    """A capital where a sentence starts."""
    return SENTENCE.sub(lambda found: found[0][:-1] + found[0][-1].upper(), text)


def words(line: str) -> Iterator[str]:
    """All words of a line."""
    return (found[0] for found in WORD.finditer(line))


def words_inside(line: str) -> Iterator[str]:
    """The words of a line that start no sentence, whose capitals are their own."""
    starts = {found.end() - 1 for found in SENTENCE.finditer(line)}
    return (found[0] for found in WORD.finditer(line) if found.start() not in starts)


class Forms:
    """The most frequent form of each word that a removal makes of several."""

    def __init__(self, known: Iterable[str], remove: Callable[[str], str]) -> None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for word in known:
            counts[remove(word)][word] += 1
        self.form = {bare: forms.most_common(1)[0][0] for bare, forms in counts.items()}

    def __call__(self, text: str) -> str:
        """A text whose words have their most frequent forms; unknown ones stay."""
        return WORD.sub(lambda found: self.form.get(found[0], found[0]), text)


def restorer(lines: Iterable[str], what: str) -> Callable[[str], str]:
    """Learns from lines to put back what `REMOVE[what]` takes away."""
    learnt = words_inside if what == "case" else words
    forms = Forms((word for line in lines for word in learnt(line)), REMOVE[what])
    return (lambda text: start_sentences(forms(text))) if what == "case" else forms
