"""Texts are taken apart into what a network reads and edits, and put together again.

Of a text some kinds of things are taken out (``charrnn.text.edits``). To each character that stays
belongs an edit, which says what it was and what was taken out behind it; START stands before the
first one. The edits that are common are the classes of a model; class 0 is that nothing is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from charrnn.errors import CharrnnError, CorpusError
from charrnn.text import gaps
from charrnn.text.display import named
from charrnn.text.edits import (
    GAP,
    NOTHING,
    START,
    Apart,
    Characters,
    Edit,
    Form,
    can_be_missing,
    characters_of,
    in_order,
    is_within,
    joined,
)
from charrnn.text.labels import Labels

MAX_CLASSES = 1024
#: The class of an edit that is none of the model's; it does not count.
UNKNOWN_CLASS = -1

#: One of so many characters is missing.
_ONE_OF = 10

#: Characters for which the likeliest class is sought at once.
_BLOCK = 1 << 13


class Removed(NamedTuple):
    """What a network reads of a text, and what it is to find."""

    kept: np.ndarray  # [n], code points
    classes: np.ndarray  # [n + 1], int32: of START and of each character that stayed


@dataclass(frozen=True)
class Restorer:
    """Takes ``kinds`` out of texts and puts them back; the ``labels`` are names of edits.

    Raises ``CharrnnError`` where there are no such kinds (``UsageError``) or where a label is no
    edit that they make. Texts are arrays of code points [n].
    """

    kinds: tuple[str, ...]
    labels: Labels  # the classes

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", in_order(self.kinds))
        if self.edits[0] != NOTHING or self.size > MAX_CLASSES:
            raise CharrnnError(
                f"the first edit must be '{NOTHING.name}', with at most {MAX_CLASSES - 1:,} others"
            )
        for edit in self.edits:
            if not self._is_possible(edit):
                raise CharrnnError(
                    f"'{named(edit.name)}' cannot come of taking out {', '.join(self.kinds)}"
                )

    @classmethod
    def learn(
        cls, kinds: Sequence[str], texts: Sequence[np.ndarray], min_count: int = 2
    ) -> Restorer:
        """With the edits that come ``min_count`` times or more in texts, the commonest first.

        Raises ``UsageError`` for kinds that there are not, ``CorpusError`` where no edit is left.
        """
        kinds = in_order(kinds)
        counts = _counted(kinds, texts, min_count)
        del counts[NOTHING]
        if not counts:
            raise CorpusError(
                f"nothing can be learned of restoring {', '.join(kinds)}: no edit comes "
                f"{min_count:,} times; give a text in which some do"
            )
        common = sorted(counts, key=lambda edit: (-counts[edit], edit.name))[: MAX_CLASSES - 1]
        return cls(kinds, Labels((NOTHING.name, *(edit.name for edit in common))))

    @property
    def size(self) -> int:
        """K: how many classes there are."""
        return self.labels.size

    @property
    def gone(self) -> np.ndarray:
        """Which code points are taken out [0x110001], bool."""
        return self._characters.gone

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """The edit of each class."""
        return tuple(map(Edit.of, self.labels.names))

    def remove(
        self, texts: Sequence[np.ndarray], rng: np.random.Generator | None = None
    ) -> list[Removed]:
        """What stays of each text, and the classes of its edits.

        Where ``gaps`` are to be filled, ``rng`` draws a tenth of the characters, in runs of 1 to 4,
        which become gaps; gaps that the texts had are of an unknown class.
        """
        apart = self._characters.take_apart(texts, self._strings)
        codes = apart.codes
        kept, forms = self._characters.kept[codes], self._characters.form[codes]
        if self._has_gaps:
            forms = np.where(codes == GAP, -1, forms)
            if rng is not None:
                missing = gaps.drawn(codes.size, rng) & can_be_missing(codes)
                kept = np.where(missing, np.uint32(GAP), kept)
                forms = np.where(missing, self._fill_rows(codes), forms)
        classes = self._classes_of(apart, forms)
        starts = np.flatnonzero(codes == START)
        parts = zip(np.split(kept, starts)[1:], np.split(classes, starts)[1:], strict=True)
        return [Removed(own[1:], found) for own, found in parts]

    def filled(self, texts: Sequence[np.ndarray]) -> np.ndarray | None:
        """The classes that START and each character that stays would have as gaps, of all texts.

        None where gaps are not to be filled; an unknown class where there can be no gap.
        """
        if not self._has_gaps:
            return None
        apart = self._characters.take_apart(texts, self._strings)
        forms = np.where(can_be_missing(apart.codes), self._fill_rows(apart.codes), -1)
        return self._classes_of(apart, forms)

    def _classes_of(self, apart: Apart, forms: np.ndarray) -> np.ndarray:
        return self._classes[forms, np.minimum(apart.afters, len(self._strings))]

    def put_back(self, kept: np.ndarray, classes: np.ndarray) -> str:
        """The text of characters that stayed [n] and the classes of their edits [n + 1].

        An unknown class, or one that means nothing for its character, leaves it as it is.
        """
        classes = np.where(classes == UNKNOWN_CLASS, 0, classes)
        codes = self._formed(np.append(np.uint32(START), kept), classes)[0]
        return joined(codes, self._after[classes], list(self._strings))[0]

    def allowed(self, kept: np.ndarray) -> np.ndarray:
        """Which classes mean something for START and each character that stayed [n + 1, K], bool.

        A gap is always filled, where there is a class that does.
        """
        distinct, rows = np.unique(np.append(np.uint32(START), kept), return_inverse=True)
        return self._possible(distinct)[1][rows]

    def restore(self, texts: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> list[str]:
        """Each text with the edits that ``scores`` [n + 1, K] find likeliest for what stays of it.

        What a text has it keeps: of a character's classes only those count that leave its capital,
        its accents and what is behind it, and perhaps add to them. Where there are none, what the
        character has is kept, and what it lacks is of its likeliest class. Taken apart again, the
        text is what it was before but for gaps, which are filled.
        """
        apart = self._characters.take_apart(texts, self._strings)
        afters_fit = self._fitting(apart.strings)
        codes, afters = apart.codes.copy(), apart.afters.copy()
        end = 0
        for block in _blocks(scores):
            begin, end = end, end + len(block)
            here = slice(begin, end)
            distinct, row = np.unique(codes[here], return_inverse=True)
            formed, forms_fit = self._possible(distinct)
            after = afters[here]
            classes = _likeliest(block, forms_fit[row], afters_fit[after])
            codes[here] = np.where(forms_fit[row, classes], formed[row, classes], codes[here])
            afters[here] = np.where(afters_fit[after, classes], self._after[classes], after)
        return joined(codes, afters, apart.strings)

    @property
    def _characters(self) -> Characters:
        return characters_of(self.kinds)

    @property
    def _has_gaps(self) -> bool:
        return "gaps" in self.kinds

    def _is_possible(self, edit: Edit) -> bool:
        """Whether the kinds can make such an edit."""
        gone, character = self._characters.gone, edit.form.character
        is_possible = edit.form in self._characters.forms
        if self._has_gaps and len(character) == 1 and edit.form == Form(character=character):
            code = np.array(ord(character))
            is_possible = bool(can_be_missing(code) and not gone[code])
        return is_possible and all(gone[ord(after)] for after in edit.after)

    @cached_property
    def _strings(self) -> dict[str, int]:
        """What the classes put behind characters, with indices; the first is nothing."""
        strings = {"": 0}
        for edit in self.edits:
            strings.setdefault(edit.after, len(strings))
        return strings

    @cached_property
    def _after(self) -> np.ndarray:
        """Which string each class puts behind a character [K]."""
        return np.array([self._strings[edit.after] for edit in self.edits])

    @cached_property
    def _form(self) -> np.ndarray:
        """The form that each class gives a character [K], -1 where it only fills gaps."""
        indices = {form: i for i, form in enumerate(self._characters.forms)}
        return np.array([indices.get(edit.form, -1) for edit in self.edits])

    @cached_property
    def _fill(self) -> np.ndarray:
        """The character that each class puts into a gap [K], START where it puts none."""
        characters = [edit.form.character if self._has_gaps else "" for edit in self.edits]
        return np.array([ord(c) if c else START for c in characters], np.uint32)

    @cached_property
    def _fills(self) -> np.ndarray:
        """The characters that fill gaps, sorted, and START."""
        return np.unique(np.append(self._fill, np.uint32(START)))

    def _fill_rows(self, codes: np.ndarray) -> np.ndarray:
        """Rows of ``_classes`` where the characters ``codes`` are missing, -1 where none is it."""
        at = np.searchsorted(self._fills, codes)
        is_fill = (self._fills[at] == codes) & (codes != START)
        return np.where(is_fill, len(self._characters.forms) + at, -1)

    @cached_property
    def _classes(self) -> np.ndarray:
        """The class of each form, or missing character, with each string behind it.

        A last row and a last column are for those that no class has.
        """
        rows = len(self._characters.forms) + self._fills.size
        table = np.full((rows, len(self._strings) + 1), UNKNOWN_CLASS, np.int32)
        for row in (self._form, self._fill_rows(self._fill)):
            has = row >= 0
            table[row[has], self._after[has]] = np.flatnonzero(has)
        return table

    def _formed(self, kept: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What classes make of characters that stayed, and whether they mean something there."""
        codes, exists = self._characters.formed(kept, self._form[classes])
        if self._fills.size > 1:
            is_gap, fill = kept == GAP, self._fill[classes]
            exists = np.where(is_gap, fill != START, exists)
            codes = np.where(is_gap & exists, fill, codes)
        return codes, exists

    @cached_property
    def _includes(self) -> np.ndarray:
        """Whether a form [forms] is kept by each class [K]."""
        forms = self._characters.forms
        return np.array([[edit.form.includes(form) for edit in self.edits] for form in forms])

    def _possible(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each class makes of characters of a text, and whether it may [n, K]."""
        characters = self._characters
        made, exists = self._formed(characters.kept[codes][:, None], np.arange(self.size))
        return made, exists & self._includes[characters.form[codes]]

    def _fitting(self, strings: Sequence[str]) -> np.ndarray:
        """Whether what each class puts behind a character holds each string [strings, K].

        The first strings are those of the classes.
        """
        others = self._holding(strings[len(self._strings) :])
        return np.concatenate([self._known_fitting, others[:, self._after]])

    @cached_property
    def _known_fitting(self) -> np.ndarray:
        return self._holding(tuple(self._strings))[:, self._after]

    def _holding(self, strings: Sequence[str]) -> np.ndarray:
        """Whether each string of the classes holds some others [others, strings], bool."""
        holds = [[is_within(other, own) for own in self._strings] for other in strings]
        return np.array(holds, bool).reshape(-1, len(self._strings))


def _counted(kinds: tuple[str, ...], texts: Sequence[np.ndarray], min_count: int) -> Counter[Edit]:
    """How often each edit is to be expected, of those that come ``min_count`` times.

    A gap may be anywhere, so that each character is counted as one that is missing too.
    """
    characters = characters_of(kinds)
    codes, afters, strings = characters.take_apart(texts, {"": 0})
    known = (codes != GAP) | ("gaps" not in kinds)
    missing = can_be_missing(codes) & ("gaps" in kinds)
    counts: Counter[Edit] = Counter()
    forms = characters.form[codes[known]]
    for form, after, count in _frequent(forms, afters[known], min_count):
        counts[Edit(characters.forms[form], strings[after])] += (_ONE_OF - 1) * count
    for code, after, count in _frequent(codes[missing], afters[missing], min_count):
        counts[Edit(Form(character=chr(code)), strings[after])] += count
    return counts


def _frequent(
    firsts: np.ndarray, seconds: np.ndarray, min_count: int
) -> Iterator[tuple[int, int, int]]:
    """The pairs of numbers that come ``min_count`` times or more, and how often."""
    pairs, counts = np.unique(firsts.astype(np.int64) << 32 | seconds, return_counts=True)
    enough = counts >= min_count
    pairs, counts = pairs[enough], counts[enough]
    return zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), counts.tolist(), strict=True)


def _blocks(scores: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows of all arrays, some at a time."""
    waiting: list[np.ndarray] = []
    held = 0
    for rows in scores:
        for begin in range(0, len(rows), _BLOCK):
            waiting.append(rows[begin : begin + _BLOCK])
            held += len(waiting[-1])
            if held >= _BLOCK:
                yield np.concatenate(waiting)
                waiting, held = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _likeliest(scores: np.ndarray, forms_fit: np.ndarray, afters_fit: np.ndarray) -> np.ndarray:
    """The class of the highest score for each character [n], of those that fit in all (n, K).

    Where none does, of those whose form fits, else of those whose string behind it does.
    """
    fit = forms_fit & afters_fit
    for fit_in_part in (forms_fit, afters_fit):
        none = ~fit.any(1)
        fit[none] = fit_in_part[none]
    best = np.where(fit, scores, -np.inf).argmax(1)
    all_impossible = ~fit[np.arange(best.size), best]
    best[all_impossible] = fit[all_impossible].argmax(1)
    return best
