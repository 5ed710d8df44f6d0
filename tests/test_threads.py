"""A team of threads does every part once, and hides no error."""

import gc
import threading
import time
import weakref

import pytest

from charrnn.compute import threads as module
from charrnn.compute.threads import Team, share


@pytest.fixture(autouse=True)
def _many_processors(monkeypatch):
    monkeypatch.setattr(module, "available_threads", lambda: 4)


@pytest.mark.parametrize("count", [0, 1, 3, 7, 50])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_shares_are_neighbours_and_make_the_whole(count, parts):
    shares = [share(count, part, parts) for part in range(parts)]
    assert [i for first, last in shares for i in range(first, last)] == list(range(count))
    sizes = [last - first for first, last in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_team_works_on_all_parts_at_the_same_time(threads):
    team, meeting, parts = Team(threads), threading.Barrier(threads), []

    def work(part, count):
        meeting.wait(timeout=10)
        parts.append((part, count))

    for _ in range(2):
        team.run(work)
    assert sorted(parts) == sorted([(part, threads) for part in range(threads)] * 2)


def test_a_team_is_no_larger_than_the_machine():
    assert Team(100).threads == 4
    assert Team(0).threads == 1


@pytest.mark.parametrize("failing", [0, 1, 3])
def test_an_error_of_any_part_reaches_the_caller_once_all_have_finished(failing):
    team, finished = Team(4), []

    def work(part, parts):
        if part == failing:
            raise ArithmeticError(part)
        finished.append(part)

    with pytest.raises(ArithmeticError, match=str(failing)):
        team.run(work)
    assert sorted(finished) == sorted({0, 1, 2, 3} - {failing})
    team.run(lambda part, parts: finished.append(part))
    assert len(finished) == 7


def test_helpers_end_with_their_team():
    """And do not keep what they worked on."""

    class Something:
        def work(self, part, parts):
            pass

    before, team, something = set(threading.enumerate()), Team(4), Something()
    team.run(something.work)
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 3
    reference = weakref.ref(something)
    del team, something
    gc.collect()
    assert reference() is None
    for _ in range(1000):
        if not any(helper.is_alive() for helper in helpers):
            return
        time.sleep(0.01)
    pytest.fail("helpers are still there")


@pytest.mark.parametrize("failing", [0, 2])
def test_others_are_told_of_a_failure_before_they_are_waited_for(failing):
    """They may wait for the part that failed."""
    told = threading.Event()

    def work(part, parts):
        if part == failing:
            raise ArithmeticError(part)
        assert told.wait(timeout=10)

    with pytest.raises(ArithmeticError):
        Team(4).run(work, give_up=told.set)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_phase_begins_when_all_parts_of_the_one_before_have_ended(threads):
    done = []

    def phase(number):
        def work(part, parts):
            if part == 0:
                time.sleep(0.01)  # the others are there long before
            done.append(number)

        return work

    Team(threads).run(*map(phase, range(5)))
    assert done == sorted(done) and len(done) == 5 * threads


@pytest.mark.parametrize("failing", [0, 2])
def test_no_phase_follows_one_that_failed(failing):
    team, done = Team(4), []

    def fail(part, parts):
        if part == failing:
            raise ArithmeticError(part)

    with pytest.raises(ArithmeticError, match=str(failing)):
        team.run(fail, lambda part, parts: done.append(part))
    assert done == []
    team.run(lambda part, parts: done.append(part), lambda part, parts: done.append(part))
    assert len(done) == 8
