"""SIGKILL at any moment: the files can be read, and the run goes on to the same bits."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from commands import Process, assert_one_line_error, invoke
from disks import ASKED
from runs import (
    SAVE_OFTEN,
    SHAPE,
    TINY,
    assert_same_result,
    corpus_in,
    of_model,
    of_state,
    passed_through,
)
from subprocesses import ROOT
from trained import FABLES, with_biases
from warm import server

from charrnn.cli import run as run_module
from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model, save_resume

pytestmark = pytest.mark.faults

KILLS, STEPS = 200, 120
LONGER = (*SHAPE, "--steps", STEPS, "--validations", 30)

#: The exit code of a run that is to go on and has nothing to do.
COMPLETE = 2

#: Makes it save after every step too, and die at an operation on its files.
DIE_AT = f"""{SAVE_OFTEN}
import os, signal
from charrnn.storage import files
class Dying:
    left = %d
    def __getattr__(self, name):
        if name in {ASKED}:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(os, name)
files.os = Dying()
"""


@pytest.fixture
def corpus(tmp_path):
    return corpus_in(tmp_path)


def _assert_log_is_whole(log, steps):
    """Every record that a run without a break has, once and in order."""
    found = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert found == sorted(set(found))
    assert {*range(10, steps + 1, 10)} <= set(found)


def _killed(warm, chance, *arguments):
    """The exit code of a run that is killed: at any moment, or half of the time in a save."""
    if chance.random() < 0.5:
        return warm.start(*arguments, first=DIE_AT % chance.randint(1, 120)).ended()
    process = warm.start(*arguments, first=SAVE_OFTEN)
    time.sleep(chance.uniform(0.001, 0.2))
    process.send(signal.SIGKILL)
    return process.ended()


def test_killed_at_any_moment_a_run_goes_on_to_the_same_bits(tmp_path, corpus):
    """What is left of each kill is a state that the run passed through."""
    whole, model, log = (tmp_path / name for name in ("whole.st", "model.st", "log.jsonl"))
    models, states = passed_through(corpus, "--model", whole, *LONGER)
    assert len(states) >= STEPS
    command = ("train", corpus, "--model", model, "--log", log)
    chance, reached, kills = random.Random(1), [0], 0
    with server(tmp_path, ("train", corpus, "--model", tmp_path / "warm.st", *TINY)) as warm:
        while kills < KILLS or reached[-1]:
            again = ["--resume"] if resume_path(model).exists() else [*LONGER]
            if kills < KILLS:
                code = _killed(warm, chance, *command, *again)
            else:
                code = warm.start(*command, *again).ended()
            kills += code == -signal.SIGKILL
            if resume_path(model).exists():
                reached.append(states[of_state(load_resume(resume_path(model)))])
            if model.exists():
                assert of_model(load_model(model)) in models
                assert load_model(model).training["steps"] <= reached[-1]
            if code != -signal.SIGKILL:
                assert code in (0, COMPLETE)
                assert reached == sorted(reached) and len(set(reached)) > 5
                assert_same_result(whole, model)
                _assert_log_is_whole(log, STEPS)
                assert not [name for name in os.listdir(tmp_path) if name.endswith(".partial")]
                model.unlink()
                resume_path(model).unlink()
                reached = [0]


_SAVE_FOR_EVER = """
import sys
from charrnn.storage.checkpoint import load_model, save_model
models = [load_model(path) for path in sys.argv[2:]]
while True:
    for model in models:
        save_model(sys.argv[1], model)
        print(flush=True)
"""


def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_file(tmp_path):
    """The one or the other of two models that are saved in turn."""
    path = tmp_path / "model.st"
    models = [with_biases("ab", hidden_size=200, biases=[(3, bias)]) for bias in (0.0, 2.0)]
    sources = [path.with_name(f"{number}.safetensors") for number in (0, 1)]
    for source, model in zip(sources, models, strict=True):
        save_model(source, model)
    chance = random.Random(1)
    for _ in range(10):
        with Process(
            [sys.executable, "-c", _SAVE_FOR_EVER, path, *sources],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as process:
            process.stdout.readline()
            # A save takes some milliseconds, most of them in fsync.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.02))
            process.kill()
        assert of_model(load_model(path)) in map(of_model, models)


def _die_at(monkeypatch, name, call):
    """Let the process be interrupted as it calls a function of the module ``run``, the nth time."""
    function, calls = getattr(run_module, name), iter(range(1, 10**6))

    def dying(*arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        function(*arguments)

    monkeypatch.setattr(run_module, name, dying)


@pytest.mark.parametrize("name", ["save_model", "save_resume"])
@pytest.mark.parametrize("call", [2, 3, 5])
def test_killed_between_the_two_files(tmp_path, corpus, monkeypatch, name, call):
    whole, model = tmp_path / "whole.st", tmp_path / "model.st"
    assert invoke("train", corpus, "--model", whole, *TINY).exit_code == 0
    with monkeypatch.context() as patch:
        _die_at(patch, name, call)
        assert invoke("train", corpus, "--model", model, *TINY).exit_code == 130
    assert invoke("train", corpus, "--model", model, "--resume").exit_code == 0
    assert_same_result(whole, model)


def test_a_run_killed_early_does_not_take_the_model_it_replaces_for_its_own(
    tmp_path, corpus, monkeypatch
):
    model = tmp_path / "model.st"
    assert invoke("train", FABLES, "--model", model, *TINY, "--layers", 2).exit_code == 0
    before = model.read_bytes()
    with monkeypatch.context() as patch:
        _die_at(patch, "save_resume", 2)
        assert invoke("train", corpus, "--model", model, *TINY, "--force").exit_code == 130
    assert model.read_bytes() == before
    assert invoke("train", corpus, "--model", model, "--resume").exit_code == 0
    assert load_model(model).config.layers == 1


def test_a_run_goes_on_without_its_model_but_not_over_another(tmp_path, corpus):
    """It is killed a few steps after its best model."""
    model, copy = tmp_path / "model.st", tmp_path / "copy.st"
    assert invoke("train", corpus, "--model", model, *TINY).exit_code == 0
    state = load_resume(resume_path(model))
    state.values["step"] += 1
    save_resume(resume_path(model), state)
    go_on = ("train", corpus, "--model", model, "--resume")
    saved = load_model(model)
    save_model(model, dataclasses.replace(saved, training=saved.training | {"steps": 7}))
    other = model.read_bytes()
    assert_one_line_error(invoke(*go_on), 1, model, f"step {saved.training['steps']}")
    assert model.read_bytes() == other
    model.rename(copy)
    assert invoke(*go_on, "--steps", 80).exit_code == 0
    assert load_model(model).training["steps"] > 60
