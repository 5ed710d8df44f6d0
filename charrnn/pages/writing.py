"""A page that writes: one HTML file with a model inside, and what carries it out.

Its parts lie in ``charrnn/pages/writer``. They are plain JavaScript: the cells' equations, the
network's nodes, choosers and the page's own controls. The network is told as ``build`` states it,
with its parameters by their names; a new cell or node needs its equations in ``cells.js`` or
``network.js``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from pathlib import PureWindowsPath
from string import Template
from typing import Any

import numpy as np

from charrnn.network.description import architecture, weights
from charrnn.network.graph import Graph, build
from charrnn.network.heads import OutputUnits
from charrnn.network.nodes import Node, Recurrent
from charrnn.pages.rounding import stored
from charrnn.storage.checkpoint import SavedModel
from charrnn.storage.summary import reads_lines

_SCRIPTS = ("cells.js", "network.js", "sampling.js", "page.js")

#: What of a cell's declaration the page computes by; the rest is for training.
_DECLARED = (
    *("states", "source", "blocks", "input_blocks", "recurrent_blocks"),
    *("middle", "middle_blocks", "output_block", "by_character"),
)


def page_of(
    model: SavedModel, precision: str, *, title: str, loss: tuple[float, float] | None = None
) -> str:
    """The page of a model that writes, with its matrices in one of ``PAGE_PRECISIONS``.

    ``loss`` is what a text costs, in nats per character: by the model, and by the page. Raises
    ``UsageError`` where the weights do not fit the precision.
    """
    script = "".join(_part(name) for name in _SCRIPTS)
    style = _part("page.css")
    return Template(_part("page.html")).substitute(
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
        model=_harmless(json.dumps(described(model, precision, title, loss))),
    )


def _part(name: str) -> str:
    return (resources.files("charrnn.pages") / "writer" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _harmless(text: str) -> str:
    """JSON in ASCII that ends no element and begins no comment, whatever its strings hold."""
    return text.replace("<", "\\u003c")


def described(
    model: SavedModel, precision: str, title: str, loss: tuple[float, float] | None = None
) -> dict[str, Any]:
    """All that the page is told of the model, for JSON; arguments as those of ``page_of``."""
    return {
        "title": title,
        "about": _about(model, precision, loss),
        "characters": model.vocabulary.characters,
        "labels": model.labels,
        "lines": reads_lines(model.training),
        "ends": model.training.get("documents", 1) > 1,
        "nodes": _nodes(build(model.config)),
        "heads": model.config.members,
        "tensors": {name: _tensor(own, precision) for name, own in model.tensors.items()},
    }


def _about(
    model: SavedModel, precision: str, loss: tuple[float, float] | None
) -> list[tuple[str, str]]:
    """What is said of the model, name by name."""
    training = model.training
    rows = [
        ("Network", architecture(model.config)),
        ("Weights", f"{weights(model.config)}, matrices as {precision}"),
    ]
    if corpus := training.get("corpus"):
        names = (PureWindowsPath(path).name for path in corpus)  # it knows both kinds of paths
        rows.append(("Learned from", ", ".join(names)))  # folders are nobody's business
    validation = training.get("validation_loss")
    if validation is not None:
        rows.append(("Validation loss", f"{validation:.4f} nats per character"))
    if loss:
        rows.append(("Loss", f"{loss[0]:.4f} nats per character, {loss[1]:.4f} in this page"))
    return rows


def _nodes(graph: Graph) -> list[dict[str, Any]]:
    """The network's nodes in an order in which each reads what stands before it, heads last.

    Their outputs are logits; of several the mean of the probabilities counts.
    """
    nodes: list[Node] = []
    for layer in graph.nodes:
        nodes += [node for node in (*layer.reads, layer) if node not in nodes]
    return [
        {
            "kind": type(node).__name__,
            "names": node.names,
            "size": node.size,
            "reads": [nodes.index(source) for source in node.reads],
            **(_cell(node, graph) if isinstance(node, Recurrent) else {}),
            **({"scale": node.scale} if isinstance(node, OutputUnits) else {}),
        }
        for node in nodes
    ]


def _cell(node: Recurrent, graph: Graph) -> dict[str, Any]:
    """What only a recurrent layer has; ``head`` are the names of what it feeds back through."""
    cell = node.cell
    return {
        "cell": cell.__name__,
        **{name: getattr(cell, name) for name in _DECLARED},
        "fields": cell.learned(),
        "constants": [node.first_values(name).tolist() for name in cell.constants],
        "learned_start": node.start == "learned",
        "memory": node.memory,
        "room": node.room,
        "feedback": node.feedback,
        "head": graph.heads[0].names if node.feedback else None,  # it has no other
    }


def _tensor(tensor: np.ndarray, precision: str) -> dict[str, Any]:
    own = stored(tensor, precision)
    return {
        "shape": tensor.shape,
        "type": own.values.dtype.name,
        "values": _encoded(own.values),
        "scales": None if own.scales is None else _encoded(own.scales),
    }


def _encoded(values: np.ndarray) -> str:
    """The elements in base64, the lowest byte first."""
    little = values.astype(values.dtype.newbyteorder("<"))
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode()
