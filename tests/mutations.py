"""Files as a stranger may send them: sound ones, altered where their structure is."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from charrnn.inference import compression
from charrnn.storage.checkpoint import checksum_of
from charrnn.storage.tensors import MOST_HEADER

NUMBERS = (0, 1, -1, 2, 4, 7, 255, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 10**30,
           10**400, 1.0, 1.5, 1e308, float("nan"), float("inf"), float("-inf"))  # fmt: skip
VALUES = (*NUMBERS, None, True, False, "", "x\n\0\x1b[31m", "\ud800", "x" * 5000, [], [[]], {},
          {"a": 1}, [1, "a"])  # fmt: skip
TYPES = ("F64", "F16", "BF16", "I32", "U8", "BOOL", "f32", "F32 ", "x" * 5000, "\ud800", None, 3)

Alteration = Callable[[Any, random.Random], None]


# What both kinds have in common: bytes


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    del data[at : at + rng.randrange(1, 9)]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.choice([rng.randbytes(rng.randrange(1, 9)), bytes(8), b'"', b"[" * 1000])


def _repeat(data: bytearray, rng: random.Random) -> None:
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    data[last:last] = data[first:last]


BYTES = (_flip, _cut, _remove, _insert, _repeat)


# Safetensors files


@dataclasses.dataclass
class _Tensors:
    """A safetensors file in parts. What stands ``twice`` is said once more, before the rest."""

    header: dict[str, Any]
    payload: bytearray
    length: int | None = None  # what the file says of it; None: what is true
    twice: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> _Tensors:
        end = 8 + int.from_bytes(data[:8], "little")
        return cls(json.loads(data[8:end]), bytearray(data[end:]))

    @property
    def said(self) -> dict[str, Any]:
        return self.header.setdefault("__metadata__", {})

    def tensor(self, rng: random.Random) -> dict[str, Any]:
        """What the header says of one of them."""
        names = [name for name in self.header if name != "__metadata__"]
        return self.header[rng.choice(names)] if names else {}

    def seal(self) -> None:
        """Let the checksum be that of what is there, so that more than it is looked at."""
        tensors = {}
        for name, entry in self.header.items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                tensors[name] = np.frombuffer(self.payload[first:last], np.uint8)
        text = self.said.get("values", "")
        self.said["checksum"] = checksum_of(tensors, text)

    def packed(self) -> bytes:
        text = json.dumps(self.header)
        if self.twice:
            text = json.dumps(self.twice)[:-1] + ", " + text[1:]
        text = text.replace('"<deep>"', "[" * 500 + "]" * 500)
        header = text.encode()
        length = len(header) if self.length is None else self.length
        return length.to_bytes(8, "little") + header + bytes(self.payload)


def _length(file: _Tensors, rng: random.Random) -> None:
    true = len(json.dumps(file.header))
    whole = [n for n in NUMBERS if type(n) is int and 0 <= n < 2**64]
    whole += [true - 1, true + 1, true + len(file.payload), true + len(file.payload) + 1]
    file.length = rng.choice([*whole, MOST_HEADER, MOST_HEADER + 1])


def _type(file: _Tensors, rng: random.Random) -> None:
    file.tensor(rng)["dtype"] = rng.choice(TYPES)


def _shape(file: _Tensors, rng: random.Random) -> None:
    entry = file.tensor(rng)
    shape = list(entry.get("shape", [1]))
    number = rng.choice(NUMBERS)
    entry["shape"] = rng.choice([shape[::-1], [*shape, 1], [1, *shape], shape[:-1], [0],
                                 [*shape[:-1], number], [number, *shape[1:]],
                                 [2**32, 2**32], rng.choice(VALUES)])  # fmt: skip


def _place(file: _Tensors, rng: random.Random) -> None:
    entry, other = file.tensor(rng), file.tensor(rng)
    first, last = entry.get("data_offsets", [0, 4])
    moved = rng.choice([1, -1, 4, -4, len(file.payload)])
    number = rng.choice(NUMBERS)
    entry["data_offsets"] = rng.choice([[first + moved, last + moved], [first, last + moved],
                                        [first + moved, last], [last, first], [first, number],
                                        [number, last], [first, last, 0], [first],
                                        other.get("data_offsets"), rng.choice(VALUES)])  # fmt: skip


def _exchange(file: _Tensors, rng: random.Random) -> None:
    """Two tensors in one another's place: sound, where they are of one size."""
    entry, other = file.tensor(rng), file.tensor(rng)
    if entry and other:
        places = other["data_offsets"], entry["data_offsets"]
        entry["data_offsets"], other["data_offsets"] = places


def _key(file: _Tensors, rng: random.Random) -> None:
    """A key that is missing, is called otherwise, or is there too much: of a tensor, or of all."""
    place = rng.choice([file.header, file.said, file.tensor(rng)])
    if not isinstance(place, dict) or not place:
        return
    name = rng.choice(list(place))
    value = place[name] if rng.random() < 0.5 else place.pop(name)
    if rng.random() < 0.5:
        place[rng.choice([f"{name}s", name.upper(), "", "\ud800"])] = value


def _twice(file: _Tensors, rng: random.Random) -> None:
    name = rng.choice(list(file.header))
    file.twice[name] = rng.choice([file.header[name], rng.choice(VALUES)])


def _value(file: _Tensors, rng: random.Random) -> None:
    """Anything in the place of a value of the header, at any depth."""
    *_, (place, name) = _way(file.header, rng)
    place[name] = rng.choice([*VALUES, "<deep>"])


def _description(file: _Tensors, rng: random.Random) -> None:
    """Anything in the place of a value of the metadata's own JSON, or that twice."""
    name = rng.choice([name for name in file.said if isinstance(file.said[name], str)])
    try:
        values = json.loads(file.said[name])
    except ValueError:
        return
    whole = {"": values}
    *_, (place, key) = _way(whole, rng)
    if isinstance(place, dict) and rng.random() < 0.3:
        if rng.random() < 0.5:
            place["<twice>"] = place[key]
        elif key:
            del place[key]
    else:
        place[key] = rng.choice([*VALUES, "<deep>"])
    text = json.dumps(whole.get(""))
    if isinstance(key, str):
        text = text.replace('"<twice>"', json.dumps(key))
    file.said[name] = text.replace('"<deep>"', "[" * 500 + "]" * 500)


def _way(values: Any, rng: random.Random) -> Iterator[tuple[Any, Any]]:
    """From the outermost value inwards: what holds the next one, and by which key or index."""
    while isinstance(values, (dict, list)) and values:
        key = rng.choice(list(values)) if isinstance(values, dict) else rng.randrange(len(values))
        yield values, key
        values = values[key]
        if rng.random() < 0.2:
            return


def _payload(file: _Tensors, rng: random.Random) -> None:
    rng.choice(BYTES)(file.payload, rng)


def _weight(file: _Tensors, rng: random.Random) -> None:
    if len(file.payload) >= 4:
        at = 4 * rng.randrange(len(file.payload) // 4)
        number = rng.choice([float("nan"), float("inf"), float("-inf"), 3e38, 1e-45, -0.0])
        file.payload[at : at + 4] = struct.pack("<f", number)


TENSORS = (_length, _type, _shape, _place, _exchange, _key, _twice, _value, _payload, _weight,
           *[_description] * 4)  # fmt: skip


def altered_tensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with one to three alterations; of most the checksum is right again."""
    file = _Tensors.of(data)
    for alteration in rng.choices(TENSORS, k=rng.choice([1, 1, 2, 3])):
        try:
            alteration(file, rng)
            if rng.random() < 0.7:
                file.seal()
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            break  # nothing is left that could be altered so
    return file.packed()


# Compressed texts


def altered_code(data: bytes, rng: random.Random) -> bytes:
    """A compressed text with another header, whose checksum is right, or with other codes."""
    size = compression._HEADER.size
    header, body = list(compression._HEADER.unpack_from(data)), bytearray(data[size + 4 :])
    if rng.random() < 0.6:
        at = rng.randrange(1, len(header))
        bits = {1: 8, 2: 8, 4: 32, 5: 64, 6: 64, 7: 32, 8: 16}.get(at)
        if bits is None:
            header[at] = rng.randbytes(8)
        else:
            moved = [header[at] + n for n in (-1, 1, 100)]
            header[at] = rng.choice([n for n in (*NUMBERS, *moved) if type(n) is int]) % 2**bits
    if rng.random() < 0.6:
        streams = header[-1]
        if rng.random() < 0.4 and 0 < streams <= len(body) // 4:
            at = 4 * rng.randrange(streams)
            number = rng.choice([0, 1, len(body), 2**31, 2**32 - 1, rng.randrange(300)])
            body[at : at + 4] = struct.pack("<I", number)
        else:
            rng.choice(BYTES)(body, rng)
    packed = compression._HEADER.pack(*header)
    return packed + struct.pack("<I", zlib.crc32(packed)) + bytes(body)


# All of them


def altered(data: bytes, rng: random.Random) -> bytes:
    """What a stranger may send for a sound file: altered in its bytes, or by its structure."""
    if rng.random() < 0.2:
        changed = bytearray(data)
        for change in rng.choices(BYTES, k=rng.randrange(1, 4)):
            change(changed, rng)
        return bytes(changed)
    is_code = data.startswith(compression._MAGIC)
    return altered_code(data, rng) if is_code else altered_tensors(data, rng)


def cuts(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """The file cut at every byte of its header, and at many behind it.

    In some the header's length is what is left of it.
    """
    is_code = data.startswith(compression._MAGIC)
    end = compression._HEADER.size + 4 if is_code else 8 + int.from_bytes(data[:8], "little")
    behind = range(end, len(data))
    for at in [*range(end), *rng.sample(behind, min(100, len(behind)))]:
        yield data[:at]
    if not is_code:
        for at in range(8, end, 9):
            yield (at - 8).to_bytes(8, "little") + data[8:at]


def bombs(data: bytes) -> Iterator[bytes]:
    """Safetensors files whose headers become as much as they can in memory."""
    file = _Tensors.of(data)
    for piece in ("[],", "{},", '"",', "0,", '{"":0},', "[" * 100):
        for room in (MOST_HEADER - 100_000, 10 * MOST_HEADER):
            text = "[" + piece * (room // len(piece)) + "0]"
            yield len(text).to_bytes(8, "little") + text.encode()
            if '"' not in piece and room < MOST_HEADER:
                for name in file.said:
                    said = {**file.said, name: text}
                    yield _Tensors({**file.header, "__metadata__": said}, file.payload).packed()
    for count in (40_000, 100_000):
        entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        many = {"__metadata__": file.said, **{f"t{n}": entry for n in range(count)}}
        yield _Tensors(many, file.payload).packed()
