"""One model in several threads, in child processes, in signal handlers, pickled and copied.

What could wait for ever runs in a process of its own, which is ended after a while.
"""

import copy
import pickle
import threading
import time
import types

import numpy as np
import pytest
from commands import execute_code
from samples import assert_same_bits
from test_bfloat16 import needs_bfloat16
from trained import FABLES, live_model, small_trainer

from charrnn.compute import threads as module
from charrnn.compute import turns as turns_module
from charrnn.compute.threads import Team
from charrnn.compute.turns import Turns
from charrnn.errors import UsageError
from charrnn.inference.language_model import load

pytestmark = pytest.mark.faults

#: What every script begins with: a model that computes on four threads, however many processors
#: there are, and calls with what a single thread gets from them.
PRELUDE = """
import itertools, os, random, signal, sys, threading, time
sys.setswitchinterval(1e-4)
from pathlib import Path

import charrnn
from charrnn.compute import threads
from charrnn.config import TrainingConfig
from charrnn.errors import UsageError
from charrnn.inference.language_model import LanguageModel, averaged_model
from charrnn.network.network import Network

threads.available_threads = lambda: 4
text = Path(sys.argv[2]).read_text(encoding="utf-8")
model = charrnn.load(sys.argv[1], threads=4)
assert model.network.team.threads == 4

calls = {
    "short": lambda m: m.evaluate(text[100:140]),
    "long": lambda m: m.evaluate(text[:2000]),
    "lanes": lambda m: m.evaluate(text[:9000]),
    "adapting": lambda m: m.evaluate(text[500:800], adapt=True),
    "sample": lambda m: m.sample(150, seed=1),
    "texts": lambda m: list(m.texts(80, count=6, seed=2)),
}
expected = {name: call(model) for name, call in calls.items()}

def trainer():
    options = TrainingConfig(steps=12, batch_size=8, sequence_length=16, validations=3,
                             precision="float32", threads=4)
    return charrnn.create_trainer([sys.argv[2]], training=options, layers=2, hidden_size=32)

def live_model(t):
    return LanguageModel(t.network, t.vocabulary, t.origin)

def check(names):
    for name in names:
        assert calls[name](model) == expected[name], name

def in_threads(*works):
    failed = []
    def run(work):
        try:
            work()
        except BaseException as error:
            failed.append(error)
    started = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failed:
        raise failed[0]
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A model with random weights: what one call leaves behind would show in another."""
    path = tmp_path_factory.mktemp("concurrency") / "m"
    live_model(small_trainer(layers=2, hidden_size=32)).save(path)
    return path


@pytest.fixture
def run(path):
    def run_script(script):
        done = execute_code(PRELUDE + script, path, FABLES)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    return run_script


# Threads


def test_every_thread_gets_what_it_would_get_alone(run):
    run("""
def work(seed):
    names = [*calls] * 2
    random.Random(seed).shuffle(names)
    check(names)

in_threads(*(lambda seed=seed: work(seed) for seed in range(4)))
""")


def test_a_text_that_nobody_reads_on_keeps_nobody_waiting(run):
    """One is left after its first piece, another read to its end in the meantime."""
    run("""
left, read = model.texts(300, seed=1), model.texts(300, seed=1)
next(left), next(left)
whole = "".join(itertools.chain([next(read), next(read)]))
in_threads(lambda: check(calls))
whole += "".join(read)
assert whole == model.sample(300, seed=1) + "\\n"
""")


def test_a_run_and_calls_on_its_model_do_not_disturb_each_other(run):
    """Whoever asks in between gets the answer of the model after some step, not within one."""
    run("""
def captured(t):
    state = t.capture()
    arrays = [array.tobytes() for array in state.arrays.values()]
    return [state.values[name] for name in ("step", "position", "updates", "rng")] + arrays

questions = [lambda t: live_model(t).evaluate(text[:300]),
             lambda t: live_model(t).sample(70, seed=1),
             lambda t: live_model(t).evaluate(text[:200], adapt=True), captured,
             lambda t: averaged_model(t).evaluate(text[:300])]
alone = trainer()
answers = [[ask(alone) for ask in questions]]
records = []
for record in alone.run():
    records.append((record.loss, record.validation_loss))
    answers.append([ask(alone) for ask in questions])

for _ in range(2):
    other, found, asked = trainer(), [], 0

    def train():
        found.extend((record.loss, record.validation_loss) for record in other.run())

    def ask():
        global asked
        while len(found) < len(records):
            for ask, possible in zip(questions, zip(*answers)):
                assert ask(other) in possible
            asked += 1

    in_threads(train, ask, ask)
    assert found == records and asked
""")


def test_crews_do_not_take_each_others_threads(monkeypatch):
    """A team works for one caller at a time; its parts wait for one another."""
    monkeypatch.setattr(module, "available_threads", lambda: 4)
    team, at_work, seen = Team(4), set(), []

    def runs(caller):
        def work(part, parts):
            at_work.add(caller)
            meeting.wait(timeout=10)
            seen.append(set(at_work))
            meeting.wait(timeout=10)
            at_work.discard(caller)

        for _ in range(10):
            meeting = threading.Barrier(4)
            team.run(work)

    callers = [threading.Thread(target=runs, args=(caller,)) for caller in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(seen, key=min) == [{caller} for caller in range(3) for _ in range(40)]


def test_who_has_had_a_turn_steps_back_where_others_wait(monkeypatch):
    """At once in line again, it would go before them."""
    turns, steps_back = Turns(), []
    monkeypatch.setattr(turns_module, "time", types.SimpleNamespace(sleep=steps_back.append))

    def wait():
        with turns.take():
            pass

    thread = threading.Thread(target=wait)
    with turns.take():
        thread.start()
        while len(turns._inside) < 2:
            time.sleep(0.001)
    assert len(steps_back) == 1 and steps_back[0] > 0
    thread.join()
    with turns.take():
        pass
    assert len(steps_back) == 1


def test_a_signal_handler_within_a_fork_is_refused():
    """It would wait for a thread that waits for the fork to be over."""
    turns = Turns()
    turns_module._hold_still()
    with pytest.raises(UsageError, match="signal handler"), turns.take():
        pass
    turns_module._go_on()
    with turns.take():
        pass


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_handler_within_a_teams_work_is_refused(threads, monkeypatch):
    """Who has the model's turn may be waiting for the team's."""
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    turns, refused = Turns(), []

    def work(part, parts):
        if not part:
            with pytest.raises(UsageError, match="signal handler"), turns.take():
                pass
            refused.append(part)

    Team(threads).run(work)
    assert refused == [0]
    with turns.take():
        pass


# Child processes

FORKED = """
def forked(work):
    \"\"\"Do it in a child process; True if it ends well, and in time.\"\"\"
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
"""


def test_a_child_uses_the_model_of_its_parent(run):
    """And so does its own child; the parent goes on."""
    run(f"""{FORKED}
def grown():
    check(calls)
    assert forked(lambda: check(calls))

assert forked(grown)
check(calls)
""")


@pytest.mark.parametrize("busy", ["lanes", "adapting", "texts", "training"])
def test_a_child_uses_a_model_that_is_in_use_when_it_is_made(run, busy):
    run(f"""{FORKED}
other, done, pack = trainer(), False, Network.pack

def slow_pack(network):
    time.sleep(0.01)  # long enough for a fork to come between
    pack(network)

Network.pack = slow_pack

def work():
    while not done:
        calls["{busy}"](model) if "{busy}" in calls else other.train_step()

def use():
    check(["short", "adapting", "sample"])
    answer = live_model(other).evaluate(text[:300])
    pack(other.network)
    assert live_model(other).evaluate(text[:300]) == answer

def fork():
    global done
    try:
        for pause in range(4):
            time.sleep(0.003 * pause)
            assert forked(use)
    finally:
        done = True

in_threads(work, fork)
""")


def test_a_fork_waits_for_a_compilation(run):
    """Nobody would let go of Numba's lock in the child."""
    run(f"""{FORKED}
from charrnn.compute.cache import kernel

@kernel
def slow(x):
    return {" + ".join(f"x * x ** {n}" for n in range(300))}

@kernel
def quick(x):
    return x + 1

thread = threading.Thread(target=slow, args=(1.5,))
thread.start()
while not slow.called.is_compiling:
    time.sleep(0)
assert forked(lambda: quick(1))
thread.join()
""")


def test_a_pool_of_processes_evaluates_texts(run):
    run("""
import multiprocessing

if __name__ == "__main__":
    texts = [text[:500], text[500:700], text[700:2000]]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(model.evaluate, texts).get(timeout=60)
    assert found == [model.evaluate(text) for text in texts]
""")


# Signal handlers


@pytest.mark.parametrize("call", ["lanes", "adapting"])
def test_a_signal_handler_is_refused_the_model_that_it_interrupts(run, call):
    run(f"""
import copy, pickle
refused, copy_path = [], Path(sys.argv[1] + "-copy")

def handler(number, frame):
    for attempt in (lambda: model.evaluate("a"), lambda: model.evaluate("a", adapt=True),
                    lambda: model.sample(10), lambda: next(model.texts(10, count=2)),
                    lambda: model.save(copy_path), lambda: pickle.dumps(model),
                    lambda: copy.deepcopy(model)):
        try:
            attempt()
        except UsageError as error:
            refused.append(str(error))
        else:
            refused.append("not refused")

signal.signal(signal.SIGALRM, handler)
actual = model.network.losses
def losses(*arguments):
    os.kill(os.getpid(), signal.SIGALRM)
    return actual(*arguments)
model.network.losses = losses
with_values = model.network.with_values
def copied(values):
    os.kill(os.getpid(), signal.SIGALRM)
    return with_values(values)
model.network.with_values = copied
check(["{call}"])
assert refused and not copy_path.exists()
assert all("signal handler" in message for message in refused), refused
del model.network.losses, model.network.with_values
check(calls)
""")


def test_a_signal_handler_gets_an_error_or_the_right_answer_at_any_moment(run):
    """And so does what it interrupts."""
    run("""
seen = set()

def handler(number, frame):
    try:
        check(["short"])
        seen.add("answered")
    except UsageError:
        seen.add("refused")

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for _ in range(3):
    check(calls)
signal.setitimer(signal.ITIMER_REAL, 0)
assert "refused" in seen
check(calls)
""")


def test_a_call_that_a_signal_handler_breaks_off_leaves_the_model_as_it_was(run):
    run("""
class BrokenOff(Exception):
    pass

def handler(number, frame):
    raise BrokenOff

signal.signal(signal.SIGALRM, handler)
broken = 0
for turn, name in enumerate([*calls] * 5):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 * (1 + turn % 11))
        calls[name](model)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except BrokenOff:
        broken += 1
    check(["short", "sample"])
assert broken
in_threads(lambda: check(calls))
""")


def test_a_signal_handler_waits_for_another_thread(run):
    """Unless it interrupts a call that waits as well."""
    run("""
begun, answers = threading.Event(), []

def handler(number, frame):
    try:
        answers.append(calls["short"](model))
    except UsageError:
        answers.append("refused")

def work():
    begun.set()
    check(["lanes"] * 20)

signal.signal(signal.SIGALRM, handler)
thread = threading.Thread(target=work)
thread.start()
begun.wait()
os.kill(os.getpid(), signal.SIGALRM)
with model.network.turns.take():
    os.kill(os.getpid(), signal.SIGALRM)
thread.join()
assert answers == [expected["short"], "refused"]
""")


# Copies

COPIES = [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy, copy.copy]


def _answers(model):
    text = FABLES.read_text(encoding="utf-8")[:500]
    losses = [model.evaluate(text, adapt=adapt) for adapt in (False, True)]
    return losses, model.sample(100, seed=1), list(model.texts(30, count=3, seed=1))


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy", "copy"])
@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_copy_gives_the_same_answers(path, copied, threads):
    model = load(path, threads=threads)
    other = copied(model)
    assert other.network is not model.network
    assert other.network.options == model.network.options
    assert other.network.team.threads == model.network.team.threads
    assert (other.vocabulary, other.training) == (model.vocabulary, model.training)
    assert _answers(other) == _answers(model)
    assert len(pickle.dumps(model)) < 1.1 * path.stat().st_size


@needs_bfloat16
def test_a_copy_keeps_its_precision(path):
    model = load(path, precision="bfloat16")
    other = pickle.loads(pickle.dumps(model))
    assert other.network.panels == model.network.panels != np.float32
    assert _answers(other) == _answers(model) != _answers(load(path))


def test_a_copy_of_a_model_in_training_does_not_learn_with_it():
    trainer = small_trainer(steps=3)
    before, other = trainer.network.values.copy(), copy.deepcopy(live_model(trainer))
    for _ in trainer.run():
        pass
    assert_same_bits(other.network.values, before)
    assert (trainer.network.values != before).any()
