"""How files become texts, and what is learned of them."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.config.checks import require, require_between, require_choice, require_kinds

#: What a network does with texts: it writes them, or it reads them and tells a label of each, tags
#: in them, what was taken out of them, or what each of them is when it is written otherwise.
TASKS = ("write", "label", "tags", "restore", "pairs")

#: How a network writes what belongs to a text: a symbol at a time, with attention to the text, or
#: all at once, a symbol or nothing at each step of it.
DECODERS = ("attention", "ctc")

#: Where the labels of texts to write come from: columns behind tabs, or the names of files.
LABELS = ("columns", "files")

#: What can be taken out of a text and put back.
RESTORABLE = ("case", "accents", "punctuation", "spaces", "newlines", "gaps")


@dataclass(frozen=True)
class TextConfig:
    """How files become documents. Raises ``UsageError`` for a value of another type or range."""

    lines: bool = False  # every line is a document, instead of every file
    min_count: int = 1  # characters seen less often become UNKNOWN
    encoding: str = "utf-8"  # of all files
    normalize_newlines: bool = False  # read \r\n and \r as \n
    validation: str | None = None  # a file of its own to validate on
    validation_fraction: float = 0.1  # share of the corpus that is kept for validation
    task: str = "write"  # what is learned of it: one of TASKS
    labels: str | None = None  # of texts to write: from columns of lines, or names of files
    multiple: bool = False  # label: whether a text has any number of labels, with commas
    balance: bool = False  # label: whether rare labels count as much as others
    restore: str = ""  # what is taken out of the text and put back: some of RESTORABLE, with commas
    decoder: str | None = None  # pairs: one of DECODERS; None: attention
    target_symbols: bool = False  # pairs: whether right sides are symbols with spaces between them

    def __post_init__(self) -> None:
        require_kinds(self)
        require("\0" not in (self.validation or ""), "validation must be the name of a file")
        require_between("min count", self.min_count, 1, 10**9)
        require(
            0 <= self.validation_fraction <= 0.9,
            f"validation fraction must be from 0 to 0.9, not {self.validation_fraction}",
        )
        self._check_task()

    def _check_task(self) -> None:
        require_choice("task", self.task, TASKS)
        if self.labels is not None:
            require_choice("labels", self.labels, LABELS)
        told_in_vain = self.labels is not None and self.task != "write"
        require(not told_in_vain, f"`labels` is for texts to write, not for the task {self.task}")
        for name in ("multiple", "balance"):
            require(self.task == "label" or not getattr(self, name),
                     f"`{name}` is for the task label")  # fmt: skip
        require(not (self.balance and self.multiple), "give `balance` or `multiple`, not both")
        require(self.task == "pairs" or not (self.decoder or self.target_symbols),
                "`decoder` and `target_symbols` are for the task pairs")  # fmt: skip
        if self.decoder is not None:
            require_choice("decoder", self.decoder, DECODERS)
        require(
            self.task == "restore" or not self.restore,
            f"`restore` is for texts that something is taken out of, not for the task {self.task}",
        )
        require(
            self.task != "restore" or bool(self.restore),
            f"the task restore takes what to `restore`, any of {', '.join(RESTORABLE)}",
        )
        for kind in self.restored:
            require_choice("what to restore", kind, RESTORABLE)

    @property
    def restored(self) -> tuple[str, ...]:
        """What is taken out of the text and put back."""
        return tuple(kind.strip() for kind in self.restore.split(",")) if self.restore else ()

    @property
    def aligned(self) -> bool:
        """Whether right sides are told step by step of left sides, by CTC."""
        return self.decoder == "ctc"

    @property
    def by_line(self) -> bool:
        """Whether every line is a document of its own."""
        return self.lines or self.task in ("label", "tags", "pairs") or self.labels == "columns"
