"""Disks that fail: what ``charrnn.storage.files`` asks of the system is refused, or lost again."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from dataclasses import dataclass, field

import pytest

from charrnn.storage import files

#: What ``files`` asks for that alters a disk, or makes it last.
ASKED = ("open", "write", "fsync", "close", "replace", "unlink", "ftruncate")

#: How a disk refuses.
ERRORS = (errno.ENOSPC, errno.EIO, errno.EPERM)


class Disk:
    """Stands for ``os`` in ``files``: each write takes a part, and one operation is refused.

    ``operations`` are the names, arguments and results of those that were not. With ``lasting`` all
    that follow the one that is ``refused``, counted from 0, are refused as well.
    """

    def __init__(self, refused=None, error=errno.ENOSPC, *, lasting=False, part=1 << 12):
        self.refused, self.error, self.lasting, self.part = refused, error, lasting, part
        self.asked, self.operations = 0, []

    def __getattr__(self, name):
        function = getattr(os, name)
        return functools.partial(self._do, name, function) if name in ASKED else function

    def _do(self, name, function, *arguments):
        number, self.asked = self.asked, self.asked + 1
        if self.refused is not None and (
            number == self.refused or (self.lasting and number > self.refused)
        ):
            if name == "close":
                function(*arguments)  # Linux closes all the same
            raise OSError(self.error, os.strerror(self.error))
        if name == "write":
            arguments = (arguments[0], arguments[1][: self.part])
        result = function(*arguments)
        kept = tuple(bytes(a) if isinstance(a, memoryview) else a for a in arguments)
        self.operations.append((name, kept, result))
        return result


@contextlib.contextmanager
def on(disk):
    """Let ``files`` write to this disk in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", disk)
        yield disk


def operations_of(work):
    """How many operations ``work`` asks for."""
    with on(Disk()) as disk:
        work()
    return disk.asked


# Power cuts


@dataclass
class _File:
    """A file's bytes, and those of them that last."""

    content: bytearray = field(default_factory=bytearray)
    lasting: bytes = b""

    def after_a_cut(self, chance):
        """What may be found: of what was not synced nothing, a part, or zeros in its place."""
        whole, lasting = bytes(self.content), self.lasting
        size = chance.randint(min(len(lasting), len(whole)), max(len(lasting), len(whole)))
        zeros = lasting[:size] + bytes(max(size - len(lasting), 0))
        return chance.choice([lasting, whole[:size], whole, zeros])


class Remains:
    """What a power cut may leave of a folder, of which the ``before`` files lasted.

    Names of files last when their folder is synced, and bytes when the file is; of changes to
    names that were not, any may be lost.
    """

    def __init__(self, before=None):
        self._names = {}
        for name, content in (before or {}).items():
            self._names[name] = _File(bytearray(content), content)
        self._pending, self._handles = [], {}  # changes of names; a file and a place in it

    def take(self, operation):
        """Go on by an operation of a ``Disk``."""
        name, arguments, result = operation
        getattr(self, f"_{name}")(*arguments, result)

    def save(self, folder, chance):
        """Write into ``folder`` what is found after a cut at this moment."""
        names = dict(self._names)
        for change in self._pending:
            if chance.random() < 0.5:
                change(names)
        for name, file in names.items():
            (folder / name).write_bytes(file.after_a_cut(chance))

    def _now(self):
        names = dict(self._names)
        for change in self._pending:
            change(names)
        return names

    def _open(self, path, flags, *rest):
        handle = rest[-1]
        if os.path.isdir(path):
            self._handles[handle] = None
            return
        name = os.path.basename(path)
        file = self._now().get(name)
        if file is None:
            file = _File()
            self._pending.append(lambda names: names.setdefault(name, file))
        self._handles[handle] = file

    def _write(self, handle, data, written):
        self._handles[handle].content += data[:written]  # all that is written is appended

    def _ftruncate(self, handle, size, _):
        del self._handles[handle].content[size:]

    def _fsync(self, handle, _):
        file = self._handles[handle]
        if file is None:
            self._names, self._pending = self._now(), []
        else:
            file.lasting = bytes(file.content)

    def _close(self, handle, _):
        del self._handles[handle]

    def _replace(self, source, target, _):
        source, target = os.path.basename(source), os.path.basename(target)
        file = self._now()[source]

        def change(names):
            names.pop(source, None)
            names[target] = file

        self._pending.append(change)

    def _unlink(self, path, _):
        self._pending.append(lambda names: names.pop(os.path.basename(path), None))
