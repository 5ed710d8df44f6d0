"""Signals at any time of a run: it stops or ends, nothing is lost, and it goes on as before."""

import signal
import time

import pytest
from commands import assert_one_line_error, start
from runs import (
    ENDLESS,
    SAVE_OFTEN,
    SHAPE,
    TINY,
    assert_same_result,
    corpus_in,
    of_model,
    of_state,
    passed_through,
)
from warm import PATIENCE, server

from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.storage.log import read_log

pytestmark = pytest.mark.faults

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP

#: Makes a step take its time, in which signals come.
SLOW_STEPS = """
import time
from charrnn.training.trainer import Trainer
step = Trainer.train_step
def slow(self):
    if self.step >= 20:
        time.sleep({0})
    return step(self)
Trainer.train_step = slow
"""

#: Makes each save take its time from a step on, and say so.
SLOW_SAVES = f"""
{SAVE_OFTEN}
import os, sys, time
from charrnn.storage import files
class Slow:
    calls = 0
    def __getattr__(self, name):
        return getattr(os, name)
    def fsync(self, handle):
        Slow.calls += 1
        if Slow.calls >= 40:
            print("saving", file=sys.stderr, flush=True)
            time.sleep({{0}})
        os.fsync(handle)
files.os = Slow()
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    command = ("train", corpus_in(folder), "--model", folder / "w.st", *TINY)
    with server(folder, command) as warm:
        yield warm


@pytest.fixture
def corpus(tmp_path):
    return corpus_in(tmp_path)


@pytest.fixture
def whole(tmp_path, corpus):
    """A run that nothing happens to: its model, and the models and states it passes through."""
    model = tmp_path / "whole.st"
    return model, *passed_through(corpus, "--model", model, *TINY)


@pytest.fixture
def model(tmp_path):
    """Where a model is to be written."""
    return tmp_path / "m.st"


def _assert_goes_on(warm, corpus, model, whole):
    """What is left are states of the run, from which it comes to the same end."""
    _, models, states = whole
    assert of_state(load_resume(resume_path(model))) in states
    assert not model.exists() or of_model(load_model(model)) in models
    done = warm.run("train", corpus, "--model", model, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_result(whole[0], model)
    assert not [path.name for path in model.parent.glob(".*")]


def _assert_stopped(process, codes):
    """It ended by itself with one of the codes, said how to go on, and what it saved."""
    assert process.ended() in codes, process.told
    *_, hint, last = process.told.splitlines()
    assert hint.startswith("stopped; to go on: charrnn train ") and last.startswith("saved ")
    assert process.told.count("stopped; ") == 1
    assert "Traceback" not in process.told and "ignored" not in process.told


@pytest.mark.parametrize(
    ("signals", "codes"),
    [
        ([INT], [130]),
        ([TERM], [143]),
        ([HUP], [129]),
        ([INT, TERM], [130, 143]),  # whichever is delivered first
        ([TERM, HUP, INT], [130, 143, 129]),
    ],
    ids=str,
)
def test_a_signal_stops_a_run_after_the_step_at_hand(warm, corpus, model, whole, signals, codes):
    """So do several kinds at once, as when a terminal is closed and a supervisor ends it too."""
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_STEPS.format(0.2))
    process.wait_for("step 20 ")
    process.send(*signals)
    _assert_stopped(process, codes)
    assert 20 < load_resume(resume_path(model)).values["step"] < 30
    # Its last model is that of the step at which it stopped only if that is an improvement.
    done = warm.run("train", corpus, "--model", model, "--resume")
    assert done.returncode == 0
    assert_same_result(whole[0], model)


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_a_second_signal_ends_at_once(warm, corpus, model, whole, number):
    """In the middle of a step."""
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_STEPS.format(30))
    process.wait_for("step 20 ")
    process.send(number)
    time.sleep(0.3)
    begun = time.monotonic()
    process.send(number)
    assert process.ended() == -number
    assert time.monotonic() - begun < 10
    _assert_goes_on(warm, corpus, model, whole)


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143)])
def test_a_signal_in_a_save_lets_it_end(warm, corpus, model, whole, number, code):
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_SAVES.format(0.3))
    process.wait_for("saving")
    process.send(number)
    _assert_stopped(process, [code])
    _assert_goes_on(warm, corpus, model, whole)


@pytest.mark.parametrize("number", [INT, TERM])
def test_a_second_signal_in_a_save_ends_it(warm, corpus, model, whole, number):
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_SAVES.format(30))
    process.wait_for("saving")
    process.send(number)
    time.sleep(0.3)
    process.send(number)
    assert process.ended() == -number
    _assert_goes_on(warm, corpus, model, whole)


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, -TERM)])
def test_a_signal_in_the_last_save(warm, corpus, model, whole, number, code):
    """After the last step, when nothing else is to be finished."""
    slow = SLOW_SAVES.replace("Slow.calls >= 40", "Slow.ends").replace("calls = 0", "ends = False")
    slow = (
        slow.replace("        Slow.calls += 1\n", "")
        + """
from charrnn.training.trainer import Trainer
steps = Trainer.run
def run_to_the_end(self):
    yield from steps(self)
    Slow.ends = True
Trainer.run = run_to_the_end
"""
    )
    process = warm.start("train", corpus, "--model", model, *TINY, first=slow.format(30))
    process.wait_for("saving")
    process.send(number)
    assert process.ended() == code
    assert "Traceback" not in process.told and "Error" not in process.told
    # All steps were made, so that at most the last of them are made again.
    state = load_resume(resume_path(model))
    assert of_state(state) in whole[2]
    done = warm.run("train", corpus, "--model", model, "--resume")
    assert done.returncode in (0, 2)
    assert_same_result(whole[0], model)
    assert number == TERM or not list(model.parent.glob(".*"))


@pytest.mark.parametrize("number", [INT, HUP])
def test_what_is_to_be_ignored_is_ignored(warm, corpus, model, number):
    """As by ``nohup``, and by shells for what runs in the background."""
    ignored = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n"
    first = ignored + SLOW_STEPS.format(0.05)
    process = warm.start("train", corpus, "--model", model, *TINY, first=first)
    process.wait_for("step 20 ")
    process.send(number, number)
    assert process.ended() == 0
    assert "stopped" not in process.told


def _compiling(tmp_path, *command):
    """The command, in the middle of its first kernel."""
    (tmp_path / "cache").mkdir(mode=0o700, exist_ok=True)
    process = start(*command, environment={"CHARRNN_CACHE": tmp_path / "cache"})
    process.until(b"compiling")
    time.sleep(0.3)
    return process


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, -TERM)])
def test_a_signal_while_kernels_are_compiled(tmp_path, corpus, model, number, code):
    """Whether the run has begun or not: it says nothing of what was compiled."""
    with _compiling(tmp_path, "train", corpus, "--model", model, *TINY) as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (code, 128 + number)
    assert b"Traceback" not in told and b"Exception" not in told and b"Error" not in told
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("number", [INT, TERM])
def test_two_signals_while_kernels_are_compiled(tmp_path, corpus, model, number):
    """It ends at once; a run after it compiles what is missing."""
    for _ in range(2):
        with _compiling(tmp_path, "train", corpus, "--model", model, *TINY) as process:
            process.send_signal(number)
            time.sleep(0.1)
            begun = time.monotonic()
            process.send_signal(number)
            _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode in (-number, 128 + number)
        assert time.monotonic() - begun < 20
        assert b"Traceback" not in told


def test_a_stopped_run_counts_the_time_it_stood_still(warm, corpus, model):
    """SIGSTOP and SIGCONT: a budget is of time on the clock, and no step is lost."""
    command = ("train", corpus, "--model", model, *SHAPE, "--budget", "4s")
    begun = time.monotonic()
    process = warm.start(*command, first=SLOW_STEPS.format(0.05))
    process.wait_for("validation ")
    process.send(signal.SIGSTOP)
    time.sleep(5)
    refused = warm.run("train", corpus, "--model", model, "--force", *TINY)
    assert_one_line_error(refused, 1, f"is being trained by process {process.number}")
    process.send(signal.SIGCONT)
    assert process.ended() == 0
    assert time.monotonic() - begun > 5
    state = load_resume(resume_path(model))
    assert state.values["seconds"] >= 5
    assert "saved " in process.told and load_model(model).finite


def test_a_second_run_is_refused_and_the_first_unharmed(warm, corpus, model, whole, tmp_path):
    log = tmp_path / "log"
    command = ("train", corpus, "--model", model, "--log", log)
    process = warm.start(*command, *TINY, first=SLOW_STEPS.format(0.05))
    process.wait_for("step 20 ")
    for options in (["--force"], ["--resume"], []):
        second = warm.run(*command, *options)
        assert_one_line_error(second, 1, f"{model} is being trained by process {process.number}")
    assert process.ended() == 0
    assert_same_result(whole[0], model)
    assert [r["step"] for r in read_log(log)] == [*range(5, 61, 5)]


def test_a_killed_run_leaves_no_lock(warm, corpus, model, whole):
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_STEPS.format(30))
    process.wait_for("step 20 ")
    process.send(signal.SIGKILL)
    assert process.ended() == -signal.SIGKILL
    assert (model.parent / f".{model.name}.lock").exists()
    _assert_goes_on(warm, corpus, model, whole)


def test_a_run_goes_on_only_with_its_own_text_and_shape(warm, corpus, model, whole, tmp_path):
    process = warm.start("train", corpus, "--model", model, *TINY, first=SLOW_STEPS.format(0.2))
    process.wait_for("step 20 ")
    process.send(INT)
    assert process.ended() == 130
    before = [path.read_bytes() for path in (model, resume_path(model))]
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text(encoding="utf-8").upper(), encoding="utf-8")
    go_on = ("--model", model, "--resume")
    for command, words in (
        (("train", other, *go_on), ["corpus (corpus.txt ", "now other.txt "]),
        (("train", corpus, *go_on, "--hidden-size", 9), ["--hidden-size 8 (now 9)"]),
        (("train", corpus, *go_on, "--cell", "gru"), ["--cell lstm (now gru)"]),
        (("train", corpus, *go_on, "--batch-size", 5), ["--batch-size 4 (now 5)"]),
    ):
        assert_one_line_error(warm.run(*command), 2, *words)
    assert [path.read_bytes() for path in (model, resume_path(model))] == before
    assert warm.run("train", corpus, *go_on).returncode == 0
    assert_same_result(whole[0], model)


def test_a_run_whose_terminal_is_gone_is_saved(warm, corpus, model):
    """Nobody reads standard error any more, and then SIGHUP comes."""
    unread = "import os; r, w = os.pipe(); os.dup2(w, 2); os.close(r); os.close(w)"
    process = warm.start("train", corpus, "--model", model, *ENDLESS, first=unread)
    end = time.monotonic() + PATIENCE
    while not model.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send(HUP)
    assert process.ended() == 129
    assert load_resume(resume_path(model)).values["step"] > 0
