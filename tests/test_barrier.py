"""Threads of a crew meet: nobody goes on before all are there, and nobody waits for the lost."""

import numpy as np
import pytest

from charrnn.compute import threads as module
from charrnn.compute.barrier import abandon, create_barrier, meet
from charrnn.compute.cache import kernel
from charrnn.compute.threads import Team


@kernel
def _take_turns(barrier, counts, part, parts, turns):
    """Count turns; return how often another thread was found behind after a meeting."""
    late = 0
    for turn in range(turns):
        counts[part * 16] = turn + 1
        if not meet(barrier, parts):
            return -1
        for other in range(parts):
            late += counts[other * 16] < turn + 1
        meet(barrier, parts)
    return late


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_nobody_goes_on_before_all_are_there(threads, monkeypatch):
    """With more threads than processors too: then they give their processors to one another."""
    monkeypatch.setattr(module, "available_threads", lambda: threads)
    barrier, counts = create_barrier(), np.zeros(16 * threads, np.int64)
    late = {}

    def work(part, parts):
        late[part] = _take_turns(barrier, counts, part, parts, 2000)

    Team(threads).run(work)
    assert late == dict.fromkeys(range(threads), 0)


def test_who_waits_for_a_failed_thread_is_let_go(monkeypatch):
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    barrier, counts = create_barrier(), np.zeros(32, np.int64)
    results = []

    def work(part, parts):
        if part == 1:
            raise ArithmeticError
        results.append(_take_turns(barrier, counts, part, parts, 10))

    with pytest.raises(ArithmeticError):
        Team(2).run(work, give_up=lambda: abandon(barrier))
    assert results == [-1]
