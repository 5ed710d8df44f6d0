"""How workers of pytest-xdist share the tests."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let one worker run all tests of a cell, in whatever file, or all others of a file.

    What one test of a cell has compiled, and one of a file has trained, serves those that follow.
    """
    for item in items:
        values = item.callspec.params if hasattr(item, "callspec") else {}
        group = "-".join(values["cell"]) if "cell" in values else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
