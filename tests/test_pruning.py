"""Machine code of versions that nobody uses is removed, and nothing else ever is."""

import fcntl
import os
import time

import pytest
from test_cache import as_root, posix

from charrnn.compute import folders, pruning
from charrnn.compute.pruning import INTERVAL, UNUSED, hold

pytestmark = posix

OWN, OLD, OTHER = "0" * 16, "1" * 16, "2" * 16


def _folder(root, name, age, files=("compute_ab/k.k-1.py311.nbi", "compute_ab/k.k-1.py311.1.nbc")):
    """A folder of some files, last used ``age`` seconds ago."""
    for file in files:
        (root / name / file).parent.mkdir(parents=True, exist_ok=True)
        (root / name / file).write_bytes(b"code")
    os.utime(root / name, (time.time() - age,) * 2)
    return root / name


@pytest.fixture
def root(tmp_path, monkeypatch):
    """What a process finds a day after the last one: OWN, and OLD that nobody uses."""
    monkeypatch.setattr(pruning, "_held", [])
    _folder(tmp_path, OWN, INTERVAL + 60)
    _folder(tmp_path, OLD, UNUSED + 60)
    yield tmp_path
    for handle in pruning._held:
        os.close(handle)


def test_what_nobody_has_used_for_a_month_is_removed_once_a_day(root):
    _folder(root, OTHER, UNUSED - 60)
    assert hold(root / OWN)
    assert {path.name for path in root.iterdir()} == {OWN, OTHER}
    assert time.time() - (root / OWN).stat().st_mtime < 60, "it is not marked as used"
    _folder(root, OLD, UNUSED + 60)
    assert hold(root / OWN) and (root / OLD).is_dir()


def test_remains_of_a_killed_process_are_removed_too(root):
    _folder(root, OLD, UNUSED + 60, ["compute_ab/k.k-1.py311.nbi.tmp.0123456789abcdef"])
    assert hold(root / OWN) and not (root / OLD).exists()


def test_what_a_process_uses_stays(root):
    """However long ago that process has begun, and also while it writes nothing."""
    handle = os.open(root / OLD, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    assert hold(root / OWN) and (root / OLD).is_dir()
    os.close(handle)
    os.utime(root / OWN, (0, 0))
    assert hold(root / OWN) and not (root / OLD).exists()


def test_who_uses_a_folder_is_not_disturbed_by_others_who_do(root):
    assert hold(root / OLD)
    assert hold(root / OLD)


FOREIGN = {
    "a file of its own": lambda path: (path / "notes.txt").write_text("mine"),
    "a file among the code": lambda path: (path / "compute_ab" / "notes.txt").write_text("mine"),
    "a link among the code": lambda path: (path / "k.nbi").symlink_to("/etc/hostname"),
    "a name like others": lambda path: path.rename(path.with_name("photos-of-1999-x")),
    "a longer name": lambda path: path.rename(path.with_name("1" * 17)),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_that_is_not_the_programs_stays(root, make):
    make(root / OLD)
    for path in root.iterdir():
        os.utime(path, (0, 0))
    before = sorted(path for path in root.rglob("*"))
    assert hold(root / OWN)
    assert sorted(path for path in root.rglob("*")) == before


def test_a_link_to_a_folder_stays_and_so_does_what_it_leads_to(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    target = _folder(elsewhere, OTHER, UNUSED + 60)
    (root / OTHER).symlink_to(target)
    assert hold(root / OWN)
    assert (root / OTHER).is_symlink() and len(list(target.rglob("*.nb?"))) == 2


@as_root
def test_a_folder_of_another_user_stays(root):
    os.chown(root / OLD, 12345, -1)
    assert hold(root / OWN) and (root / OLD).is_dir()


def test_a_folder_that_is_removed_while_it_is_taken_is_made_anew(root, monkeypatch):
    """Between its making and the lock, and between its opening and the lock."""
    actual, waits = fcntl.flock, []

    def late(handle, kind):
        if not waits:
            waits.append(handle)
            (root / OWN).rename(root / "gone")
        actual(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not hold(root / OWN) and not hold(root / OWN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(root))
    monkeypatch.setattr(folders, "_in_home", lambda: root / "charrnn")
    waits.clear()
    monkeypatch.setattr(
        fcntl, "flock", lambda *a: waits or waits.append(next((root / "charrnn").iterdir()).rmdir())
    )
    assert folders._held_at_home().is_dir() and waits


def test_only_what_is_in_the_home_folder_is_looked_at(tmp_path, monkeypatch):
    """Others may use what a folder has that is named, and leave no trace of it."""
    monkeypatch.setattr(pruning, "_held", [])
    for variable, root in (("CHARRNN_CACHE", tmp_path), ("XDG_CACHE_HOME", tmp_path / "charrnn")):
        monkeypatch.delenv("CHARRNN_CACHE", raising=False)
        monkeypatch.setenv(variable, str(tmp_path))
        own = folders.find_folders().own
        assert own.parent == root
        for path in (own, _folder(root, OLD, 0)):
            os.utime(path, (0, 0))
        folders.find_folders()
        assert (root / OLD).exists() == (variable == "CHARRNN_CACHE")
    for handle in pruning._held:
        os.close(handle)
