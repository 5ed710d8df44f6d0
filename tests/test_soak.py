"""One model used for a while in all ways at once: each answer is that of a single thread.

``make soak`` does so for SOAK_SECONDS=600.
"""

import os

import pytest
from commands import execute_code
from test_concurrency import FORKED, PRELUDE
from trained import FABLES, live_model, small_trainer

pytestmark = pytest.mark.faults

SECONDS = float(os.environ.get("SOAK_SECONDS", 10))

#: Threads with mixed calls; a child process now and then, which makes some too; signals at any
#: time, whose handler asks as well and may be refused; models that are copied, saved and read anew.
#: At the end as many files and threads are there as at the beginning, and hardly more memory.
SOAK = """
import copy, gc, pickle, resource

FEW = ["short", "adapting", "sample"]
seen, failed, end = {"refused": 0, "answered": 0, "forked": 0, "calls": 0}, [], None

def handler(number, frame):
    try:
        check(["short"])
        seen["answered"] += 1
    except UsageError:
        seen["refused"] += 1

def mixed(seed):
    rng = random.Random(seed)
    while time.monotonic() < end and not failed:
        check([rng.choice([*calls])])
        seen["calls"] += 1
        if rng.random() < 0.05:
            other = rng.choice([copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])(model)
            assert calls["short"](other) == expected["short"]
        if rng.random() < 0.05:
            path = f"{sys.argv[1]}-{seed}"
            model.save(path)
            assert calls["short"](charrnn.load(path, threads=2)) == expected["short"]

def in_child():
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a child that waits for ever
    check(FEW)

def guarded(seed):
    try:
        mixed(seed)
    except BaseException as error:
        failed.append(error)

def round(seconds):
    global end
    end = time.monotonic() + seconds
    started = [threading.Thread(target=guarded, args=(seed,)) for seed in range(4)]
    for thread in started:
        thread.start()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.05)
    while time.monotonic() < end and not failed:
        assert forked(in_child), "a child got another answer, or none"
        seen["forked"] += 1
        try:
            check(FEW)
        except UsageError:  # it was a handler's turn: that was within this call
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    for thread in started:
        thread.join()
    if failed:
        raise failed[0]
    gc.collect()
    time.sleep(0.1)

def kept():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

seconds = float(sys.argv[3])
round(seconds / 4)
before, room = kept(), megabytes()
round(seconds * 3 / 4)
assert kept() == before, (kept(), before)
assert megabytes() < room + 32, (megabytes(), room)
assert min(seen.values()), seen
check(calls)
print(seen)
"""


def test_all_at_once_for_a_while(tmp_path):
    path = tmp_path / "m"
    live_model(small_trainer(layers=2, hidden_size=32)).save(path)
    done = execute_code(PRELUDE + FORKED + SOAK, path, FABLES, SECONDS, timeout=SECONDS * 6 + 120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
