"""Running texts of Debian's packages to restore: a paragraph is a line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from packages import from_debian

HELD_NOVEL = "Persuasion"


def r_strings(data: bytes) -> list[str]:
    """The strings of a character vector in R's serialized form (XDR, version 3)."""
    native = struct.unpack_from(">i", data, 14)[0]  # length of the encoding's name
    at = 18 + native
    kind, count = struct.unpack_from(">ii", data, at)
    assert kind == 16, "not a vector of strings"
    at += 8
    strings = []
    for _ in range(count):
        length = struct.unpack_from(">i", data, at + 4)[0]
        strings.append(data[at + 8 : at + 8 + length].decode("utf-8"))
        at += 8 + length
    return strings


def paragraphs(lines: list[str]) -> Iterator[str]:
    """What stands between empty lines, each in one line."""
    text = "\n".join(lines)
    for block in text.split("\n\n"):
        if block.strip():
            yield " ".join(block.split())


def novels(folder: Path) -> tuple[list[str], list[str]]:
    """Five novels by Jane Austen to train with, and the sixth, Persuasion, to test."""
    library = from_debian("r-cran-janeaustenr", folder / "austen") / "usr/lib/R/site-library"
    data = (library / "janeaustenr/data/Rdata.rdb").read_bytes()
    train: list[str] = []
    test: list[str] = []
    while data:
        unpacker = zlib.decompressobj()
        lines = r_strings(unpacker.decompress(data[4:]))  # the first four bytes are the length
        data = unpacker.unused_data
        (test if lines[0] == HELD_NOVEL else train).extend(paragraphs(lines))
    return train, test


def czech(folder: Path) -> tuple[list[str], list[str]]:
    """Sayings and passages of Czech books; every tenth is the test."""
    package = from_debian("fortunes-cs", folder / "fortunes") / "usr/share/games/fortunes/cs"
    texts: dict[str, None] = {}  # the same saying may stand in several files
    for path in sorted(package.iterdir()):
        if not path.suffix and path.name != "klasik-sk":  # which is in Slovak
            for saying in path.read_text("utf-8").split("\n%\n"):
                lines = [line for line in saying.splitlines() if not line.startswith("\t\t--")]
                texts.setdefault(" ".join(" ".join(lines).split()))
    found = [text for text in texts if text]
    return [text for at, text in enumerate(found) if at % 10], found[::10]


TEXTS = {"novels": novels, "czech": czech}
