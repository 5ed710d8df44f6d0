"""A run that starts from the weights of a model, with characters that the model did not know."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from charrnn.config import DECODERS, TextConfig
from charrnn.errors import UsageError
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.text.display import printable


def shape_of(start: SavedModel, given: dict[str, Any]) -> dict[str, Any]:
    """What ``ModelConfig`` needs to be that of ``start``, but for the size of the vocabulary.

    Raises ``UsageError`` where a value that is ``given`` (None: it is not) is another.
    """
    values = dataclasses.asdict(start.config)
    other = [n for n, value in given.items() if value is not None and value != values[n]]
    if other:
        kept = ", ".join(f"`{n}` {values[n]}" for n in other)
        raise UsageError(f"the model to start from has {kept}, and a run from it keeps that: "
                         "leave the option out")  # fmt: skip
    del values["vocabulary_size"]
    return values


def refuse_another_task(start: SavedModel, text: TextConfig) -> None:
    """Raise ``UsageError`` where a model does something else than is to be learned of ``text``."""
    told = bool(start.config.classes and start.config.writes)
    restored = str(start.training.get("text", {}).get("restore", ""))
    if start.config.task != text.task or told != bool(text.labels):
        does = "writes by labels" if told else f"has the `task` {start.config.task}"
    elif start.config.multiple != text.multiple:
        does = f"tells {'any number of labels' if start.config.multiple else 'one label'} of a text"
    elif start.config.decoder and start.config.decoder != (text.decoder or DECODERS[0]):
        does = f"has the `decoder` {start.config.decoder}"
    elif start.training.get("text", {}).get("target_symbols", False) != text.target_symbols:
        does = f"writes {'characters' if text.target_symbols else 'symbols, `target_symbols`'}"
    elif _kinds(restored) != _kinds(text.restore):
        does = f"restores {printable(restored)}"
    else:
        return
    raise UsageError(f"the model to start from {does}: a run from it keeps that; start anew, or "
                     "give the same options")  # fmt: skip


def _kinds(listed: str) -> set[str]:
    return {kind.strip() for kind in listed.split(",")}


def refuse_new_characters(start: SavedModel, vocabulary_size: int) -> None:
    """Raise ``UsageError`` for a larger vocabulary where units stand for characters.

    Others would stand for them then.
    """
    heads = build(start.config).heads
    if vocabulary_size > start.config.vocabulary_size and not heads[0].parameters:
        raise UsageError(f"the units of {start.config.cell} stand for characters, and it takes no "
                         "new ones: start anew")  # fmt: skip


def carry_over(start: SavedModel, network: Network) -> None:
    """Give an initialized ``network`` the weights of ``start``.

    Its vocabulary is that of ``start`` with characters added at the end; all else has the same
    shape, so that every tensor of ``start`` is the first corner of the network's, but for what
    belongs to labels, which lies behind what belongs to characters. What lies beyond it stays as it
    was drawn, but for the biases of the readout: there the new characters together begin as an
    average one, so that a text without them is predicted as before, however many they are
    (docs/measurements.md). Raises as ``refuse_new_characters``.
    """
    config = network.config
    refuse_new_characters(start, config.vocabulary_size)
    told = config.classes - config.symbols if config.writes or config.decoder else 0
    for parameter in network.graph.parameters:
        name, tensor = parameter.name, network.parameters[parameter.name]
        old = start.tensors[name]
        # Of pairs labels are read as characters are.
        has_labels = parameter.chosen if config.decoder else name.endswith("rnn.weight_ih_l0")
        if told and has_labels and tensor.shape != old.shape:
            axis = int(tensor.shape[0] == old.shape[0])
            old, labels = np.split(old, [old.shape[axis] - told], axis)
            np.split(tensor, [tensor.shape[axis] - told], axis)[1][:] = labels
        tensor[tuple(map(slice, old.shape))] = old
    for name in (head.named("bias") for head in network.graph.heads if head.parameters):
        old = start.tensors[name]
        if added := network.parameters[name][old.size :].size:
            network.parameters[name][old.size :] = old.mean() - math.log(added)
    network.pack()
