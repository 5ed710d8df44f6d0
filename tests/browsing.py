"""A browser without a window, in which pages are tried."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

#: Debian's packages chromium and chromium-driver, and others' names of them.
_BROWSERS, _DRIVERS = ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)

#: What keeps it to itself, and to what it is asked for.
_OPTIONS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
    "disable-background-networking", "disable-component-update", "disable-sync",
    "disable-dev-shm-usage",
)  # fmt: skip


def _found(names):
    return next((path for path in map(shutil.which, names) if path), None)


def why_none() -> str:
    """Why no page can be tried here; "": one can."""
    if _found(_BROWSERS) and _found(_DRIVERS):
        return ""
    return "needs Chromium and its driver (Debian: apt install chromium chromium-driver)"


@contextmanager
def running(profile: Path):
    """A browser that knows nothing but the folder ``profile``, as selenium drives it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _found(_BROWSERS)
    for name in (*_OPTIONS, f"user-data-dir={profile}"):
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(_found(_DRIVERS)))
    try:
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()
