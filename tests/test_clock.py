"""How much of a run has passed, and what does not count."""

import types

import pytest
from samples import plan_of

from charrnn.cli.options import Duration
from charrnn.training import clock as clock_module
from charrnn.training.clock import Extent, duration


def test_the_clock_starts_once_and_stands_still_in_a_pause(monkeypatch):
    now = types.SimpleNamespace(monotonic=lambda: clock)
    monkeypatch.setattr(clock_module, "time", now)
    run, clock = Extent(plan_of(budget=20), 10.0), 100.0
    assert (run.seconds, run.progress(7, run.seconds)) == (0, 0)
    run.start()
    clock = 104.0
    run.start()
    assert (run.seconds, run.progress(7, run.seconds)) == (4, 0.2)
    with run.paused():
        clock = 150.0
    assert run.seconds == 4
    run.before = 10.0
    assert (run.seconds, run.progress(7, run.seconds)) == (14, 0.7)


def test_a_pause_before_the_start_is_none(monkeypatch):
    monkeypatch.setattr(clock_module, "time", types.SimpleNamespace(monotonic=lambda: clock))
    run, clock = Extent(plan_of(), 10.0), 1.0
    with run.paused():
        clock = 5.0
    assert run.seconds == 0


@pytest.mark.parametrize(("given", "steps"), [({"steps": 7}, 7), ({"epochs": 1.5}, 15)])
def test_steps_and_epochs(given, steps):
    run = Extent(plan_of(**given), 10.0)
    assert run.progress(steps, run.seconds) == 1
    assert run.progress(1, run.seconds) == 1 / steps


def test_a_budget_may_end_before_its_time(monkeypatch):
    """Of what has passed of the time and of the passes, the larger share counts."""
    monkeypatch.setattr(clock_module, "time", types.SimpleNamespace(monotonic=lambda: clock))
    run, clock = Extent(plan_of(budget=20, most_epochs=2.5), 10.0), 100.0
    run.start()
    clock = 110.0
    assert [run.progress(step, run.seconds) for step in (5, 20, 25)] == [0.5, 0.8, 1]
    assert Extent(plan_of(budget=20), 10.0).progress(10**9, 0) == 0


def test_epochs_end_with_a_whole_step():
    assert Extent(plan_of(epochs=10), 500.2).progress(5002, 0) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(20, "20s"), (0.5, "0.5s"), (90, "1.5m"), (100, "100s"), (180, "3m"), (3600, "1h"),
     (5400, "1.5h"), (4500, "75m"), (59.99, "59.99s"), (10_000_001.0, "10000001s")],
)  # fmt: skip
def test_times_are_shown_as_users_write_them(seconds, text):
    assert duration(seconds) == text
    assert Duration().convert(text, None, None) == seconds
