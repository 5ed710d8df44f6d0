"""Files from strangers: each is read or refused with one line, in little memory and time."""

import json

import pytest
from subprocesses import TESTS, python

CASES = 12_500

pytestmark = pytest.mark.faults


def test_altered_files_are_read_or_refused(tmp_path):
    """Model files, resume files and compressed texts, of a writer and of a network that reads."""
    printed = python(TESTS / "fuzzing.py", tmp_path, "--cases", CASES)
    told = json.loads(printed)
    assert len(told) == 7
    assert sum(own["read"] + own["refused"] for own in told.values()) == CASES
    for own in told.values():
        assert own["read"] > 1 and own["refused"] > 100
    assert min(own["reasons"] for name, own in told.items() if "rnn" not in name) > 50
