"""The feedback loop of sampling: what is drawn at one step is read at the next."""

from __future__ import annotations

from charrnn.compute.cache import kernel
from charrnn.compute.readout import gather_rows, logits_of_rows, softmax_row
from charrnn.compute.recurrence import forward_lanes, project_lanes
from charrnn.compute.vector import lanes, largest_lane, load, maximum, store

#: Below this a probability is that of a padded or forbidden column, whose logit is -1e30.
_NOTHING = 1e-30


@kernel
def _most_probable(logits, at, width):
    best = at
    for j in range(at + 1, at + width):
        if logits[j] > logits[best]:
            best = j
    return best - at


@kernel
def draw(logits, at, width, sharpness, uniform):
    """Index drawn from softmax(logits·sharpness), by inversion of ``uniform`` in [0, 1).

    ``sharpness`` is one over the temperature, 1e-20 … 1e30; infinite, it is the most probable
    index that is taken. The ``width`` logits at flat offset ``at`` are overwritten.
    """
    if sharpness > 1e30:
        return _most_probable(logits, at, width)
    top = load(logits, at)
    for j in range(at, at + width, lanes(logits)):
        top = maximum(top, load(logits, j))
    largest = largest_lane(top)
    for j in range(at, at + width, lanes(logits)):
        store(logits, j, (load(logits, j) - largest) * sharpness)
    softmax_row(logits, at, width)
    left = uniform
    chosen = -1
    for j in range(width):
        p = logits[at + j]
        if p > _NOTHING:
            chosen = j
            left -= p
            if left < 0:
                break
    return chosen


@kernel
def generate(cell, plan, weights, biases, table, embedded, columns, readout, readout_bias, buffers,
             tokens, sharpness, uniforms, end, texts, ended):  # fmt: skip
    """Write characters into ``texts`` [B, N]; return how many steps were made.

    ``texts`` holds -1 where a character is to be drawn and the character where it is given (a
    prompt). ``tokens`` [1, B] is what the first step reads and, afterwards, the last step wrote.
    A text in which ``end`` was drawn is ``ended``; when all are, no more steps are made.

    ``plan`` [L, 4] holds first and last offsets into ``weights`` of each layer's input panels and
    recurrent panels, ``biases`` [L, row] its bias; ``table`` the rows of characters, which are
    embeddings if ``embedded``; ``columns`` those that the input and the recurrent product feed;
    ``buffers`` = (inputs [1, B, ·], gates [1, B, row], states [L, S, 2, B, width], output
    [1, B, width], resets [1, B] of zeros, logits [B, V]).
    """
    inputs, gates, states, output, resets, logits = buffers
    layers, batch = plan.shape[0], tokens.shape[1]
    width = logits.shape[1]
    for n in range(texts.shape[1]):
        for layer in range(layers):
            a, b, c, d = plan[layer]
            if layer > 0:
                project_lanes(output, weights[a:b], biases[layer], gates, columns[0], 0, batch)
            elif embedded:
                gather_rows(table, tokens, inputs, 0, batch)
                project_lanes(inputs, weights[a:b], biases[layer], gates, columns[0], 0, batch)
            else:
                gather_rows(table, tokens, gates, 0, batch)
            forward_lanes(cell, gates, states[layer], output, resets, weights[c:d], columns[1],
                          (0, 0, 1.0), 0, batch)  # fmt: skip
            states[layer, :, 0] = states[layer, :, 1]
        logits_of_rows(output[0], readout, readout_bias, logits)
        alive = False
        for text in range(batch):
            if texts[text, n] < 0:
                texts[text, n] = draw(
                    logits.reshape(-1), text * width, width, sharpness, uniforms[text, n]
                )
                ended[text] |= texts[text, n] == end
            tokens[0, text] = texts[text, n]
            alive |= not ended[text]
        if not alive:
            return n + 1
    return texts.shape[1]
