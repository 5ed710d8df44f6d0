"""Readable twins of the compiled core: the equations in NumPy and float64, nothing clever.

Weights have PyTorch's layout: ``w_ih`` [G·H, inputs], ``w_hh`` [G·H, H], biases [G·H].
"""

from __future__ import annotations

import numpy as np


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


#: The twin of each cell of the registry.
STEPS = {
    ("lstm", "tanh"): lstm_step,
    ("gru", "tanh"): gru_step,
    ("elman", "tanh"): elman_step,
    ("elman", "relu"): elman_relu_step,
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
    """Losses [T, B] and final states [L, S, B, H] of a network, from ``state`` [L, S, B, H].

    A nonzero reset at [t, b] makes lane b start from the zero state before step t. ``nudges``
    [T, L, B, H] are added to the hidden state that a layer hands on after a step.
    """
    p = {name: np.asarray(tensor, np.float64) for name, tensor in parameters.items()}
    step = STEPS[config.cell, config.activation]
    embedding = p.get("embedding.weight", np.eye(config.vocabulary_size))
    states = [tuple(np.asarray(layer, np.float64)) for layer in state]
    losses = []
    for t in range(len(batch.inputs)):
        x = embedding[batch.inputs[t]]
        running = (batch.resets[t] == 0)[:, None]
        for layer in range(config.layers):
            weights = (
                p[f"rnn.{name}_l{layer}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            states[layer] = step(x, tuple(np.where(running, s, 0) for s in states[layer]), *weights)
            if nudges is not None:
                states[layer] = (states[layer][0] + nudges[t, layer], *states[layer][1:])
            x = states[layer][0]
        logits = x @ p["readout.weight"].T + p["readout.bias"]
        losses.append(cross_entropy(logits, batch.targets[t])[0])
    return np.array(losses), np.array(states)
