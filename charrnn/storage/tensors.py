"""Safetensors files as they come from anyone: a bounded header first, then what it tells of.

The library of that name reads them too, but takes headers of 100 MB, keeps the last of several
values by one name, and maps the file into memory: a process dies where another one cuts the file
meanwhile. To write them it takes three times the memory of the tensors, and where there is less it
ends the process.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
from io import BufferedReader
from typing import Any

import numpy as np

from charrnn.storage.metadata import SENSELESS, parse, read_header, read_tensor

#: Bytes of a header, at most. The largest vocabulary takes 1 MiB of it, labels and the names of
#: texts the rest.
MOST_HEADER = 4 << 20

#: Bytes of the number at the beginning: how long the header is, whose length is a multiple of it.
_LENGTH = 8

#: An element, as a file has it.
_FLOAT = np.dtype("<f4")


def parts(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> list[bytes | memoryview]:
    """What a file with float32 tensors consists of, one after the other; no tensor is copied.

    Raises ``ValueError`` for a header that nobody would read.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    flat, end = [], 0
    for name in sorted(tensors):
        flat.append(np.ascontiguousarray(tensors[name], _FLOAT).reshape(-1).view(np.uint8))
        start, end = end, end + flat[-1].size
        shape = tensors[name].shape
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": (start, end)}
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % _LENGTH)
    if len(said) > MOST_HEADER:
        raise ValueError(
            f"its description would take {len(said):,} bytes, but at most {MOST_HEADER:,} are "
            "read: give fewer or shorter labels and names of texts"
        )
    return [len(said).to_bytes(_LENGTH, "little") + said, *(own.data for own in flat)]


class TensorFile:
    """An open file of which the header was read, and nothing else.

    Raises ``ValueError`` where there is no header, or one that makes no sense.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file, size = file, os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH), "little")
        if not length <= min(MOST_HEADER, size - _LENGTH):
            raise ValueError("its header is larger than it may be, or than the file")
        try:
            self.metadata, self._table = read_header(parse(file.read(length).decode()))
        except SENSELESS as error:
            raise ValueError(f"its header makes no sense: {error}") from error
        self._room = size - _LENGTH - length

    def read(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """The tensors with these names and shapes, float32, one after the other in memory.

        Raises ``ValueError``, and takes no memory, where the file has others, or more or fewer
        bytes than they take.
        """
        places = self._places(shapes)
        flat = np.empty(self._room // _FLOAT.itemsize, _FLOAT)
        if self._file.readinto(flat.data.cast("B")) < self._room:
            raise ValueError("it ended while it was read")
        return {
            name: flat[place.start : place.stop].reshape(shapes[name])
            for name, place in places.items()
        }

    def _places(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, slice]:
        """Where the elements of each tensor lie, from the header on to the end of the file."""
        if self._table.keys() != shapes.keys():
            raise ValueError("its tensors are not those of its configuration")
        places, at = {}, 0
        tensors = {name: read_tensor(self._table[name]) for name in shapes}
        for name in sorted(tensors, key=lambda name: tensors[name][-1]):
            kind, shape, place = tensors[name]
            if (kind, shape) != ("F32", shapes[name]):
                expected = f"its configuration says F32 {list(shapes[name])}"
                raise ValueError(f"{name} is {kind[:9]} {reprlib.repr(list(shape))}, {expected}")
            end = at + math.prod(shape)
            if place != (at * _FLOAT.itemsize, end * _FLOAT.itemsize):
                raise ValueError(f"{name} does not lie right behind the tensor before it")
            places[name], at = slice(at, end), end
        if at * _FLOAT.itemsize != self._room:
            raise ValueError("it has more or fewer bytes than its tensors")
        return places
