"""Addresses of the United States in markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from examples import Example, bare
from packages import from_pypi


def marked_up(address: ET.Element) -> str:
    """One line of markup: neighbours of one tag are one span, commas are outside of spans."""
    line = escape(address.text or "").lstrip()
    for part in address:
        text = part.text or ""
        inside = text.rstrip(" ,;")
        outside = text[len(inside) :] + (part.tail or "")
        line += f"<{part.tag}>{escape(inside)}</{part.tag}>{escape(outside)}"
    line = re.sub(r"</(\w+)>([\s,;]*)<\1>", r"\2", line)
    return " ".join(line.split())


def tagged(folder: Path, names: Iterable[str]) -> Iterator[Example]:
    training = from_pypi("usaddress==0.5.16", folder / "usaddress", source=True)
    for name in names:
        (path,) = training.glob(f"*/training/{name}")
        text = path.read_text("utf-8").replace("<<", "<")  # one line of them is mistyped
        for address in ET.fromstring(text).iter("AddressString"):
            yield Example(marked_up(address), bare("".join(address.itertext())), name)


def by_hand(folder: Path) -> Iterator[Example]:
    """Addresses of the United States, tagged by hand."""
    return tagged(folder, ["labeled.xml"])


def and_synthetic(folder: Path) -> Iterator[Example]:
    """The same, and ten times as many that were put together from OpenStreetMap."""
    return tagged(folder, ["labeled.xml", "synthetic_clean_osm_data.xml"])
