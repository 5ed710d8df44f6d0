"""SIGKILL at any moment: the files can be read, and the run goes on to the same bits."""

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from subprocesses import ROOT, TESTS
from trained import FABLES

from charrnn.cli import run as run_module
from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model, save_resume

pytestmark = pytest.mark.faults

KILLS, STEPS = 40, 240
SHAPE = ("--layers", 1, "--hidden-size", 8, "--batch-size", 4, "--sequence-length", 8,
        "--warmup-steps", 5, "--threads", 1)  # fmt: skip
TINY = (*SHAPE, "--steps", 60, "--validations", 12)
LONGER = (*SHAPE, "--steps", STEPS, "--validations", 60)

#: The exit code of a run that is to go on and has nothing to do.
COMPLETE = 2

#: Runs the command for each line that it reads, in a process of its own that need not load and
#: compile again, and answers with its exit code. The line begins with the seconds after which the
#: process is killed, or 0; one that is to be killed saves after every step.
DRIVER = """
import os, signal, sys, time
from charrnn.cli import run as run_module
from charrnn.cli.main import main
first, *arguments = sys.argv[1:]
main(["train", *arguments, "--model", first], standalone_mode=False)  # loads the kernels
for line in sys.stdin:
    seconds, *more = line.split()
    run_module._SAVE_INTERVAL = 0.0 if float(seconds) else 60.0
    if not (process := os.fork()):
        try:
            main(["train", *arguments, *more])
        except SystemExit as end:
            os._exit(end.code)
    if float(seconds):
        time.sleep(float(seconds))
        os.kill(process, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(FABLES.read_bytes()[:2000])
    return path


@contextlib.contextmanager
def _driver(*arguments):
    """The running DRIVER, when it is ready."""
    command = [sys.executable, "-c", DRIVER, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        yield process
        process.stdin.close()


def _trained(driver, seconds, *arguments):
    """The exit code of a run that is killed after so many seconds, or never (0)."""
    print(seconds, *arguments, file=driver.stdin, flush=True)
    return int(driver.stdout.readline())


def _assert_same_result(whole, model):
    """The two runs ended with the same model and the same state, but for times."""
    expected, found = load_model(whole), load_model(model)
    same = ("steps", "validation_loss", "training_loss", "skipped", "corpus")
    assert [found.training[n] for n in same] == [expected.training[n] for n in same]
    states = load_resume(resume_path(whole)).arrays, load_resume(resume_path(model)).arrays
    for one, other in ((expected.tensors, found.tensors), states):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def _assert_log_is_whole(log, steps):
    """Every record that a run without a break has, once and in order."""
    found = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert found == sorted(set(found))
    assert {*range(10, steps + 1, 10)} <= set(found)


def test_killed_at_any_moment_a_run_goes_on_to_the_same_bits(tmp_path, corpus):
    whole, model, log = (tmp_path / name for name in ("whole.st", "model.st", "log.jsonl"))
    options = ("--model", model, "--log", log)
    chance, reached = random.Random(1), [0]
    with _driver(whole, corpus, *LONGER) as driver:
        for _ in range(KILLS):
            again = ["--resume"] if resume_path(model).exists() else []
            if _trained(driver, chance.uniform(0.001, 0.12), *options, *again) == 0:
                break
            if resume_path(model).exists():
                reached.append(load_resume(resume_path(model)).values["step"])
            if model.exists():
                saved = load_model(model)
                assert saved.finite and saved.training["steps"] <= reached[-1]
        assert reached == sorted(reached) and len(set(reached)) > 5
        assert _trained(driver, 0, *options, "--resume") in (0, COMPLETE)
    _assert_same_result(whole, model)
    _assert_log_is_whole(log, STEPS)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".partial")]


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
    _assert_same_result(whole, model)


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
