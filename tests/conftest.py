"""How workers of pytest-xdist share the tests, and the processors."""

import os
import signal

import pytest

# Before NumPy is there. The twins' products are small, and NumPy's own threads would only take the
# processors from the workers: with them some tests took nine times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from browsing import running, why_none

from charrnn.cells import CELLS

# What a shell starts in the background ignores these, and so would the programs that are tested.
for number, own in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL),
                    (signal.SIGHUP, signal.SIG_DFL)):  # fmt: skip
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, own)

#: Of these every test takes long and has nothing from its neighbours.
ALONE = ("test_target.py",)

#: One worker runs these, in one browser.
BROWSED = ("test_pages_browser.py",)


#: Cells whose tests `make test` runs; kernels of the others are compiled in `make test-cells`.
COMMON = ("elman-tanh", "jordan-tanh", "lstm-tanh", "gru-tanh", "clockwork-tanh")

#: What else is run by targets of its own.
TARGETS = {"browser", "examples", "faults", "processors", "torch"}


def cell_of(nodeid):
    """The cell that a test is of, if it is of one."""
    return max(("-".join(own) for own in CELLS if "-".join(own) in nodeid), key=len, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of cells that are not common, but for those that have a target already."""
    for item in items:
        if cell_of(item.nodeid) not in (None, *COMMON) and not TARGETS & {*item.keywords}:
            item.add_marker("cells")


def group_of(nodeid):
    """Which tests one worker runs: all of a cell, in whatever file, or all others of a file.

    What one test of a cell has compiled, and one of a file has trained, serves those that follow.
    """
    file = nodeid.partition("::")[0]
    if file.rpartition("/")[2] in BROWSED:
        return "browser"
    alone = file.rpartition("/")[2] in ALONE
    return cell_of(nodeid) or (nodeid if alone else file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A scheduler of pytest-xdist that keeps groups together, the largest first.

    Before them those that are alone: at the end the other worker would wait for them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

        def _assign_work_unit(self, node):
            for scope in [scope for scope in self.workqueue if "::" in scope]:
                self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser, the same for all tests of a session."""
    if reason := why_none():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
