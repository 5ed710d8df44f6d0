"""The corpora that belong to the project are what their README says."""

import re
from collections import Counter

import pytest
from subprocesses import ROOT

FOLDER = ROOT / "corpora"
ROWS = dict(re.findall(r"^\| `(\w+)\.txt` \| (.*) \|$", (FOLDER / "README.md").read_text(), re.M))
LISTS = ("dinosaurs", "places", "species")


def _text(name):
    return (FOLDER / f"{name}.txt").read_text(encoding="ascii")


def _words(text):
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


def test_every_corpus_has_a_row():
    assert set(ROWS) == {path.stem for path in FOLDER.glob("*.txt")}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_tells_the_size(name):
    text = _text(name)
    assert f"{len(text):,} characters" in ROWS[name]
    if name in LISTS:
        lengths = [len(line) for line in text.splitlines()]
        assert f"{len(lengths):,}" in ROWS[name]
        assert f"names of {min(lengths)} to {max(lengths)} letters" in ROWS[name]
    else:
        assert f"{len(set(text))} of them distinct" in ROWS[name]
        assert f"{text.count(chr(10)):,} lines, {len(text.split()):,} words" in ROWS[name]


@pytest.mark.parametrize("name", LISTS)
def test_lists_name_each_thing_once_in_order(name):
    lines = _text(name).splitlines()
    assert all(line == line.strip() != "" for line in lines)
    assert lines == sorted(set(lines))


@pytest.mark.parametrize("name", ["tales", "fables"])
def test_pieces_have_titles_and_lines_of_one_width(name):
    text = _text(name)
    pieces = [piece.split("\n\n") for piece in text.rstrip("\n").split("\n\n\n")]
    assert f"{len(pieces)} short" in ROWS[name]
    assert all(len(piece) > 2 and "\n" not in piece[0] for piece in pieces)
    assert len({piece[0] for piece in pieces}) == len(pieces)
    assert max(map(len, text.splitlines())) <= 72


def test_tales_keep_to_few_words_and_do_not_repeat_themselves():
    text = _text("tales")
    words = Counter(_words(text))
    assert len(words) <= 1600
    assert f"{len(words):,} of them different" in ROWS["tales"]
    paragraphs = Counter(p for p in text.split("\n\n") if len(p) > 60)
    assert max(paragraphs.values()) == 1
