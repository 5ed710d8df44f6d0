"""Whether a run that was saved is the one that is to go on with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from charrnn.errors import UsageError
from charrnn.text.display import printable
from charrnn.text.vocabulary import Vocabulary


def fingerprint_of(vocabulary: Vocabulary, arrays: Iterable[np.ndarray]) -> str:
    """Hash of texts: the characters that they are read with, and all that they consist of."""
    digest = hashlib.sha256(vocabulary.characters.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def refuse_another(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ``UsageError`` where the values are of another run, with both values of each.

    Both are those of a resume file, as ``charrnn.storage.metadata.read_resume`` names them.
    """
    one, other = ({**values["shape"], **_identity(values)} for values in (then, now))
    changed = {n: f"{one[n]}; now {new}" for n, new in other.items() if one[n] != new}
    if not changed:
        return
    advice = "give the same, or start anew with `force`"
    if "corpus" in changed:
        advice += ("; to train its model on with another text: "
                   "charrnn train OTHER --init-from MODEL --model NEW")  # fmt: skip
    differences = ", ".join(f"{name} ({both})" for name, both in changed.items())
    raise UsageError(f"the run to go on with was started with another {differences}: {advice}")


def _identity(values: dict[str, Any]) -> dict[str, Any]:
    """Of a run, as a user knows it: the corpus, told apart by its hash, and what else must stay."""
    files = printable(", ".join(values["origin"].get("corpus", ())))
    return {
        "corpus": f"{files} {values['corpus'][:8]}".strip(),
        "lanes": values["lanes"],
        "optimizer": values["training"]["optimizer"],
    }
