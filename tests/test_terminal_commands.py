"""No command lets a model, a text, a label or a name control the terminal that it is shown on.

Everything that has a name is hostile here, and every command has a pseudo-terminal to write to;
what it shows is looked at byte by byte.
"""

import json
import re

import pytest
from commands import invoke, invoke_on_terminal
from trained import save_unchecked, small_trainer, told_writer, with_biases

from charrnn.config import TextConfig
from charrnn.storage.checkpoint import SavedModel, save_model

pytestmark = pytest.mark.faults

#: What a terminal takes for a title, a colour, a bell, an erasure, a query, or another order of
#: what is read; in C0, in C1 as it is in UTF-8, and as Unicode has it.
HOSTILE = "\x1b]0;x\a\x1b[31m\x9b2J\x9d0;y\x9c\b\x7f\x0e\r\v\f\x85\u200e\u202e\u2066\u2028"

#: The same in a name of a file, and of a label, which a line of its own could not hold.
NAME = HOSTILE + "n"

#: What no command may send: controls but for line ends and tabs, and what turns text around.
CONTROLS = re.compile(
    "[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)

#: What tqdm sends to rewrite its line, and scores to colour their own: no more than these.
_REWRITTEN = re.compile(r"\r|\x1b\[A")
_COLOURS = re.compile(r"\x1b\[(38;5;16;48;5;\d{1,3})?m|\x1b\[0m")

RUN = ("--layers", "1", "--hidden-size", "8", "--batch-size", "4", "--sequence-length", "8",
       "--steps", "3", "--validations", "1", "--warmup-steps", "1", "--threads", "1")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models, texts and logs, all of them hostile, in a folder with a hostile name."""
    folder = tmp_path_factory.mktemp("hostile") / NAME
    folder.mkdir()
    words = ["a" + HOSTILE, "b", HOSTILE]
    (folder / f"{NAME}.txt").write_text("\n".join(words * 30), newline="", encoding="utf-8")
    (folder / f"x{NAME}.txt").write_text("abc", encoding="utf-8")
    labels = [f"{word}\t{HOSTILE.replace(chr(13), '')}{n % 2}" for n, word in enumerate("abcd" * 9)]
    (folder / "lines.tsv").write_text("\n".join(labels), newline="", encoding="utf-8")
    (folder / "tags.txt").write_text("é<t>x</t>\x1b[31m\x9b\u202e\n" * 20, encoding="utf-8")
    characters = "".join(sorted({*HOSTILE, *"ab\n"}))
    writer = with_biases(characters)
    origin = {"corpus": [NAME], "init_from": NAME, "text": {"lines": False}, "version": NAME}
    save_model(folder / "writer", SavedModel(writer.config, writer.vocabulary, writer.tensors,
                                             {**writer.training, **origin}))  # fmt: skip
    told = told_writer()
    names = (NAME, HOSTILE, "male", "melville")
    save_model(folder / "told", SavedModel(told.config, told.vocabulary, told.tensors,
                                           told.training, names))  # fmt: skip
    by_files = {**told.training, "text": {"labels": "files"}}
    save_model(folder / "by files", SavedModel(told.config, told.vocabulary, told.tensors,
                                               by_files, names))  # fmt: skip
    for name, text, task in (
        ("labeller", "lines.tsv", "label"),
        ("tagger", "tags.txt", "tags"),
        ("answerer", "lines.tsv", "pairs"),
    ):
        trainer = small_trainer(folder / text, text=TextConfig(task=task), hidden_size=8, steps=3,
                                validations=1, batch_size=4, sequence_length=128)  # fmt: skip
        list(trainer.run())
        save_unchecked(folder / name, trainer.best)
    record = {"step": 1, "loss": 1.5, NAME: NAME}
    (folder / f"{NAME}.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    packed = invoke("compress", folder / TEXT, "--model", folder / "writer", "--output",
                    folder / "packed.rnn")  # fmt: skip
    assert packed.exit_code == 0, packed.stderr
    return folder


TEXT, LOG = f"{NAME}.txt", f"{NAME}.jsonl"

#: Commands that print what is hostile in them: of a model, a text, a label, a tag or a log.
PRINTED = {
    "info": ("info", "--model", "writer"),
    "info of labels": ("info", "--model", "labeller"),
    "sample": ("sample", "--model", "writer", "--seed", "1", "--prime", HOSTILE),
    "sample of labels": ("sample", "--model", "told", "--label", NAME, "--length", "9"),
    "sample as JSON": ("sample", "--model", "writer", "--seed", "1", "--json"),
    "next": ("next", "--model", "writer", "--prime", HOSTILE, "--top", "50"),
    "score": ("score", TEXT, "--model", "writer"),
    "score of several": ("score", TEXT, "--model", "writer", "--model", "told"),
    "score of lines": ("score", TEXT, "--lines", "--copied", TEXT, "--copied-length", "3",
                       "--model", "writer"),
    "score of characters": ("score", TEXT, "--per-character", "--model", "writer"),
    "score by labels": ("score", "--labels", TEXT, "--model", "told"),
    "apply": ("apply", TEXT, "--model", "labeller"),
    "apply best": ("apply", TEXT, "--best", "2", "--terms", "2", "--model", "labeller"),
    "apply told": ("apply", TEXT, "--best", "2", "--model", "told"),
    "apply tags": ("apply", TEXT, "--model", "tagger"),
    "apply pairs": ("apply", "tags.txt", "--best", "2", "--model", "answerer"),
    "recall": ("recall", TEXT, "--line", HOSTILE),
    "neurons": ("neurons", TEXT, "--model", "writer"),
    "neurons of labels": ("neurons", "lines.tsv", "--model", "labeller"),
    "evaluate": ("evaluate", TEXT, TEXT, "--model", "writer", "--by-position"),
    "evaluate labels": ("evaluate", "lines.tsv", "--model", "labeller"),
    "evaluate tags": ("evaluate", "tags.txt", "--model", "tagger"),
    "plan": ("plan", TEXT, *RUN),
    "compare": ("compare", TEXT, "--cells", "lstm", *RUN),
    "gradients": ("gradients", TEXT, "--model", "writer", "--positions", "4", "--steps-back", "4"),
    "plot": ("plot", LOG),
    "decompress": ("decompress", "packed.rnn", "--output", "-", "--model", "writer"),
}  # fmt: skip

#: Commands that tell of something hostile on standard error, on the way or at their end.
SAID = {
    "train": ("train", TEXT, "--model", f"{NAME}.st", "--force", "--sample-every", "1", *RUN),
    "train labels": ("train", "lines.tsv", "--task", "label", "--model", "x", "--force", *RUN),
    "compare": ("compare", TEXT, "--cells", "lstm", "--output", f"{NAME}.d", "--force", *RUN),
    "unknown characters": ("next", "--model", "told", "--prime", HOSTILE),
    "no such label": ("sample", "--model", "told", "--label", f"{HOSTILE}z"),
    "no such file": ("score", f"{NAME}.none", "--model", "writer"),
    "no model": ("info", "--model", LOG),
    "no log": ("plot", TEXT),
    "no text": ("evaluate", ".", "--model", "writer"),
    "no lines with labels": ("evaluate", TEXT, "--model", "labeller"),
    "no pattern": ("sample", "--model", "writer", "--match", f"({HOSTILE}"),
    "no match": ("sample", "--model", "told", "--match", HOSTILE),
    "no pattern of units": ("neurons", TEXT, "--model", "writer", "--find", f"({HOSTILE}"),
    "no encoding": ("score", TEXT, "--model", "writer", "--encoding", HOSTILE),
    "no file of a name that is a label": ("evaluate", f"x{TEXT}", "--model", "by files"),
    "no page": ("report", "--model", "writer", "--output", f"{NAME}/{NAME}.html"),
    "page": ("report", "--model", "writer", "--text", TEXT, "--output", f"{NAME}.html"),
    "exported": ("export", f"{NAME}.html", "--model", "writer", "--force"),
    "no compressed text": ("decompress", TEXT, "--model", "writer", "--output", "x"),
    "compressed": ("compress", TEXT, "--model", "writer", "--output", f"{NAME}.rnn", "--force"),
    "no command": (HOSTILE,),
    "no option": ("info", f"--{HOSTILE}"),
    "no number": ("sample", "--length", HOSTILE),
}


@pytest.fixture(autouse=True)
def _in_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def _shown(stream, words):
    code, shown = invoke_on_terminal(stream, *words)
    assert code in (0, 1, 2) and shown, words
    assert "Traceback" not in shown, shown
    return code, shown.replace("\r\n", "\n")


@pytest.mark.parametrize("words", PRINTED.values(), ids=PRINTED)
def test_what_is_printed_controls_no_terminal(words):
    code, shown = _shown("stdout", words)
    assert code == 0
    if "--per-character" in words:
        shown = _COLOURS.sub("", shown)
    assert not CONTROLS.findall(shown), shown


@pytest.mark.parametrize("words", SAID.values(), ids=SAID)
def test_what_is_said_controls_no_terminal(words):
    code, shown = _shown("stderr", words)
    assert not CONTROLS.findall(_REWRITTEN.sub("", shown)), shown
    if code:
        assert shown.startswith("Error: ") or "\nError: " in shown


def test_every_command_that_prints_what_it_is_given_is_tried():
    from charrnn.cli.main import COMMANDS

    tried = {words[0] for words in (*PRINTED.values(), *SAID.values())}
    assert set(COMMANDS) - tried == {"benchmark", "compile"}
