"""Files and texts from strangers: read, or refused with one line, in bounded memory and time."""

import json

import pytest
from subprocesses import TESTS, python

CASES, TEXTS = 12_500, 600

pytestmark = pytest.mark.faults


def test_altered_files_are_read_or_refused(tmp_path):
    """Model files, resume files and compressed texts, of networks of three tasks."""
    printed = python(TESTS / "fuzzing.py", tmp_path, "--cases", CASES)
    told = json.loads(printed)
    assert len(told) == 9
    assert sum(own["read"] + own["refused"] for own in told.values()) == CASES
    for own in told.values():
        assert own["read"] > 1 and own["refused"] > 100
    assert min(own["reasons"] for name, own in told.items() if "rnn" not in name) > 50


def test_hostile_texts_are_read_or_refused(tmp_path):
    """Through every command that reads any, from files and from standard input."""
    few = ("--cases", TEXTS, "--most", 1, "--size", 500_000)
    printed = python(TESTS / "fuzzing_texts.py", tmp_path, *few)
    told = json.loads(printed)
    assert sum(own["done"] + own["refused"] for own in told.values()) == TEXTS
    never = {name for name, own in told.items() if not own["done"]}
    assert never >= {"info", "plot", "decompress"}, "no text is a model, a log or a code"
    assert len(never) < len(told) // 4, never
    assert sum(own["reasons"] for own in told.values()) > 150
