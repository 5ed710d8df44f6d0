"""Small models that read, each trained once in a session, and the lines that they learn from."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

from trained import DINOSAURS, FABLES, run, small_trainer

from charrnn.config import TextConfig
from charrnn.inference.models import reader_of
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel


def names():
    """Names of dinosaurs."""
    return DINOSAURS.read_text(encoding="utf-8").split("\n")[:-1]


def words():
    """The longer words of the fables, each once."""
    found = re.findall(r"\w{6,}", FABLES.read_text(encoding="utf-8"))
    return list(dict.fromkeys(found))


def labelled_lines():
    """What is a dinosaur, and what is a word."""
    lines = [f"{name.lower()}\tdinosaur" for name in names()]
    return lines + [f"{word.lower()}\tword" for word in words()]


def tagged_lines():
    """Sentences with names and numbers."""
    return [
        f"the <animal>{name}</animal> of {number} &amp; <count>{number * 7}</count> eggs"
        for number, name in enumerate(names()[:600])
    ]


def _trained(corpus, steps=150, hidden_size=24, **text) -> SavedModel:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("\n".join(corpus) + "\n", encoding="utf-8")
        # Whatever is planned for such runs, these learn fast.
        trainer = small_trainer(path, text=TextConfig(**text), hidden_size=hidden_size, steps=steps,
                                dropout=0.0, weight_decay=0.0)  # fmt: skip
        run(trainer)
        return trainer.best


@functools.cache
def labeller() -> SavedModel:
    """A model that tells dinosaurs from words."""
    return _trained(labelled_lines(), task="label")


@functools.cache
def labeller_of_several() -> SavedModel:
    """A model that tells which of the vowels a word has, from none to all."""
    vowels = [(word, ",".join(v for v in "aeiou" if v in word)) for word in words()]
    return _trained([f"{w}\t{v}" for w, v in vowels], 250, task="label", multiple=True)


@functools.cache
def tagger() -> SavedModel:
    """A model that finds animals and counts."""
    return _trained(tagged_lines(), 200, task="tags")


@functools.cache
def restorer() -> SavedModel:
    """A model that puts capitals and punctuation back into running text."""
    text = FABLES.read_text(encoding="utf-8").split("\n")
    return _trained(text, 400, 64, task="restore", restore="case,punctuation")


@functools.cache
def restorer_of_spaces() -> SavedModel:
    """A model that puts spaces back into lines."""
    text = FABLES.read_text(encoding="utf-8").split("\n")
    return _trained(text, 200, task="restore", restore="spaces", lines=True)


def reader(saved: SavedModel, threads=1):
    """The model as ``charrnn.load`` would give it."""
    network = Network(saved.config, threads=threads)
    network.load(saved.tensors)
    return reader_of(saved, network)


def lowered_words():
    """The longer words of the fables in small letters, each once."""
    return list(dict.fromkeys(word.lower() for word in words()))


def in_pig_latin(word):
    """What stands before the first vowel goes to the end."""
    before = re.match(r"[^aeiou]*", word)[0]
    return f"{word[len(before) :]}{before}ay"


def doubled(word):
    """Each vowel twice."""
    return re.sub(r"([aeiou])", r"\1\1", word)


def paired_lines():
    """Words, each written otherwise, by one rule or the other."""
    lines = [(w, in_pig_latin(w), "latin") for w in lowered_words()[::2]]
    lines += [(w, doubled(w), "word") for w in lowered_words()[1::2]]
    return ["\t".join(line) for line in lines]


@functools.cache
def answerer() -> SavedModel:
    """A model that writes words in pig latin, with attention."""
    pairs = [f"{word}\t{in_pig_latin(word)}" for word in lowered_words()]
    return _trained(pairs, 300, 48, task="pairs")


@functools.cache
def aligner() -> SavedModel:
    """A model that doubles vowels, which are symbols of two letters, by CTC."""
    pairs = [f"{word}\t{' '.join(doubled(letter) for letter in word)}" for word in lowered_words()]
    return _trained(pairs, 150, 24, task="pairs", decoder="ctc", target_symbols=True)
