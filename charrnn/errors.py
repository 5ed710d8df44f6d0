"""What can go wrong, in words for the user: the cause and what to do about it."""

from __future__ import annotations


class CharrnnError(Exception):
    """Something that the user can mend; the message says what and how.

    It names fields of configurations in backticks, as ``clip_norm``; the command line makes options
    of them.
    """


class UsageError(CharrnnError):
    """An option or a value that makes no sense: the command line was wrong (exit code 2)."""


class CorpusError(CharrnnError):
    """A text that cannot be read or learned from."""


class ModelFileError(CharrnnError):
    """A model file that is missing, damaged, foreign or in the way."""


class TrainingError(CharrnnError):
    """A run that cannot go on."""


class CompressionError(CharrnnError):
    """A compressed text that is damaged, foreign or made with another model."""
