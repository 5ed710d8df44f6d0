"""What would be a repetition becomes less likely: penalties (see ``charrnn.compute.choosers``).

``spare`` is room to work, as large as the ``logits``; tokens are the latest of a text, the newest
first.
"""

from __future__ import annotations

from charrnn.compute.cache import kernel
from charrnn.compute.vector import broadcast, lanes, load, store

#: The largest penalty: what has it is never chosen unless nothing else can be.
_MOST = 1e9


@kernel
def _clear(values):
    for j in range(0, values.size, lanes(values)):
        store(values, j, broadcast(values, 0.0))


@kernel
def _take_away(logits, penalties):
    for j in range(0, logits.size, lanes(logits)):
        store(logits, j, load(logits, j) - load(penalties, j))


@kernel
def penalize_recent(logits, spare, tokens, penalty):
    """The ``tokens`` become less likely by the factor e^``penalty``.

    Keskar et al. (2019) divide logits that are positive; a logit says nothing by itself, so here
    the probability is divided.
    """
    _clear(spare)
    for token in tokens:
        spare[token] = penalty
    _take_away(logits, spare)


@kernel
def penalize_runs(logits, spare, tokens, runs, strength, base, least):
    """What would make a run longer that stood in the text before is less likely.

    DRY, "don't repeat yourself": where the last n tokens, ``least`` or more, stood before, the
    logit of what followed there loses ``strength``·``base``^(n - ``least``). ``runs`` [n] say how
    many of the last tokens stood before each of the ``tokens``.
    """
    if not _longest_runs(spare, tokens, runs, least):
        return
    for token in range(spare.size):
        if spare[token] > 0:
            spare[token] = min(strength * base ** (spare[token] - least), _MOST)
    _take_away(logits, spare)


@kernel
def _longest_runs(longest, tokens, runs, least):
    """For each token the longest run that it goes on with, or 0; whether there is any."""
    found = 0
    for back in range(tokens.size):
        found = max(found, runs[back])
    if found < least:
        return False
    _clear(longest)
    for back in range(tokens.size):
        if runs[back] >= least:
            longest[tokens[back]] = max(longest[tokens[back]], runs[back])
    return True
