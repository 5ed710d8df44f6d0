"""Readable twins of the compiled core: the equations in NumPy and float64, nothing clever.

Weights have PyTorch's layout: ``w_ih`` [G·H, inputs], ``w_hh`` [G·H, H], biases [G·H].
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from charrnn.text.vocabulary import START


def sigmoid(x):
    """Logistic sigmoid."""
    return 1 / (1 + np.exp(-x))


def lstm_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """i, f, o = σ(…), g = tanh(…); c = f ⊙ c' + i ⊙ g; h = o ⊙ tanh(c)."""
    h, c = state
    i, f, g, o = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """r, z = σ(…); n = tanh(x W_n + b_n + r ⊙ (h W_n' + b_n')); h = (1 - z) ⊙ n + z ⊙ h'."""
    (h,) = state
    r_in, z_in, n_in = np.split(x @ w_ih.T + b_ih, 3, axis=-1)
    r_h, z_h, n_h = np.split(h @ w_hh.T + b_hh, 3, axis=-1)
    z = sigmoid(z_in + z_h)
    n = np.tanh(n_in + sigmoid(r_in + r_h) * n_h)
    return ((1 - z) * n + z * h,)


def elman_step(x, state, w_ih, w_hh, b_ih, b_hh, g=np.tanh):
    """h = g(x W + h' U + b)."""
    (h,) = state
    return (g(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh),)


def elman_relu_step(*arguments):
    """The plain cell with g = max(0, ·)."""
    return elman_step(*arguments, g=lambda x: np.where(x > 0, x, 0))


def lstm_peephole_step(x, state, w_ih, w_hh, b_ih, b_hh, p_i, p_f, p_o):
    """As ``lstm_step``; i and f also see p ⊙ c', o sees p ⊙ c."""
    h, c = state
    i, f, g, o = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=-1)
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
    return sigmoid(o + p_o * c) * np.tanh(c), c


def lstm_coupled_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """As ``lstm_step`` with i = 1 - f."""
    h, c = state
    f, g, o = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 3, axis=-1)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_reset_before_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """r, z = σ(…); n = tanh(x W_n + (r ⊙ h') U_n + b_n); h = (1 - z) ⊙ n + z ⊙ h'."""
    (h,) = state
    r_in, z_in, n_in = np.split(x @ w_ih.T + b_ih, 3, axis=-1)
    u_r, u_z, u_n = np.split(w_hh, 3)
    b_r, b_z, b_n = np.split(b_hh, 3)
    r = sigmoid(r_in + h @ u_r.T + b_r)
    z = sigmoid(z_in + h @ u_z.T + b_z)
    n = np.tanh(n_in + (r * h) @ u_n.T + b_n)
    return ((1 - z) * n + z * h,)


def gru_minimal_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """z = σ(…); n = tanh(…); h = (1 - z) ⊙ n + z ⊙ h'."""
    (h,) = state
    z, n = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 2, axis=-1)
    return ((1 - sigmoid(z)) * np.tanh(n) + sigmoid(z) * h,)


def jordan_step(x, state, w_ih, w_hh, b_ih, b_hh, g=np.tanh):
    """h = g(x W + y' U + b); y, the softmax of the readout, is filled in by ``forward``."""
    _, y = state
    return g(x @ w_ih.T + b_ih + y @ w_hh.T + b_hh), None


def jordan_relu_step(*arguments):
    """The same with g = max(0, ·)."""
    return jordan_step(*arguments, g=lambda x: np.where(x > 0, x, 0))


def leaky_step(x, state, w_ih, w_hh, b_ih, b_hh, rate):
    """h = (1 - α) ⊙ h' + α ⊙ tanh(x W + h' U + b), α = σ(rate)."""
    (h,) = state
    n = np.tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
    return ((1 - sigmoid(rate)) * h + sigmoid(rate) * n,)


def clockwork_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """As ``elman_step``, each group reading itself and slower ones, where its clock is at 0."""
    h, phase = state
    size, groups = h.shape[-1], 5
    group = ((np.arange(size) + 0.5) * groups / size).astype(int)
    reads = group[:, None] <= group
    (n,) = elman_step(x, (h,), w_ih, w_hh * reads, b_ih, b_hh)
    period = 2**group
    return np.where(phase < 1, n, h), np.where(phase + 1 < period, phase + 1, 0)


def second_order_step(x, state, w_ih, w_hh, b_ih, b_hh):
    """h = tanh(x W + h' U + b); each lane may have a U of its own, [B, H, H]."""
    (h,) = state
    return (np.tanh(x @ w_ih.T + b_ih + np.einsum("...j,...ij->...i", h, w_hh) + b_hh),)


def _product_of(x, h, w_ih, w_hh, b_ih, b_hh):
    """m = (x W_m + b_m) ⊙ (h' U_m + b_m'), and the weights without these: the first of all."""
    size = h.shape[-1]
    m = (x @ w_ih[:size].T + b_ih[:size]) * (h @ w_hh[:size].T + b_hh[:size])
    return m, (w_ih[size:], w_hh[size:], b_ih[size:], b_hh[size:])


def multiplicative_step(x, state, *weights):
    """The plain step with m in place of h'."""
    m, others = _product_of(x, *state, *weights)
    return elman_step(x, (m,), *others)


def lstm_multiplicative_step(x, state, *weights):
    """As ``lstm_step`` with m in place of h'."""
    h, c = state
    m, others = _product_of(x, h, *weights)
    return lstm_step(x, (m, c), *others)


#: The twin of each cell of the registry.
STEPS = {
    ("lstm", "tanh"): lstm_step,
    ("lstm-peephole", "tanh"): lstm_peephole_step,
    ("lstm-coupled", "tanh"): lstm_coupled_step,
    ("gru", "tanh"): gru_step,
    ("gru-reset-before", "tanh"): gru_reset_before_step,
    ("gru-minimal", "tanh"): gru_minimal_step,
    ("elman", "tanh"): elman_step,
    ("elman", "relu"): elman_relu_step,
    ("jordan", "tanh"): jordan_step,
    ("jordan", "relu"): jordan_relu_step,
    ("fully-recurrent", "tanh"): elman_step,
    ("leaky", "tanh"): leaky_step,
    ("echo-state", "tanh"): leaky_step,
    ("clockwork", "tanh"): clockwork_step,
    ("second-order", "tanh"): second_order_step,
    ("multiplicative", "tanh"): multiplicative_step,
    ("lstm-multiplicative", "tanh"): lstm_multiplicative_step,
}


def softmax(logits):
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(logits, targets):
    """-log P(target) of each row [N, V], and its gradient with respect to the logits."""
    top = logits.max(axis=-1)
    log_sum = np.log(np.exp(logits - top[:, None]).sum(axis=-1))
    rows = np.arange(len(targets))
    gradient = softmax(logits)
    gradient[rows, targets] -= 1
    return log_sum + (top - logits[rows, targets]), gradient


def gather(table, indices):
    """The rows of ``table`` that ``indices`` [T, B] name: a one-hot vector times a matrix."""
    return np.eye(len(table))[indices] @ table


def scatter(d, indices, rows):
    """Gradient of ``gather``: the rows of ``d`` [T, B, ·] summed by index."""
    table = np.zeros((rows, d.shape[-1]))
    for index, row in zip(indices.reshape(-1), d.reshape(-1, d.shape[-1]), strict=True):
        table[index] += row
    return table


def weight_gradient(d, x):
    """Gradients of W and b where y = x W + b, summed over rows; transposed, as PyTorch's."""
    return d.T @ x, d.sum(axis=0)


def forward(config, parameters, batch, state, nudges=None):
    """Losses [T, B] and final states of a network, from ``state`` [L, S, B, ≥ sizes].

    A nonzero reset at [t, b] makes lane b start from the initial state before step t. The states
    come back as they were given, padded with zeros. ``nudges`` [T, L, B, H] are added to the
    hidden state that a layer hands on after a step. Labels that it is told of are further columns
    of what the first layer reads, with a one for each.
    """
    p = {name: np.asarray(tensor, np.float64) for name, tensor in parameters.items()}
    step = STEPS[config.cell, config.activation]
    embedding = p.get("embedding.weight", np.eye(config.vocabulary_size))
    cells = [_parameters_of(p, layer) for layer in range(config.layers)]
    fed_back = step in (jordan_step, jordan_relu_step)
    sizes = [config.hidden_size] * len(state[0])
    if fed_back:
        sizes[1] = config.vocabulary_size
    names = "hy" if fed_back else "hc"
    states = [[s[:, :n].astype(float) for s, n in zip(layer, sizes, strict=True)]
              for layer in state]  # fmt: skip
    told = np.eye(config.classes + 1)[batch.told, :-1].sum(axis=0)  # [T, B, K]; of -1 nothing
    losses = []
    for t in range(len(batch.inputs)):
        x = embedding[batch.inputs[t]]
        running = (batch.resets[t] == 0)[:, None]
        for layer, weights in enumerate(cells):
            x = _before(config, p, layer, x)
            before = [
                np.where(running, s, p.get(f"rnn.initial_{name}_l{layer}", 0))
                for name, s in zip(names, states[layer], strict=False)
            ]
            x = np.concatenate([x, told[t]], axis=1) if layer == 0 else x
            states[layer] = list(step(x, before, *_chosen_by(batch.inputs[t], weights)))
            if nudges is not None:
                states[layer][0] = states[layer][0] + nudges[t, layer]
            x = states[layer][0]
        logits = _readout(config, p, x)
        if fed_back:
            states[0][1] = softmax(logits)
        losses.append(cross_entropy(logits, batch.targets[t])[0])
    return np.array(losses), _padded(states, state.shape)


def _readout(config, p, x):
    if config.cell == "fully-recurrent":
        return 8 * x[:, : config.vocabulary_size]
    return _dense(config, p, x) @ p["readout.weight"].T + p["readout.bias"]


def _before(config, p, layer, x):
    for number in range(config.dense_before):
        weight, bias = (p[f"rnn.dense_l{layer}.{number}.{own}"] for own in ("weight", "bias"))
        x = np.tanh(x @ weight.T + bias)
    return x


def _dense(config, p, x):
    for number in range(config.readout_layers):
        x = np.tanh(x @ p[f"dense.{number}.weight"].T + p[f"dense.{number}.bias"])
    return x


# Networks that read: each document alone, in both directions


def read(config, parameters, batch):
    """Logits of each position [T, B, K], or with the task label of each document [D, K]."""
    p = {name: np.asarray(tensor, np.float64) for name, tensor in parameters.items()}
    if config.task == "label":
        documents = (batch.inputs[first:last, lane] for lane, first, last in batch.spans)
        return np.array([_of_document(config, p, own) for own in documents])
    logits = np.empty((*batch.inputs.shape, config.classes))
    for lane in range(batch.inputs.shape[1]):
        starts = np.flatnonzero(batch.resets[:, lane])
        assert starts[0] == 0, "what was read before the chunk is not known"
        for first, last in pairwise([*starts, len(logits)]):
            units = _both_ways(config, p, batch.inputs[first:last, lane])
            logits[first:last, lane] = _readout(config, p, units)
    return logits


def reading_losses(config, logits, batch):
    """Of positions [T, B], 0 where they do not count, or of documents [D], by their weights."""
    if config.task != "label":
        losses, _ = cross_entropy(logits.reshape(-1, config.classes), batch.targets.reshape(-1))
        return losses.reshape(batch.targets.shape) * (batch.counted != 0)
    if config.multiple:  # -log of the probabilities that a label is there, or is not
        right = np.where(batch.targets, sigmoid(logits), sigmoid(-logits))
        losses = -np.log(right).sum(axis=1)
    else:
        losses, _ = cross_entropy(logits, batch.targets)
    return losses if batch.weights is None else losses * batch.weights


def _both_ways(config, p, characters):
    """What the last layer makes of a document's characters [n], [n, 2 H] or a dense layer's."""
    x = p.get("embedding.weight", np.eye(config.vocabulary_size))[characters]
    for layer in range(config.layers):
        x = _before(config, p, layer, x)
        forwards = _one_way(config, p, layer, x, characters)
        backwards = _one_way(config, p, f"{layer}_reverse", x[::-1], characters[::-1])[::-1]
        x = np.concatenate([forwards, backwards], axis=1)
    return x


def _one_way(config, p, layer, x, characters):
    step, weights = STEPS[config.cell, config.activation], _parameters_of(p, layer)
    nothing = np.zeros(config.hidden_size)
    state = [p.get(f"rnn.initial_{name}_l{layer}", nothing)[None] for name in "hc"]
    if "lstm" not in config.cell and config.cell != "clockwork":
        state = state[:1]
    hidden = []
    for row, character in zip(x, characters, strict=True):
        state = step(row[None], state, *_chosen_by(character, weights))
        hidden.append(state[0][0])
    return np.array(hidden)


def _of_document(config, p, characters):
    """Attention with one query over a document's positions, logits of their mean, and n-grams."""
    units = _dense(config, p, _both_ways(config, p, characters))
    pooled = attention(units, p["readout.query"]) @ units
    logits = pooled @ p["readout.weight"].T + p["readout.bias"]
    if config.ngram_buckets:
        found = sorted(ngram_buckets(characters, config.ngram_buckets))
        logits = logits + p["readout.ngrams"][found].sum(axis=0) / np.sqrt(len(found))
    return logits


def ngram_buckets(characters, buckets):
    """Of all sequences of one to five characters, the frame's among them; tokens count from 1."""
    framed = [START + 1, *(int(c) + 1 for c in characters), START + 1]
    found = set()
    for first in range(len(framed)):
        for last in range(first + 1, min(first + 5, len(framed)) + 1):
            code = 0
            for token in reversed(framed[first:last]):
                code = (code + token) * 0x9E3779B97F4A7C15 % 2**64
            found.add((code >> 32) * buckets >> 32)
    return found


def attention(units, query):
    """How much each row of the units [n, size] counts [n]: softmax of y q / √size."""
    return softmax(units @ query / np.sqrt(query.size))


def _parameters_of(parameters, layer):
    """A layer's parameters in the order in which the steps take them."""
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    names += [*(f"peephole_{gate}" for gate in "ifo"), "rate"]
    found = (parameters.get(f"rnn.{name}_l{layer}") for name in names)
    return [tensor for tensor in found if tensor is not None]


def _chosen_by(characters, weights):
    """A layer's parameters, with the recurrent matrix that each character has, where it has one."""
    w_ih, w_hh, *others = weights
    return [w_ih, w_hh[characters] if w_hh.ndim == 3 else w_hh, *others]


def _padded(states, shape):
    result = np.zeros(shape)
    for layer, own in enumerate(states):
        for number, values in enumerate(own):
            result[layer, number, :, : values.shape[1]] = values
    return result


# How a character is chosen: log probabilities [V] in, -inf for what is left out


def normalized(logs):
    """Log probabilities that add up to 1."""
    top = logs.max()
    return logs - top - np.log(np.exp(logs - top).sum())


def _least_key(logs, keys, share):
    """The key of the last that is needed when they are taken from the largest key down."""
    order = np.argsort(-keys, kind="stable")
    sums = np.cumsum(np.exp(normalized(logs))[order])
    last = np.flatnonzero(sums >= share * sums[-1] * (1 - 1e-12))[0]
    return keys[order[last]]


def top_k(logs, most):
    """The largest stay."""
    least = np.sort(logs)[::-1][min(most, logs.size) - 1]
    return np.where(logs >= least, logs, -np.inf)


def top_p(logs, share):
    """The largest stay that together have the share."""
    return np.where(logs >= _least_key(logs, logs, share), logs, -np.inf)


def min_p(logs, share):
    """What is as large as a share of the largest stays."""
    return np.where(logs >= logs.max() + np.log(share), logs, -np.inf)


def typical(logs, share):
    """What is closest to the entropy stays."""
    own = normalized(logs)
    possible = np.isfinite(own)
    entropy = -np.sum(np.exp(own[possible]) * own[possible])
    keys = np.where(possible, -np.abs(own + entropy), -np.inf)
    return np.where(keys >= _least_key(logs, keys, share), logs, -np.inf)


def penalize_recent(logs, text, penalty, window):
    """The last characters' probabilities are divided."""
    logs = logs.copy()
    logs[list(set(text[-window:]))] -= np.log(penalty)
    return logs


def penalize_runs(logs, text, config):
    """What would make a run longer that stood in the text before loses by the run's length."""
    logs, longest = logs.copy(), {}
    for end in range(max(len(text) - config.dry_window, 0), len(text)):
        run = 0
        while run < end and text[end - 1 - run] == text[-1 - run]:
            run += 1
        longest[text[end]] = max(longest.get(text[end], 0), run)
    for token, run in longest.items():
        if run >= config.dry_length:
            logs[token] -= config.dry * config.dry_base ** (run - config.dry_length)
    return logs


def pick(logs, uniform):
    """The index at which the sum of the probabilities passes ``uniform``."""
    return int(np.flatnonzero(np.cumsum(np.exp(normalized(logs))) > uniform)[0])


class Chooser:
    """What ``charrnn.inference.choosing`` makes of a ``SamplingConfig``."""

    def __init__(self, config, copied=(), length=0):
        self.config, self.copied, self.length = config.complete(), list(copied), length
        self.bound = 2 * config.mirostat

    def choose(self, logs, text, uniform):
        """The next token of ``text`` (a list)."""
        config = self.config
        if self.length and len(text) >= self.length:
            logs = self._without_copies(logs, text[-self.length :])
        if config.repetition_penalty != 1:
            logs = penalize_recent(logs, text, config.repetition_penalty, config.repetition_window)
        if config.dry:
            logs = penalize_runs(logs, text, config)
        for step, value, nothing in (
            (top_k, config.top_k, 0),
            (typical, config.typical, 1),
            (top_p, config.top_p, 1),
            (min_p, config.min_p, 0),
        ):
            if value != nothing:
                logs = step(logs, value)
        if not config.temperature:
            return int(logs.argmax())
        logs = normalized(logs / config.temperature)
        return self._mirostat(logs, uniform) if config.mirostat else pick(logs, uniform)

    def _without_copies(self, logs, end):
        logs = logs.copy()
        for start in range(len(self.copied) - len(end)):
            if self.copied[start : start + len(end)] == end:
                logs[self.copied[start + len(end)]] = -np.inf
        return logs

    def _mirostat(self, logs, uniform):
        surprise = -logs / np.log(2)
        kept = surprise <= max(self.bound, surprise.min())
        token = pick(np.where(kept, logs, -np.inf), uniform)
        self.bound -= self.config.mirostat_rate * (surprise[token] - self.config.mirostat)
        return token
