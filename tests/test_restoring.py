"""What is taken out of a text can be put back; whatever a network says, nothing else changes."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import CharrnnError, CorpusError, UsageError
from charrnn.text.edits import KINDS, Edit, Form, in_order
from charrnn.text.labels import Labels
from charrnn.text.lines import text_of
from charrnn.text.restoring import MAX_CLASSES, Restorer
from charrnn.text.vocabulary import code_points

_SPECIAL = "aAéÉßẞİıǅǆǄΣσςÅKe\u0301\u0323ế .,'\"«_\r\n\n❤\ufe0f😀각क़\u094d\u05b8йがſ\x00≠\ud800"
_TEXT = st.text(st.sampled_from(_SPECIAL) | st.characters(), max_size=25)
_KINDS = st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(in_order)
_ALL = KINDS[:-1]


def _codes(text):
    return code_points(text, "surrogatepass")


def _learned(kinds, *texts, min_count=1):
    """A restorer of what is in the texts, which may be nothing."""
    try:
        return Restorer.learn(kinds, list(map(_codes, texts)), min_count)
    except CorpusError:
        return Restorer(kinds, Labels(("nothing",)))


# The twin: one character after the other, from the definitions.


def _is_gone(character, kinds):
    category = unicodedata.category(character)
    return (
        ("punctuation" in kinds and category[0] == "P" and not (_is_gap(character, kinds)))
        or ("spaces" in kinds and character == " ")
        or ("spaces" in kinds and "newlines" in kinds and character == "\n")
        or ("accents" in kinds and category == "Mn" and unicodedata.combining(character) > 0)
    )


def _is_gap(character, kinds):
    return "gaps" in kinds and character == "_"


def _apart(character, kinds):
    """What stays of a character that stays, and the form that it had."""
    if character == "\n" and "newlines" in kinds:
        return " ", Form(character="\n")
    base, *marks = unicodedata.normalize("NFD", character) if "accents" in kinds else character
    together = unicodedata.normalize("NFC", "".join([base, *marks])) == character
    if not together or any(unicodedata.category(mark) != "Mn" for mark in marks):
        base, marks = character, []
    upper = "case" in kinds and base != base.lower() and base.lower().upper() == base
    upper = upper and len(base.lower()) == 1
    return base.lower() if upper else base, Form(upper, "".join(marks))


def _together(kept, form, kinds):
    """The character that had that form, or None."""
    if form == Form():
        return kept
    if form.character and _is_gap(kept, kinds):
        return form.character
    if form.character:
        return "\n" if (kept, form.character) == (" ", "\n") else None
    whole = unicodedata.normalize("NFC", (kept.upper() if form.upper else kept) + form.marks)
    return whole if len(whole) == 1 and _apart(whole, kinds) == (kept, form) else None


def _naive_edits(text, kinds):
    """START and each character that stays, with the form that it had and what was behind it."""
    edits = [["", "", Form(), ""]]
    for character in text:
        if _is_gone(character, kinds):
            edits[-1][3] += character
        else:
            edits.append([character, *_apart(character, kinds), ""])
    return edits


def _is_within(string, longer):
    return not string or (bool(longer) and _is_within(string[string[0] == longer[0] :], longer[1:]))


def _fits(restorer, kept, own, edit):
    """Whether a class means something for what stays and has all of its own form."""
    kinds = restorer.kinds
    if not kept:
        return edit.form == Form()
    if _is_gap(kept, kinds) and any(other.form.character for other in restorer.edits):
        return bool(edit.form.character)
    return (
        _together(kept, edit.form, kinds) is not None
        and edit.form.upper >= own.upper
        and (not own.marks or edit.form.marks == own.marks)
        and (not own.character or edit.form.character == own.character)
    )


def _naive_restore(restorer, text, scores):
    restored = []
    rows = _naive_edits(text, restorer.kinds)
    for (character, kept, own, after), row in zip(rows, scores, strict=True):
        order = [restorer.edits[k] for k in np.argsort(-row, kind="stable")]
        formed = [edit for edit in order if _fits(restorer, kept, own, edit)]
        behind = [edit for edit in order if _is_within(after, edit.after)]
        best = ([edit for edit in formed if edit in behind] + formed + behind + order)[0]
        made = _together(kept, best.form, restorer.kinds) if best in formed else character
        restored.append((made if kept else "") + (best.after if best in behind else after))
    return "".join(restored)


def _scores(restorer, kept, rng, hard=False):
    scores = rng.standard_normal((kept.size + 1, restorer.size)).astype("f")
    if hard:
        for value in (-np.inf, np.inf, np.nan):
            scores[rng.random(scores.shape) < rng.random()] = value
    return scores


@settings(deadline=None)
@given(_KINDS, _TEXT, _TEXT)
def test_what_is_removed_is_that_of_the_definition(kinds, text, learned):
    restorer = _learned(kinds, learned)
    kept, classes = restorer.remove([_codes(text)])[0]
    rows = _naive_edits(text, kinds)
    assert text_of(kept) == "".join(row[1] for row in rows)
    index = {edit: k for k, edit in enumerate(restorer.edits)}
    expected = [
        -1 if _is_gap(kept, kinds) else index.get(Edit(form, after), -1)
        for _, kept, form, after in rows
    ]
    assert classes.tolist() == expected
    assert classes.dtype == np.int32


@settings(deadline=None)
@given(_KINDS, _TEXT, st.integers(0, 10))
def test_what_is_removed_is_put_back(kinds, text, seed):
    text = text.replace("_", "") if "gaps" in kinds else text
    text = text.replace("\ud800", "")
    restorer = _learned(kinds, text)
    for rng in (None, np.random.default_rng(seed)):
        removed = restorer.remove([_codes(text)], rng)[0]
        assert removed.classes.min() >= 0
        assert restorer.put_back(*removed) == text


@settings(deadline=None)
@given(_KINDS, _TEXT)
def test_nothing_is_left_to_be_removed(kinds, text):
    restorer = _learned(kinds, text)
    kept = restorer.remove([_codes(text)])[0].kept
    again, classes = restorer.remove([kept])[0]
    assert again.tolist() == kept.tolist()
    assert set(classes.tolist()) <= {0, -1 if "gaps" in kinds else 0}


@settings(deadline=None, max_examples=150)
@given(_KINDS, _TEXT, _TEXT, st.integers(0, 10**6))
def test_whatever_the_scores_only_what_was_removed_changes(kinds, text, learned, seed):
    """And with it what a text has is within what it becomes."""
    restorer = _learned(kinds, learned, text[::-1])
    codes, rng = _codes(text), np.random.default_rng(seed)
    kept = restorer.remove([codes])[0].kept
    for given_text in (codes, kept):
        scores = _scores(restorer, kept, rng, hard=True)
        restored = restorer.restore([given_text], [scores])[0]
        again = restorer.remove([_codes(restored)])[0].kept
        is_gap = (kept == ord("_")) & ("gaps" in kinds)
        assert again.size == kept.size
        assert again[~is_gap].tolist() == kept[~is_gap].tolist()
        old, new = _naive_edits(text_of(given_text), kinds), _naive_edits(restored, kinds)
        for (_, _, form, after), (_, _, new_form, new_after), gap in zip(
            old, new, [False, *is_gap], strict=True
        ):
            assert gap or new_form.includes(form)
            assert _is_within(after, new_after)


@settings(deadline=None, max_examples=100)
@given(_KINDS, st.lists(_TEXT, max_size=4), _TEXT, st.integers(0, 10**6))
def test_what_is_restored_is_that_of_the_definition(kinds, texts, learned, seed):
    restorer = _learned(kinds, learned, *texts[:1])
    codes, rng = list(map(_codes, texts)), np.random.default_rng(seed)
    scores = [_scores(restorer, kept, rng) for kept, _ in restorer.remove(codes)]
    expected = [_naive_restore(restorer, *pair) for pair in zip(texts, scores, strict=True)]
    assert restorer.restore(codes, scores) == expected


@settings(deadline=None)
@given(_KINDS, _TEXT, _TEXT)
def test_classes_that_mean_something(kinds, text, learned):
    restorer = _learned(kinds, learned)
    kept = restorer.remove([_codes(text)])[0].kept
    expected = [
        [_fits(restorer, character, Form(), edit) for edit in restorer.edits]
        for character in ["", *text_of(kept)]
    ]
    assert restorer.allowed(kept).tolist() == expected


def test_many_texts_are_as_each_alone():
    """More than one block of positions, and a text that is longer than one."""
    rng = np.random.default_rng(5)
    alphabet = np.array(list("abcdeéÀ  ,.\n'"))
    texts = ["".join(rng.choice(alphabet, n)) for n in [*rng.integers(0, 50, 600), 10_000]]
    codes = list(map(_codes, texts))
    restorer = Restorer.learn(_ALL, codes)
    scores = [_scores(restorer, kept, rng) for kept, _ in restorer.remove(codes)]
    restored = restorer.restore(codes, scores)
    assert restored == [restorer.restore([c], [s])[0] for c, s in zip(codes, scores, strict=True)]
    for own, removed in zip(codes, restorer.remove(codes), strict=True):
        alone = restorer.remove([own])[0]
        assert removed.kept.tolist() == alone.kept.tolist()
        assert removed.classes.tolist() == alone.classes.tolist()
    assert restorer.restore([], []) == restorer.remove([]) == []


@pytest.mark.parametrize(
    ("kinds", "text", "kept"),
    [
        (["case"], "Straße İstanbul ΣΑΣ ǅ", "straße İstanbul σασ ǅ"),
        (["accents"], "Été Ång ế İ \u0958 ắn e\u0301", "Ete Ang e I \u0958 an e"),
        (["accents"], "שָׁלוֹם ❤\ufe0f 각", "שלום ❤\ufe0f 각"),
        (["case", "accents"], "Été İ Ǆ", "ete i ǆ"),
        (["punctuation"], "“Hi”, he_said – 5$ + 3.", "Hi hesaid  5$ + 3"),
        (["punctuation", "gaps"], "h_, no", "h_ no"),
        (["spaces"], "a b\nc\td", "ab\nc\td"),
        (["newlines"], "a b\r\nc\n", "a b\r c "),
        (["newlines", "spaces"], "a b\nc\n", "abc"),
        (_ALL, "“Où ?”, dit-\nil.", "ouditil"),
    ],
)
def test_what_the_kinds_take_out(kinds, text, kept):
    assert text_of(_learned(kinds, text).remove([_codes(text)])[0].kept) == kept


def test_characters_with_cases_accents_or_punctuation_end_where_the_tables_do():
    far = "".join(map(chr, range(0x20000, 0x110000)))
    assert far.lower() == far.upper() == far
    assert not any(map(unicodedata.combining, far))
    assert "P" not in {category[0] for category in map(unicodedata.category, far)}
    assert len(unicodedata.normalize("NFD", far)) == len(far), "none has a mark on it"


def test_classes_are_the_common_edits():
    text = 'He said: "No, no, No." ' * 3 + "Ok!"
    restorer = Restorer.learn(["punctuation", "case"], [_codes(text), _codes("X.")])
    assert restorer.kinds == ("case", "punctuation")
    assert restorer.labels.names[0] == "nothing"
    assert "after U+002E U+0022" in restorer.labels.names
    counts = {edit: 0 for edit in restorer.edits}
    for own in (text, "X."):
        for _, _, form, after in _naive_edits(own, restorer.kinds):
            edit = Edit(form, after)
            if edit in counts:
                counts[edit] += 1
    assert Edit(Form(), "!") not in counts, "it comes once"
    assert Edit(Form(True), ".") not in counts
    numbers = list(counts.values())[1:]
    assert numbers == sorted(numbers, reverse=True)
    assert min(numbers) >= 2


def test_there_are_no_more_than_1024_classes():
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    restorer = Restorer.learn(["gaps"], [_codes(characters + characters[:500] * 2)], 1)
    assert restorer.size == MAX_CLASSES == 1024
    assert {edit.form.character for edit in restorer.edits} >= set(characters[:500])


def test_a_text_that_has_nothing_to_learn_from_says_so():
    with pytest.raises(CorpusError, match=r"restoring case, accents: .* 2 times; give a text"):
        Restorer.learn(["accents", "case"], [_codes("Once"), _codes("nothing")])
    with pytest.raises(CorpusError, match="restoring case: no edit"):
        Restorer.learn(["case"], [])


@pytest.mark.parametrize("kinds", [[], ["case", "cases"], "case", None, 3, [7], [["case"]]])
def test_kinds_that_there_are_not_are_refused(kinds):
    with pytest.raises(UsageError, match=r"`restore`.*case, accents, punctuation"):
        Restorer(kinds, Labels(("nothing",)))


def test_a_tenth_of_the_characters_become_gaps():
    text = "the quick brown fox jumps_" * 4000
    restorer = Restorer.learn(["gaps"], [_codes(text)])
    codes = _codes(text)
    kept, classes = restorer.remove([codes], np.random.default_rng(1))[0]
    missing = (kept == ord("_")) & (codes != ord("_"))
    assert 0.095 < missing.mean() < 0.105
    fills = [restorer.edits[k].form.character for k in classes[1:][missing]]
    assert fills == list(text_of(codes[missing]))
    assert (classes[1:][codes == ord("_")] == -1).all()
    assert (classes[1:][~missing & (codes != ord("_"))] == 0).all()
    edges = np.flatnonzero(np.diff(np.pad(missing.astype(int), 1)))
    runs = np.bincount(edges[1::2] - edges[::2])
    assert (runs[1:5] > 500).all()
    again = restorer.remove([codes], np.random.default_rng(1))[0]
    assert again.kept.tolist() == kept.tolist()
    assert restorer.remove([codes])[0].kept.tolist() == codes.tolist()


@given(st.booleans(), st.text("\u0301\u0323", max_size=2), st.text(max_size=1), st.text(max_size=3))
def test_names_of_edits_are_read_back(upper, marks, character, after):
    edit = Edit(Form(upper, marks, character), after)
    assert Edit.of(edit.name) == edit
    assert edit.name.isascii() and edit.name.isprintable()


@given(st.text(st.sampled_from("U+0A1 nothingafterupper") | st.characters()))
def test_any_text_is_refused_or_the_name_of_an_edit(name):
    try:
        edit = Edit.of(name)
    except CharrnnError:
        return
    assert edit.name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Upper",
        "upper ",
        "uppermarks U+0301",
        "nothing upper",
        "nothing after U+002C",
        "after",
        "after ,",
        "after U+2C",
        "after U+0002C",
        "after U+002c",
        "after U+110000",
        "after U+FFFFFF",
        "after U+002C\n",
        "after U+002C upper",
        "after U+0061",  # nothing that these kinds take out
        "after U+D800",
        "marks U+0061",
        "marks U+0301 U+0301 U+0301",  # nothing has these
        "character U+0061",  # there are no gaps
        "upper character U+000A",
        "nothing\ud83d",
    ],
)
def test_labels_of_strangers_are_refused(name):
    with pytest.raises(CharrnnError):
        Restorer(_ALL[:3], Labels(("nothing", name)))


@pytest.mark.parametrize("name", ["U+005F", "U+D800", "U+DFFF", "U+002C", "U+0061 U+0062"])
def test_what_cannot_fill_a_gap_is_refused(name):
    with pytest.raises(CharrnnError):
        Restorer(["punctuation", "gaps"], Labels(("nothing", f"character {name}")))


@pytest.mark.parametrize("names", [("upper",), ("upper", "nothing")])
def test_the_first_class_is_nothing(names):
    with pytest.raises(CharrnnError, match="first edit must be 'nothing'"):
        Restorer(["case"], Labels(names))


def test_more_classes_than_a_restorer_has_are_refused():
    names = ["nothing", *(f"character U+{code:04X}" for code in range(0x4E00, 0x4E00 + 1024))]
    assert Restorer(["gaps"], Labels(tuple(names[:-1]))).size == 1024
    with pytest.raises(CharrnnError, match="at most 1,023 others"):
        Restorer(["gaps"], Labels(tuple(names)))


def test_a_restorer_is_what_its_kinds_and_labels_say():
    learned = Restorer.learn(_ALL, [_codes("Où ? Là, là ! Ou la ? Là, là !\n" * 3)])
    again = Restorer(list(learned.kinds), Labels(list(learned.labels.names)))
    assert again == learned
    assert again.edits == learned.edits
