"""Safetensors files as they come from anyone: a bounded header first, then what it tells of.

The library of that name writes them. It also reads them, but takes headers of 100 MB, keeps the
last of several values by one name, and maps the file into memory: a process dies where another one
cuts the file meanwhile.
"""

from __future__ import annotations

import math
import os
import reprlib
from io import BufferedReader

import numpy as np
from safetensors.numpy import save

from charrnn.storage.metadata import SENSELESS, parse, read_header, read_tensor

#: Bytes of a header, at most. The largest vocabulary takes 1 MiB of it, labels and the names of
#: texts the rest.
MOST_HEADER = 4 << 20

#: Bytes of the number at the beginning: how long the header is.
_LENGTH = 8

#: An element, as a file has it.
_FLOAT = np.dtype("<f4")


def packed(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The bytes of a file. Raises ``ValueError`` for a header that nobody would read."""
    # The serializer ends the process where there is no room for the two copies that it makes.
    np.empty(2 * sum(tensor.nbytes for tensor in tensors.values()), np.uint8)
    data = save(tensors, metadata)
    if (size := int.from_bytes(data[:_LENGTH], "little")) > MOST_HEADER:
        raise ValueError(
            f"its description would take {size:,} bytes, but at most {MOST_HEADER:,} are read: "
            "give fewer or shorter labels and names of texts"
        )
    return data


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
