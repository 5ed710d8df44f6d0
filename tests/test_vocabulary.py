"""Text becomes indices and comes back, and what is no character stays out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import CharrnnError, CorpusError
from charrnn.text.vocabulary import CODE_POINTS, END, SPECIALS, START, UNKNOWN, Vocabulary

SHOWN_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def _vocabulary_of(text):
    return Vocabulary("".join(sorted(set(text))))


def _characters(count):
    """So many distinct characters from U+10000 on, where no surrogates are."""
    return "".join(map(chr, range(0x10000, 0x10000 + count)))


def _counts_of(text):
    counts = np.zeros(CODE_POINTS, np.int64)
    for character in text:
        counts[ord(character)] += 1
    return counts


@settings(deadline=None)
@given(st.text())
def test_a_text_comes_back(text):
    vocabulary = _vocabulary_of(text)
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == text
    assert tokens.dtype == vocabulary.dtype
    assert tokens.tolist() == [SPECIALS + vocabulary.characters.index(c) for c in text]


@settings(deadline=None)
@given(st.text(min_size=1), st.text())
def test_what_is_not_held_is_unknown(known, text):
    vocabulary = _vocabulary_of(known)
    expected = "".join(c if c in known else SHOWN_UNKNOWN for c in text)
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == expected
    assert np.count_nonzero(tokens == UNKNOWN) == sum(c not in known for c in text)
    assert vocabulary.unseen(text) == list(dict.fromkeys(c for c in text if c not in known))


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(1, 4))
def test_counts_choose_the_characters(text, min_count):
    expected = "".join(sorted(c for c in set(text) if text.count(c) >= min_count))
    if not expected:
        with pytest.raises(CorpusError, match="`min_count`"):
            Vocabulary.from_counts(_counts_of(text), min_count)
    else:
        assert Vocabulary.from_counts(_counts_of(text), min_count).characters == expected


@settings(deadline=None)
@given(st.text(), st.text(min_size=1), st.integers(1, 4))
def test_known_characters_keep_their_indices(known, text, min_count):
    """Whatever the order they are in and however often they are seen."""
    known = "".join(dict.fromkeys(reversed(known)))
    added = sorted(c for c in set(text) - set(known) if text.count(c) >= min_count)
    if known or added:
        vocabulary = Vocabulary.from_counts(_counts_of(text), min_count, known)
        assert vocabulary.characters == known + "".join(added)
        assert vocabulary.encode(known).tolist() == [SPECIALS + i for i in range(len(known))]
        assert vocabulary.decode(vocabulary.encode(known)) == known


def test_characters_never_seen_are_left_out_whatever_the_minimum():
    assert Vocabulary.from_counts(_counts_of("ba"), 0).characters == "ab"


def test_special_tokens_are_not_text():
    text = "<start><unk><end>\x00\x01\x02"
    vocabulary = _vocabulary_of(text)
    assert vocabulary.encode(text).min() == SPECIALS
    assert vocabulary.decode([START, *vocabulary.encode(text), END]) == text
    assert vocabulary.decode([START, END, UNKNOWN]) == SHOWN_UNKNOWN


def test_decode_takes_any_integers():
    vocabulary = Vocabulary("ab")
    assert vocabulary.decode([]) == vocabulary.decode(np.empty(0, np.uint8)) == ""
    assert vocabulary.decode(iter([3, 4])) == vocabulary.decode(np.array([3, 4], np.int32)) == "ab"
    with pytest.raises(IndexError):
        vocabulary.decode([5])


def test_one_byte_a_token_as_long_as_it_lasts():
    assert Vocabulary(_characters(253)).dtype == np.uint8
    assert Vocabulary(_characters(254)).dtype == np.uint16


def test_the_last_index_that_fits_into_two_bytes():
    text = _characters(65_532)
    vocabulary = Vocabulary(text)
    assert vocabulary.size == 65_535
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_too_many_characters_are_counted_and_the_option_is_named():
    with pytest.raises(CorpusError, match=r"65,533 distinct.*`min_count`"):
        Vocabulary(_characters(65_533))


@pytest.mark.parametrize("characters", ["aba", "a\ud800", "\udfff", ["a", "b"], None, 7])
def test_what_is_no_set_of_characters_is_refused(characters):
    with pytest.raises(CharrnnError):
        Vocabulary(characters)


def test_the_neighbours_of_surrogates_are_characters():
    text = "\ud7ff\ue000\U0010ffff"
    assert Vocabulary(text).decode(Vocabulary(text).encode(text)) == text


def test_bytes_of_a_command_line_that_are_no_text_are_unknown():
    vocabulary = Vocabulary("a")
    assert vocabulary.encode("a\udcff").tolist() == [3, UNKNOWN]
    assert vocabulary.unseen("a\udcff") == ["\udcff"]


def test_the_table_cannot_be_changed_by_mistake():
    with pytest.raises(ValueError, match="read-only"):
        Vocabulary("a").table[0] = 5
