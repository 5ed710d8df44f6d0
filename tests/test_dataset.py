"""A list with one item a line is recognized, so that a run on it can tell of ``--lines``."""

import inspect
import random
import sysconfig
from pathlib import Path

import pytest
from trained import DINOSAURS, FABLES

from charrnn.text.corpus import read_corpus
from charrnn.text.dataset import looks_like_a_list
from charrnn.text.running import RunningText

NAMES = DINOSAURS.read_text(encoding="utf-8").splitlines()
LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))

#: Pentameter, without a line between its stanzas.
VERSE = [
    "Of Man's first disobedience, and the fruit",
    "Of that forbidden tree whose mortal taste",
    "Brought death into the World, and all our woe,",
    "With loss of Eden, till one greater Man",
] * 30

SPEECHES = "FOX:\nGood morning to you.\n\nCROW:\nAnd to you, my friend.\n\n" * 30


def _looks_like_a_list(tmp_path, text, **reading):
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    corpus = read_corpus([path], **reading)
    return looks_like_a_list(RunningText(corpus.tokens), corpus.vocabulary)


def _titles(words):
    rng = random.Random(1)
    return [" ".join(rng.choices(NAMES, k=rng.randint(*words))) for _ in range(500)]


LISTS = {
    "names": NAMES,
    "letters": list("abcdefghijklmnopqrstuvwxyz") * 2,
    "titles": _titles((1, 3)),
    "Chinese verse": ["寒随穷律变，春逐鸟声开。"] * 100,
    "one long line among them": [*NAMES, "x" * 1000, *NAMES],
}


@pytest.mark.parametrize("lines", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_lists_are_recognized(tmp_path, lines, end):
    assert _looks_like_a_list(tmp_path, end.join(lines) + end)


OTHERS = {
    "fables": FABLES.read_text(encoding="utf-8"),
    "verse": "\n".join(VERSE),
    "speeches": SPEECHES,
    "speeches with DOS line ends": SPEECHES.replace("\n", "\r\n"),
    "one line": "word " * 5000,
    "few lines": "\n".join(NAMES[:40]),
    "records": "\n".join(_titles((3, 6))),
    "Python": inspect.getsource(inspect),
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_other_texts_are_not(tmp_path, text):
    assert not _looks_like_a_list(tmp_path, text)


def test_no_module_of_the_standard_library_is_a_list(tmp_path):
    assert len(LIBRARY) > 100
    for path in random.Random(1).sample(LIBRARY, 30):
        text = path.read_bytes().decode("utf-8", "replace")
        assert not (text and _looks_like_a_list(tmp_path, text)), path


def test_lines_that_are_documents_already_are_no_list(tmp_path):
    assert not _looks_like_a_list(tmp_path, "\n".join(NAMES), lines=True)
