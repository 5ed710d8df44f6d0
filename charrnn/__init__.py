"""charrnn: learns any text character by character, and writes new text in its manner.

>>> import charrnn
>>> model = charrnn.load("model.safetensors")
>>> model.sample(200, temperature=0.8)

``charrnn.load`` gives a ``charrnn.inference.language_model.LanguageModel``, or where a model reads
a ``charrnn.inference.readers.Reader``. Training:

>>> trainer = charrnn.create_trainer(["corpus.txt"], training=charrnn.TrainingConfig(steps=500))
>>> for record in trainer.run():
...     print(record.step, record.loss, record.validation_loss)
>>> charrnn.save_model("model.safetensors", trainer.best)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: Where the public names are: they compile code, so they are imported when first asked for.
_PUBLIC = {
    "load": ("inference.models", "load"),
    "save_model": ("storage.checkpoint", "save_model"),
    "create_trainer": ("training.setup", "create_trainer"),
    "TextConfig": ("config", "TextConfig"),
    "TrainingConfig": ("config", "TrainingConfig"),
}

__all__ = ["TextConfig", "TrainingConfig", "create_trainer", "load", "save_model"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(f"charrnn.{module}"), attribute)
