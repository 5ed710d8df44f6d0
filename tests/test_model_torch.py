"""The same network in PyTorch, with the same weights: losses, states and all gradients."""

import numpy as np
import pytest
from samples import config_of, random_batch, random_network, random_state

from charrnn.cells import CELLS

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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)])
@pytest.mark.parametrize("cell", TWINS, ids=["-".join(key) for key in TWINS])
@pytest.mark.parametrize("embedding", [0, 20], ids=lambda n: f"embedding{n}")
@pytest.mark.parametrize("size", SIZES)
def test_losses_states_and_gradients_are_pytorchs(cell, dtype, tolerance, embedding, size):
    hidden_size, lanes, steps, layers = SIZES[size]
    config = config_of(cell, layers, hidden_size, embedding, vocabulary_size=68)
    network = random_network(config, dtype=dtype, threads=2)
    batch = random_batch(config, steps, lanes, resets=False)
    state = random_state(network, lanes)
    losses, after = network.loss_and_gradients(batch, state)

    twin = _Twin(config, {name: torch.tensor(t) for name, t in network.parameters.items()})
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
    gradients = network.views(network.gradients)
    assert gradients.keys() == dict(twin.named_parameters()).keys()
    for name, parameter in twin.named_parameters():
        errors[name] = _error(gradients[name], parameter.grad)
    assert max(errors.values()) < tolerance, errors


def test_every_cell_that_pytorch_has_is_compared():
    assert set(TWINS) <= set(CELLS)
