"""Files are replaced whole or not at all: whatever is refused, and whenever the power fails."""

import errno
import os
import random
import subprocess
import sys
import threading
import time

import pytest
from commands import Process
from disks import ERRORS, Disk, Remains, on, operations_of
from subprocesses import ROOT

from charrnn.errors import ModelFileError
from charrnn.storage import files
from charrnn.storage.files import Appended, write_atomically

OLD, NEW = b"old" * 5000, b"new" * 6000


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    path = tmp_path / "m.st"
    path.write_bytes(OLD)
    return path


def _others(path):
    return [name for name in os.listdir(path.parent) if name != path.name]


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True])
def test_any_operation_may_be_refused(path, error, lasting):
    count = operations_of(lambda: write_atomically(path, NEW))
    names = []
    for refused in range(count):
        write_atomically(path, OLD)
        assert not _others(path)
        with on(Disk(refused, error, lasting=lasting)) as disk:
            try:
                write_atomically(path, NEW)
            except ModelFileError as refusal:
                assert str(refusal).startswith(f"cannot write {path}: {os.strerror(error)}; ")
                failed = True
            else:
                failed = False
        made = [name for name, *_ in disk.operations]
        assert path.read_bytes() == (NEW if "replace" in made else OLD)
        # What no folder can be opened for lasts as far as the system lets it.
        assert failed or (error == errno.EPERM and refused == count - 3)
        assert lasting or not _others(path)
        names.append(made)
    assert count == 12 and "replace" in names[-1]


def test_an_interruption_leaves_no_temporary_file(path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, NEW)
    assert path.read_bytes() == OLD
    assert not _others(path)


@pytest.mark.parametrize("process", ["{dead}-0123abcd", "0123abcd", "{own}-0123abcd"])
def test_what_a_killed_process_left_is_removed(path, process):
    """Before anything is written, as it takes room; a container gives each its own number again."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    name = process.format(dead=ended.pid, own=os.getpid())
    leftover = path.with_name(f".{path.name}.{name}.partial")
    leftover.touch()
    with on(Disk(1)), pytest.raises(ModelFileError):
        write_atomically(path, NEW)
    assert not _others(path)


def test_what_others_are_writing_stays(path):
    """Another process, another file, and a thread of this process."""
    others = [f".{path.name}.{os.getppid()}-0123abcd.partial", f".x{path.name}.1-ab.partial"]
    for name in others:
        path.with_name(name).touch()
    write_atomically(path, NEW)
    assert sorted(_others(path)) == sorted(others)


def test_threads_may_write_one_file(path, monkeypatch):
    """The one does not take the other's unfinished file for a leftover."""
    real, failures = os.fsync, []
    monkeypatch.setattr(files.os, "fsync", lambda handle: (time.sleep(0.001), real(handle)))

    def write(data):
        try:
            for _ in range(20):
                write_atomically(path, data)
        except ModelFileError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in (OLD, NEW, OLD, NEW)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert path.read_bytes() in (OLD, NEW) and not _others(path)


_WRITE_FOR_EVER = """
import sys
from pathlib import Path
from charrnn.storage.files import write_atomically
while True:
    for data in (b"old" * 5000, b"new" * 6000):
        write_atomically(Path(sys.argv[1]), data)
        print(flush=True)
"""


def test_processes_may_write_one_file(path):
    """And be killed: what they leave goes with the next write."""
    command = [sys.executable, "-c", _WRITE_FOR_EVER, path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    with Process(command, **pipes) as one, Process(command, **pipes) as other:
        for process in (one, other) * 30:
            assert process.stdout.readline() == b"\n", process.stderr.read().decode()
            assert path.read_bytes() in (OLD, NEW)
        one.kill()
        other.kill()
    write_atomically(path, NEW)
    assert not _others(path)


def test_after_a_power_cut_the_old_or_the_new_file_is_there(path, tmp_path):
    with on(Disk()) as disk:
        write_atomically(path, NEW)
        write_atomically(path, OLD)
    remains, chance, found = Remains({path.name: OLD}), random.Random(1), set()
    for number, operation in enumerate(disk.operations):
        remains.take(operation)
        for cut in range(20):
            folder = tmp_path / f"{number}-{cut}"
            folder.mkdir()
            remains.save(folder, chance)
            found.add((number, (folder / path.name).read_bytes()))
    assert {content for _, content in found} == {OLD, NEW}
    # When it returns the new one lasts.
    returned = len(disk.operations) // 2 - 1
    assert [content for number, content in found if number == returned] == [NEW]


def test_what_is_appended_lasts_when_it_is_synced(tmp_path):
    path = tmp_path / "log"
    with on(Disk()) as disk:
        file = Appended(path)
        file.write(b"a\n")
        file.write(b"b\n")
        file.sync()
        file.write(b"c\n")
        file.close()
        file = Appended(path, 2)
        assert file.size == 2
        file.write(b"d\n")
        file.close()
    assert path.read_bytes() == b"a\nd\n"
    synced = [name for name, *_ in disk.operations].index("fsync", 6) + 1
    remains, chance = Remains(), random.Random(1)
    for number, operation in enumerate(disk.operations[: synced + 2], 1):
        remains.take(operation)
        for cut in range(10):
            folder = tmp_path / f"{number}-{cut}"
            folder.mkdir()
            remains.save(folder, chance)
            if number >= synced:
                assert (folder / path.name).read_bytes().startswith(b"a\nb\n")
