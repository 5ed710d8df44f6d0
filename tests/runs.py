"""Tiny runs, and what they pass through: to be compared with what a fault leaves of one."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from commands import invoke
from trained import FABLES, with_biases

from charrnn.cli import run as run_module
from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model, save_resume

SHAPE = ("--layers", 1, "--hidden-size", 8, "--batch-size", 4, "--sequence-length", 8,
        "--warmup-steps", 5, "--threads", 1)  # fmt: skip
TINY = (*SHAPE, "--steps", 60, "--validations", 12)

#: What never ends by itself, and saves often.
ENDLESS = (*SHAPE, "--steps", 10**6, "--validations", 10**5)

#: Python code that makes a run save after every step.
SAVE_OFTEN = "from charrnn.cli import run; run._SAVE_INTERVAL = 0.0"


def corpus_in(folder):
    """A text of some lines."""
    path = folder / "corpus.txt"
    path.write_bytes(FABLES.read_bytes()[:2000])
    return path


def labeller():
    """A model that tells one of two labels, whatever it reads."""
    model = with_biases("abcdefgh\n ", task="label", classes=2)
    training = {"documents": 2, "text": {"task": "label"}}
    return dataclasses.replace(model, training=training, labels=("a", "b"))


def _timeless(values):
    """Values without those that tell of times."""
    if isinstance(values, dict):
        kept = {name: _timeless(own) for name, own in values.items() if name != "seconds"}
        if "points" in kept:  # their last figure is
            kept["points"] = [point[:-1] for point in kept["points"]]
        return kept
    return values


def _digest(tensors, values):
    """What distinguishes two states but for times; values as JSON has them."""
    values = _timeless(json.loads(json.dumps(values)))
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def of_model(model):
    """Its digest, without its history: the end of a run adds to that."""
    return _digest(model.tensors, model.training)


def of_state(state):
    """The digest of all that a resume file holds."""
    return _digest(state.arrays, state.values)


def passed_through(*arguments):
    """The models, and the steps by states, that a run may leave: digests of all after each step."""
    models, states = set(), {}

    def keep_model(path, model):
        models.add(of_model(model))
        save_model(path, model)

    def keep_state(path, state):
        states[of_state(state)] = state.values["step"]
        save_resume(path, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "_SAVE_INTERVAL", 0.0)
        patch.setattr(run_module, "save_model", keep_model)
        patch.setattr(run_module, "save_resume", keep_state)
        assert invoke("train", *arguments).exit_code == 0
    return models, states


def assert_same_result(whole, model):
    """The two runs ended with the same model and the same state, but for times."""
    expected, found = load_model(whole), load_model(model)
    same = ("steps", "validation_loss", "training_loss", "skipped", "corpus")
    assert [found.training[n] for n in same] == [expected.training[n] for n in same]
    states = load_resume(resume_path(whole)).arrays, load_resume(resume_path(model)).arrays
    for one, other in ((expected.tensors, found.tensors), states):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
