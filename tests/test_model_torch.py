"""The same network in PyTorch, with the same weights: losses, states and all gradients."""

import math

import naive
import numpy as np
import pytest
from samples import (
    READERS,
    TOLD,
    config_of,
    random_batch,
    random_labels,
    random_network,
    random_state,
)

from charrnn.cells import CELLS
from charrnn.text.batch import Batch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

#: PyTorch's layer for each cell that it has.
TWINS = {
    ("lstm", "tanh"): (torch.nn.LSTM, {}),
    ("gru", "tanh"): (torch.nn.GRU, {}),
    ("elman", "tanh"): (torch.nn.RNN, {"nonlinearity": "tanh"}),
    ("elman", "relu"): (torch.nn.RNN, {"nonlinearity": "relu"}),
}
SIZES = {  # hidden size, lanes, steps, layers
    "100x3": (100, 3, 5, 2),
    "130x50": (130, 50, 4, 1),
    "7x1": (7, 1, 20, 3),
    "130x1": (130, 1, 1, 2),
    "1x3": (1, 3, 5, 1),
    "100x50": (100, 50, 20, 2),
}


class _Twin(torch.nn.Module):
    """Embedding (or one-hot) → PyTorch's recurrent layers → linear readout."""

    def __init__(self, config, tensors):
        super().__init__()
        layer, options = TWINS[config.cell, config.activation]
        vocabulary, embedding = config.vocabulary_size, config.embedding_size
        if embedding:
            self.embedding = torch.nn.Embedding(vocabulary, embedding)
        self.rnn = layer(config.input_size, config.hidden_size, config.layers, **options)
        self.readout = torch.nn.Linear(config.hidden_size, vocabulary)
        self.to(next(iter(tensors.values())).dtype)
        self.load_state_dict(tensors)

    def forward(self, inputs, targets, state):
        """Losses [T, B] and the states after, a tuple of [L, B, H]."""
        vocabulary = self.readout.out_features
        if hasattr(self, "embedding"):
            x = self.embedding(inputs)
        else:
            one_hot = torch.nn.functional.one_hot(inputs, vocabulary)
            x = one_hot.to(self.readout.weight.dtype)
        output, after = self.rnn(x, state if len(state) > 1 else state[0])
        logits = self.readout(output).reshape(-1, vocabulary)
        losses = torch.nn.functional.cross_entropy(logits, targets.reshape(-1), reduction="none")
        return losses.reshape(targets.shape), after if len(state) > 1 else (after,)


def _error(found, expected):
    """The largest difference, relative to the largest element; a unit of relu may be dead."""
    expected = expected.detach().numpy()
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)


def _tensors(network):
    return {name: torch.tensor(tensor) for name, tensor in network.parameters.items()}


def _gradient_errors(network, twin):
    """Of each tensor; the twin has all of them, and no others."""
    gradients = network.views(network.gradients)
    assert gradients.keys() == dict(twin.named_parameters()).keys()
    return {n: _error(gradients[n], parameter.grad) for n, parameter in twin.named_parameters()}


every_precision = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)]
)
every_twin = pytest.mark.parametrize("cell", TWINS, ids=["-".join(key) for key in TWINS])


@every_precision
@every_twin
@pytest.mark.parametrize("embedding", [0, 20], ids=lambda n: f"embedding{n}")
@pytest.mark.parametrize("size", SIZES)
def test_losses_states_and_gradients_are_pytorchs(cell, dtype, tolerance, embedding, size):
    hidden_size, lanes, steps, layers = SIZES[size]
    config = config_of(cell, layers, hidden_size, embedding, vocabulary_size=68)
    network = random_network(config, dtype=dtype, threads=2)
    batch = random_batch(config, steps, lanes, resets=False)
    state = random_state(network, lanes)
    losses, after = network.loss_and_gradients(batch, state)

    twin = _Twin(config, _tensors(network))
    first = [  # [L, B, H] for each state
        torch.tensor(np.ascontiguousarray(s[..., :hidden_size]), requires_grad=True)
        for s in state.swapaxes(0, 1)
    ]
    inputs, targets = (torch.tensor(a, dtype=torch.long) for a in (batch.inputs, batch.targets))
    expected, expected_after = twin(inputs, targets, first)
    expected.sum().backward()

    errors = {"losses": _error(losses, expected)}
    for kind, tensor in enumerate(expected_after):
        errors[f"state {kind}"] = _error(after[:, kind, :, :hidden_size], tensor)
        found = network.initial_gradients[:, kind, :, :hidden_size]
        errors[f"gradient of state {kind}"] = _error(found, first[kind].grad)
    errors |= _gradient_errors(network, twin)
    assert max(errors.values()) < tolerance, errors


def test_every_cell_that_pytorch_has_is_compared():
    assert set(TWINS) <= set(CELLS)


# Networks that read both ways


class _Reader(torch.nn.Module):
    """PyTorch's layers in both directions → attention with a learned query, or none → linear.

    To the logits of documents the rows of their n-grams are added, where there are any.
    """

    def __init__(self, config, tensors):
        super().__init__()
        layer, options = TWINS[config.cell, config.activation]
        self.vocabulary, size = config.vocabulary_size, 2 * config.hidden_size
        self.rnn = layer(self.vocabulary, config.hidden_size, config.layers, bidirectional=True,
                         **options)  # fmt: skip
        self.readout = torch.nn.Linear(size, config.classes)
        if config.task == "label":
            self.readout.query = torch.nn.Parameter(torch.empty(size))
        self.buckets = config.ngram_buckets
        if self.buckets:
            self.readout.ngrams = torch.nn.Parameter(torch.empty(self.buckets, config.classes))
        self.to(next(iter(tensors.values())).dtype)
        self.load_state_dict(tensors)

    def forward(self, inputs, lengths):
        """Logits of documents, one a lane: of each [B, K], or of all positions [T, B, K]."""
        steps = torch.arange(len(inputs))[:, None]
        one_hot = torch.nn.functional.one_hot(inputs, self.vocabulary)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            one_hot.to(self.readout.weight.dtype), lengths, enforce_sorted=False
        )
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(
            self.rnn(packed)[0], total_length=len(inputs)
        )  # fmt: skip
        if hasattr(self.readout, "query"):
            energies = y @ self.readout.query / math.sqrt(y.shape[-1])
            weights = energies.masked_fill(steps >= lengths, -math.inf).softmax(dim=0)
            y = (weights[:, :, None] * y).sum(dim=0)
        logits = self.readout(y)
        return logits + self._ngrams(inputs, lengths) if self.buckets else logits

    def _ngrams(self, inputs, lengths):
        found = [
            sorted(naive.ngram_buckets(inputs[:length, lane].tolist(), self.buckets))
            for lane, length in enumerate(lengths.tolist())
        ]
        rows = [self.readout.ngrams[own].sum(dim=0) / math.sqrt(len(own)) for own in found]
        return torch.stack(rows)


def _a_document_a_lane(config, lengths, steps=20):
    """A chunk of documents that begin at the first step, with nothing after them."""
    rng = np.random.default_rng(2)
    shape = steps, len(lengths)
    inputs = rng.integers(0, config.vocabulary_size, shape, np.int32)
    counted = np.arange(steps)[:, None] < lengths
    resets = (np.arange(steps)[:, None] == lengths).astype(np.uint8)
    resets[0] = 1
    if config.task != "label":
        return Batch(inputs, rng.integers(0, config.classes, shape, np.int32), resets, counted)
    spans = np.array([(lane, 0, length) for lane, length in enumerate(lengths)], np.int32)
    if config.multiple:
        targets = rng.random((len(lengths), config.classes)) < 0.4
    else:
        targets = rng.integers(0, config.classes, len(lengths), np.int32)
    return Batch(inputs, targets, resets, counted, spans=spans)


def _loss(logits, batch, multiple):
    """The sum over all that counts."""
    if multiple:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(batch.targets).to(logits.dtype), reduction="sum"
        )
    targets = torch.tensor(batch.targets, dtype=torch.long)
    if batch.spans is None:
        logits, targets = logits[batch.counted], targets[batch.counted]
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


@every_precision
@every_twin
@pytest.mark.parametrize("task", READERS)
def test_what_reads_both_ways_is_pytorchs(cell, dtype, tolerance, task):
    """Logits, losses and all gradients, by the names that PyTorch has with ``bidirectional``."""
    config = config_of(cell, 2, 40, vocabulary_size=30, **READERS[task])
    network = random_network(config, dtype=dtype, threads=2)
    lengths = np.array([20, 1, 7, 19, 3])
    batch = _a_document_a_lane(config, lengths)
    losses, _ = network.loss_and_gradients(batch, network.initial_state(len(lengths)))

    twin = _Reader(config, _tensors(network))
    expected = twin(torch.tensor(batch.inputs, dtype=torch.long), torch.tensor(lengths))
    loss = _loss(expected, batch, config.multiple)
    loss.backward()
    found, logits = network.logits(batch), expected
    if batch.spans is None:
        found, logits = found[batch.counted], expected[batch.counted]
    errors = {"logits": _error(found, logits), "loss": _error(losses.sum(), loss)}
    errors |= _gradient_errors(network, twin)
    assert max(errors.values()) < tolerance, errors


@every_precision
@every_twin
@pytest.mark.parametrize("told", TOLD)
def test_a_writer_that_is_told_labels_is_pytorchs(cell, dtype, tolerance, told):
    """Its first layer has a column more for each label, behind those of the characters."""
    config = config_of(cell, 2, 40, **TOLD[told])
    network = random_network(config, dtype=dtype, threads=2)
    batch = random_labels(random_batch(config, 20, 3, resets=False), config)
    losses, _ = network.loss_and_gradients(batch, network.initial_state(3))

    tensors = _tensors(network)
    layer, options = TWINS[cell]
    rnn = layer(config.input_size + config.classes, 40, 2, **options)
    readout = torch.nn.Linear(40, config.vocabulary_size)
    twin = torch.nn.ModuleDict({"rnn": rnn, "readout": readout})
    if config.embedding_size:
        twin["embedding"] = torch.nn.Embedding(config.vocabulary_size, config.embedding_size)
    twin.to(tensors["readout.bias"].dtype)
    twin.load_state_dict(tensors)
    inputs, targets = (torch.tensor(a, dtype=torch.long) for a in (batch.inputs, batch.targets))
    if config.embedding_size:
        x = twin["embedding"](inputs)
    else:
        x = torch.nn.functional.one_hot(inputs, config.vocabulary_size)
    labels = torch.tensor(batch.labels + 1, dtype=torch.long)  # the first column: none
    told_of = torch.nn.functional.one_hot(labels, config.classes + 1)[..., 1:].sum(dim=0)
    logits = readout(rnn(torch.cat([x, told_of], dim=-1).to(readout.weight.dtype))[0])
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    )
    expected.sum().backward()
    errors = {"losses": _error(losses.ravel(), expected), **_gradient_errors(network, twin)}
    assert max(errors.values()) < tolerance, errors
