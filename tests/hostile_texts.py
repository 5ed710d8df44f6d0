"""Texts that are hard to read: in their bytes, their characters, their lines, or their markup."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: All characters that there can be, and none of their halves.
UNICODE = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))

BYTE_ORDER_MARK = "\ufeff"

#: What terminals, browsers, readers of lines and Python's own methods take for something.
PIECES = (
    "a", "B", " ", "\n", "\t", "\r\n", "\r", "\0", "\x1b]0;x\a", "\x9b2J", "\x85", "\u2028",
    "\u2029", "\u202e", "\ufeff", "\ufffd", "\U0010ffff", "é", "e\u0301", "ß", "ŉ", "İ", "ǆ", "漢",
    "😀", "\U000e0041", "\x7f", "<", ">", "</t>", "<t>", "<t>a</t>", "<t></t>", "<t><u>", "</", "&",
    "&lt;", "&amp", "</script>", "<start>", "<unk>", "\ta\n", "\t\n", "\tb\n", "a\tb\tc\n", ",",
    "a,b", "“", "…", ".", "?", "_", "\u2423", "*", "(a+)+$", "[", "\\", "{1,9999}", "%", '"',
    "`x`", "{}", "1e999", '{"step": 1, "loss": 1}\n', "step,loss\n1,2\n",
)  # fmt: skip

#: What is no UTF-8: a byte too few, too many, too long, halves of characters, one beyond Unicode.
BAD_BYTES = (b"\xff", b"\xc3", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
             b"\xff\xfea\0", b"\xe6\xbc")  # fmt: skip


def small_text(rng: random.Random) -> bytes:
    """Up to some hundred pieces, of few kinds or many; now and then with what is no text."""
    kinds = rng.sample(PIECES, rng.randrange(1, len(PIECES)))
    pieces = [rng.choice(kinds).encode() for _ in range(rng.choice([0, 1, 2, 5, 30, 300]))]
    if rng.random() < 0.2:
        pieces.insert(rng.randrange(len(pieces) + 1), rng.choice(BAD_BYTES))
    if rng.random() < 0.2:
        pieces = [piece * rng.choice([1, 1, 50]) for piece in pieces]
    return b"".join(pieces)


def altered_text(text: str, rng: random.Random) -> bytes:
    """A text with some pieces put in or in the place of its own, and perhaps cut or repeated."""
    for piece in rng.choices(PIECES, k=rng.choice([0, 1, 3, 30])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + piece + text[at + rng.choice([0, 0, 1, 9]) :]
    data = (
        text[rng.choice([0, 0, rng.randrange(len(text) + 1)]) :] * rng.choice([1, 1, 3])
    ).encode()
    return data[:-1] if rng.random() < 0.1 else data


def hard_texts(rng: random.Random, size: int) -> Iterator[bytes]:
    """Each for a reason of its own; ``size`` is the bytes of the largest but that of Unicode."""
    yield b""
    yield rng.randbytes(size // 100)
    yield from _characters(rng, size // 100)
    yield from _lines(rng, size)
    yield from _labels(size // 10)
    yield from _tags(size // 100)


def _characters(rng: random.Random, size: int) -> Iterator[bytes]:
    """Rare ones, many of them, and such as are changed by what looks like no change."""
    many = rng.sample(UNICODE, 100_000)
    yield UNICODE.encode()
    yield "".join(many).encode()
    yield "".join(f"{c}\ta\n{c}{c}\tb\n" for c in many[:50_000]).encode()
    yield (3 * "".join(many[:66_000])).encode()
    yield b"ab\xed\xa0\x80cd\n" * 100  # half of a character, as some programs write it
    yield "\ud800".encode("utf-16-le", "surrogatepass") * 10
    yield b"\0" * size
    yield (3 * BYTE_ORDER_MARK + "a b\n").encode()
    yield ("e" + "\u0301" * size).encode()
    yield ("ŉİǆß" * size).encode()
    yield "abc\n".encode("utf-16") * 100


def _lines(rng: random.Random, size: int) -> Iterator[bytes]:
    """Too long, too many, or none."""
    yield b"the cat, " * (size // 9)
    yield b"\n" * (size // 10)
    yield b"\r\n" * (size // 100) + b"\r" * 1000
    yield b"a\n" * (size // 100)
    yield b"".join(rng.choice([b"a", b"b\r", b"\n", b"\r\n"]) for _ in range(size // 100))
    yield "a\u2028b\x85c\x0bd\x0ce\n".encode() * 1000
    yield b"a" * (size // 10)


def _labels(size: int) -> Iterator[bytes]:
    """Lines TEXT<tab>LABEL that are none, or have too many labels, or one that is too long."""
    yield b"a\t" + b"b" * size + b"\nb\tc\n"
    yield b"".join(b"a%d\tb%d\n" % (n, n) for n in range(70_000))
    yield b"a\tb\tc\n" + b"a\tb\n" * 9
    yield b"\ta\n\tb\n"
    yield b"a\t\n" * 500
    yield b"\t" * (size // 10) + b"\n"
    yield b"a\t" + b",".join(b"%d" % n for n in range(70_000)) + b"\n"
    yield b"a\t\x1b]0;x\a\nb\t<script>\n" * 50


def _tags(size: int) -> Iterator[bytes]:
    """Lines with tags that do not close, close too often, or are too many."""
    yield b"<a>" * size
    yield b"<a>x</a>" * size + b"\n"
    yield b"<" * 10 * size + b"\n"
    yield b"&lt;" * size + b"\n"
    yield b"".join(b"<t%d>x</t%d>\n" % (n, n) for n in range(33_000))
    yield b"<" + b"t" * size + b">x</" + b"t" * size + b">\n"
    yield b"</a>\n" * 9
    yield b"x <a>y</a> <\x1b[31m>z</\x1b[31m>\n" * 50
