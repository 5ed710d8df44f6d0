"""What a pattern allows is what Python's ``re`` matches, and nothing that leads nowhere."""

import itertools
import re
import sys
import time
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from charrnn.errors import UsageError
from charrnn.inference.pattern import compile_pattern
from charrnn.text.vocabulary import SPECIALS, Vocabulary

CHARACTERS = "aBé\n"
LONGEST = 4  # characters of the texts that are tried one by one
TEXTS = [
    "".join(text)
    for length in range(LONGEST + 1)
    for text in itertools.product(CHARACTERS, repeat=length)
]

_UNITS = st.sampled_from(
    ["a", "B", "é", "\\n", ".", "[aé]", "[^a]", "[^\\WB]", "\\w", "\\W", "\\s", "[A-é]", "x"]
)
_REPEATS = st.sampled_from(
    ["*", "+", "?", "*?", "+?", "{0}", "{2}", "{,2}", "{1,3}", "{2,}", "{2,3}?", "{0,3}"]
)
_GROUPS = st.sampled_from(["(?:{})", "({})", "(?i:{})", "(?s:{})", "(?a:{})", "(?i-s:{})"])


def _larger(smaller):
    grouped = st.builds(str.format, _GROUPS, smaller)
    return (
        st.builds("{}{}".format, grouped, _REPEATS)
        | st.lists(smaller, min_size=2, max_size=3).map("".join)
        | st.lists(smaller, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})")
        | grouped
    )


EXPRESSIONS = st.recursive(_UNITS | st.just(""), _larger, max_leaves=7).flatmap(
    lambda body: st.sampled_from([body, f"(?i){body}", f"^(?:{body})$", f"(?s)\\A{body}|{body}\\Z"])
)


def _vocabulary_of(characters):
    return Vocabulary("".join(dict.fromkeys(characters)))


def _large_vocabulary():
    """10,000 characters: of many alphabets, and Chinese."""
    alphabets = [chr(point) for point in range(0x20, 0x2000) if chr(point).isprintable()]
    return Vocabulary("".join(alphabets[:5_000]) + "".join(map(chr, range(0x4E00, 0x4E00 + 5_000))))


LARGE = _large_vocabulary()
SMALL = _vocabulary_of("".join(map(chr, range(0x20, 0x7F))) + "\nß")


def _state_after(pattern, vocabulary, text):
    state = 0
    for token in vocabulary.encode(text):
        state = pattern.following[state, token]
        if state < 0:
            break
    return state


def _matches(pattern, vocabulary, text):
    state = _state_after(pattern, vocabulary, text)
    return bool(state >= 0 and pattern.accepting[state])


def _compile_or_none(expression, vocabulary):
    """The pattern; None where the error says that no text matches."""
    try:
        return compile_pattern(expression, vocabulary)
    except UsageError as error:
        assert "no text of the model's characters" in str(error)
        return None


def _kinds(pattern):
    """How many kinds of states there are, by dividing all of them until nothing changes."""
    kinds, count = pattern.accepting.astype(int).tolist(), 0
    while len(set(kinds)) > count:
        count = len(set(kinds))
        seen = [
            (kinds[state], *(kinds[t] if t >= 0 else -1 for t in row))
            for state, row in enumerate(pattern.following)
        ]
        kinds = [sorted(set(seen)).index(kind) for kind in seen]
    return count


@settings(deadline=None, max_examples=150)
@given(EXPRESSIONS)
def test_it_matches_what_re_matches(expression):
    """And of every beginning it knows whether a match can follow, and how far the nearest is."""
    vocabulary = Vocabulary(CHARACTERS)
    pattern = _compile_or_none(expression, vocabulary)
    matching = re.compile(expression).fullmatch
    matches = {text for text in TEXTS if matching(text)}
    if pattern is None:
        assert not matches
        return
    nearest = {}
    for text in sorted(matches, key=len):
        for length in range(len(text) + 1):
            nearest.setdefault(text[:length], len(text) - length)
    for text in TEXTS:
        state = _state_after(pattern, vocabulary, text)
        assert (state >= 0 and pattern.accepting[state]) == (text in matches)
        left = LONGEST - len(text)
        reached = state >= 0 and pattern.distance[state] <= left
        assert (pattern.distance[state] if reached else None) == nearest.get(text)


@settings(deadline=None, max_examples=100)
@given(EXPRESSIONS, st.lists(st.text(CHARACTERS, min_size=5, max_size=12), min_size=5))
def test_longer_texts_too(expression, texts):
    vocabulary = Vocabulary(CHARACTERS)
    pattern = _compile_or_none(expression, vocabulary)
    for text in texts:
        expected = re.fullmatch(expression, text) is not None
        assert (pattern is not None and _matches(pattern, vocabulary, text)) == expected


@settings(deadline=None, max_examples=100)
@given(EXPRESSIONS)
def test_it_is_sound_and_as_small_as_can_be(expression):
    pattern = _compile_or_none(expression, Vocabulary(CHARACTERS))
    assume(pattern is not None)
    states = len(pattern.accepting)
    assert pattern.following.shape == (states, SPECIALS + len(CHARACTERS))
    assert pattern.following.dtype == pattern.distance.dtype == np.int32
    assert pattern.following.flags.c_contiguous, "compiled code reads it row by row"
    assert (pattern.following[:, :SPECIALS] == -1).all()
    assert set(pattern.following.flat) | {0} >= set(range(states)), "a state is never reached"
    assert ((pattern.distance == 0) == pattern.accepting).all()
    for row, distance in zip(pattern.following, pattern.distance, strict=True):
        if distance:
            assert pattern.distance[row[row >= 0]].min() == distance - 1, "it can always go on"
    assert _kinds(pattern) == states


@pytest.mark.parametrize(
    "one", [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", "(?s).", "(?a)\\w", "(?a)[^\\d]",
            "[a-zé-ü]", "[^a-zé-ü]", "(?i)[a-zé-ü]", "(?i)[^k]", "(?i)s", "(?i)k", "(?ai)k",
            "(?i)İ", "(?i)ı", "(?i)ß", "(?i)µ", "(?i)ς", "(?i)ǆ", "(?i)[А-я]", "(?i)ᲀ", "[-a]",
            "[\\]^\\\\-]", "[^^]", "[ #]", "(?x)[ #] # or", "\\N{BULLET}", "\\x41", "\\u00e9",
            "\\101", "[\\d\\s]", "[^\\W\\d_]", "(?-s:.)", "(?s:.)", "(?i:é)", "(?i)(?-i:é)",
            "(?i)(?a:k)", "(?a)(?u:\\w)", "(?a:\\W|(?u:\\w))", "a|b|\\d",
            "[一-龥]", "(?i)[\\u0000-\\U0010ffff]"]
)  # fmt: skip
def test_of_every_character_it_says_what_re_says(one):
    extra = "\n\r\x00\x1c\u2028•𝕏𐐀𐐨"
    vocabulary = _vocabulary_of(LARGE.characters + extra)
    row = compile_pattern(one, vocabulary).following[0]
    allowed = vocabulary.decode(np.flatnonzero(row >= 0))
    matching = re.compile(one).fullmatch
    assert allowed == "".join(filter(matching, vocabulary.characters))


def test_a_date():
    pattern = compile_pattern(r"\d{4}-\d{2}-\d{2}", SMALL)
    assert pattern.distance.tolist() == list(range(10, -1, -1))
    assert pattern.accepting.tolist() == [False] * 10 + [True]
    assert SMALL.decode(np.flatnonzero(pattern.following[4] >= 0)) == "-"
    assert _matches(pattern, SMALL, "2031-12-24")


@pytest.mark.parametrize("expression", ["", "()", "(?:a{0}){5}", "(?#nothing)", "^$"])
def test_the_empty_text(expression):
    pattern = compile_pattern(expression, SMALL)
    assert pattern.accepting.tolist() == [True] and pattern.distance.tolist() == [0]
    assert (pattern.following == -1).all()


@pytest.mark.parametrize("expression", ["^ab$", r"\Aab\Z", "^^ab$$", "(?m)^ab$", "^ab$|^ab",
                                        "(^a)b", "(^)?ab", "^(?:ab$)"])  # fmt: skip
def test_edges_of_the_text_mean_nothing(expression):
    plain, framed = compile_pattern("ab", SMALL), compile_pattern(expression, SMALL)
    for expected, array in zip(plain, framed, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [("a[bc", "unterminated character set at character 2, in 'a[bc'"),
     ("(a", "unterminated subpattern at character 1, in '(a'"),
     ("a)", "unbalanced parenthesis at character 2"),
     ("*a", "nothing to repeat at character 1"),
     ("a\n**", r"multiple repeat at character 4, in 'a\n**'"),
     (r"\p{L}", r"bad escape \p at character 1"),
     ("[b-a]", "bad character range b-a at character 2"),
     ("a{9999999999}", "the repetition number is too large, in"),
     ("(?a)(?u)a", "incompatible, in '(?a)(?u)a'"),
     ("\udcff", r"it knows no '\udcff'"),
     (r"(a)\1", r"a reference to a group, such as \1"),
     ("(?P<x>a)(?P=x)", "a reference to a group"),
     ("(a)?(?(1)b|c)", "a condition, such as (?(1)a|b)"),
     ("a(?=b)b", "a lookaround"),
     ("(?!a)b", "a lookaround"),
     ("(?<=a)b", "a lookaround"),
     ("(?<!a)b", "a lookaround"),
     ("(?!)", "a lookaround"),
     (r"\ba", r"\b, the edge of a word"),
     (r"a\B", r"\B, anything but the edge of a word"),
     ("a^b", "^ after something else"),
     ("(^a)+", "^ after something else"),
     ("(?m)a\n^b", "^ after something else"),
     ("a$b", "$ before something else"),
     ("(a$)*", "$ before something else"),
     ("a$\n?", "$ before something else"),
     ("(" * 5_000 + "a" + ")" * 5_000, "nested too deeply"),
     ("(a{3000}){3000}", "more than 10,000 characters"),
     ("Ж", "it knows no 'Ж'"),
     ("Привет, мир", "it knows no 'П', 'р', 'и', 'в', 'е', 'т', 'м'"),
     ("(a|Жb)\\.[äö]+", "it knows no 'Ж', '[äö]'"),
     ("\t", r"it knows no '\t'"),
     ("абвгдежзик", "'з' and more"),
     ("(a|b)*a(a|b){30}", "more than 200,000 states"),
     ("a?" * 4_000, "it would take long to make")],
)  # fmt: skip
def test_errors_say_what_is_wrong(expression, problem):
    begun = time.process_time()
    with pytest.raises(UsageError) as error:
        compile_pattern(expression, SMALL)
    message = str(error.value)
    assert problem in message and "`match`" in message and message.isprintable()
    assert "; " in message, "what to do about it"
    assert time.process_time() - begun < 20


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has none of these")
@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("(?>a)", "an atomic group"),
        ("a++", "a possessive repeat"),
        ("a{2}+", "a possessive repeat"),
    ],
)
def test_newer_syntax_is_refused_by_name(expression, problem):
    with pytest.raises(UsageError, match=problem):
        compile_pattern(expression, SMALL)


def test_python_says_nothing_of_its_own_plans():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _matches(compile_pattern("[[a]", SMALL), SMALL, "[")


@pytest.mark.parametrize(
    "expression",
    [r"\d{4}-\d{2}-\d{2}", ".{0,200}", r"[A-Z]\w{2,40}( [a-z]+){3,20}\.", r"(?i)[^\W\d]+(, \w+)*",
     ".*foo.*", ".*foo.{0,20}", "[一-龥]{5}. [一-龥]{7}\\.", r"(\w+\W+){5,30}"]
)  # fmt: skip
def test_a_large_vocabulary_takes_no_longer(expression):
    begun = time.process_time()
    compile_pattern(expression, LARGE)
    assert time.process_time() - begun < 1


def test_a_table_beyond_256_megabytes_is_refused():
    assert len(compile_pattern(".{8000}", SMALL).distance) == 8_001
    with pytest.raises(UsageError, match=r"8,001 states for 10,003 characters .* 256 MB"):
        compile_pattern(".{8000}", LARGE)


@pytest.mark.parametrize(
    ("expression", "states"),
    [(".*foo.{0,20}", 63), (".*foo.{20,}", 24), ("(.{0,50}){0,50}", 2_501), ("(.*a){50}", 51),
     (".{0,100}foo.{0,100}", 14_859), ("((a*)*)*" * 20, 1), ("(.|..){0,500}", 1_001)]
)  # fmt: skip
def test_sets_of_copies_that_add_nothing_do_not_grow(expression, states):
    """Of a repeat's copies only those count whose continuations the others lack."""
    assert len(compile_pattern(expression, SMALL).distance) == states
