"""A report on a model: one page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.errors import UsageError
from charrnn.inference.labelling import Labeller
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.models import model_of
from charrnn.inference.readers import Reader
from charrnn.inference.transcription import Transcriber
from charrnn.storage.checkpoint import SavedModel
from charrnn.studies.activity import Activity
from charrnn.studies.neurons import Neuron, neurons
from charrnn.studies.report import charts, reading, run, writing
from charrnn.studies.texts import read_text
from charrnn.text.documents import Documents
from charrnn.text.running import RunningText

#: Units that are told of, characters that they are shown on, and the colours of their outputs.
_UNITS, _HEATED, _COLOURS = 12, 1_500, 9


#: What may be on a page; None: it does not fit the model, or is not known.
_NOTHING = dict.fromkeys(
    ("samples", "stages", "characters", "measured", "gradients", "figures", "confusion",
     "f1_of_tags", "calibration", "attended", "answers", "units")
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """What is on it: what is known of the run, and ``content``, which has all of ``_NOTHING``."""

    name: str
    text_name: str | None  # of the text that was measured; None: the model wrote it, if any
    saved: SavedModel
    curves: list[charts.Chart]
    content: dict[str, Any]


def report(
    path: Path,
    saved: SavedModel,
    *,
    text: str | None = None,
    log: Sequence[dict[str, Any]] = (),
    find: str | None = None,
    threads: int = 0,
    **reading_options: Any,
) -> str:
    """The page on a model that lies at ``path``, as HTML.

    What the model makes of a ``text``, a file, is shown; without one a model that writes is shown
    its own text, and one that reads none. ``log`` are records of its run, ``find`` is as in
    ``neurons``, ``reading_options`` are as ``read_text`` takes them. Raises as that, and
    ``UsageError`` where the pattern holds nowhere.
    """
    model = model_of(saved, threads=threads)
    curves = run.curves(saved, log)
    if isinstance(model, Reader):
        content = _of_reader(model, text, reading_options)
    else:
        content = _of_writer(model, saved, text, threads, reading_options)
    known = content.pop("known")
    content["character_data"] = [
        (own.shown, own.bits, own.alternatives) for own in content.get("characters") or ()
    ]
    if known is not None:
        content["units"] = _units(model, known, find)
    name = Path(text).name if text else None
    return _rendered(Page(path.name, name, saved, curves, _NOTHING | content))


def _of_writer(
    model: LanguageModel, saved: SavedModel, file: str | None, threads: int, options: dict[str, Any]
) -> dict[str, Any]:
    known = read_text(model, [file], **options) if file else writing.own_text(model)
    content = {"known": None, "samples": writing.samples(model), "stages": writing.stages(model)}
    if not isinstance(known, RunningText) or known.positions < 2:  # a model that writes nothing
        return content
    return content | {
        "known": known,
        "characters": writing.characters(model, known),
        "measured": writing.measured(model, known),
        "gradients": writing.gradients(saved, known, threads),
    }


def _of_reader(model: Reader, file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    if file is None:
        return {"known": None}
    encoding = options.get("encoding", "utf-8")
    figures = reading.figures(model, file, encoding)
    if isinstance(model, Transcriber):
        answers = reading.answered_pairs(model, file, encoding)
        return {"known": None, "figures": _in_words(figures), "answers": answers}
    known = read_text(model, [file], **options)
    assert isinstance(known, Documents)
    counts = figures.pop("confusion", None)
    tags = figures.pop("f1_of_tags", None)
    content: dict[str, Any] = {}
    if isinstance(model, Labeller):
        content["calibration"] = reading.calibration(model, known)
        content["attended"] = reading.attended(model, known)
    return content | {
        "known": known,
        "figures": _in_words(figures),
        "confusion": counts and reading.confusion(counts),
        "f1_of_tags": tags,
        "answers": reading.answers(model, known),
    }


def _in_words(figures: dict[str, float]) -> dict[str, str]:
    return {name.replace("_", " "): _number(value) for name, value in figures.items()}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


@dataclass(frozen=True)
class _Units:
    """Some units, and how high each is on the characters of a text."""

    neurons: list[Neuron]
    text: str
    breaks: list[int]  # where a document begins whose beginning is no character
    levels: list[str]  # of each unit: a digit for each character


def _units(
    model: LanguageModel | Reader, known: RunningText | Documents, find: str | None
) -> _Units | None:
    """None where the text is too short to tell anything of units."""
    try:
        found, activity = neurons(model.network, model.vocabulary, known, find=find, top=_UNITS)
    except UsageError:
        if find is not None:
            raise
        return None
    chosen = found[:_UNITS]
    levels = [_levels(activity, neuron.index) for neuron in chosen]
    text, begins = activity.text[:_HEATED], activity.bounds[1:-1].tolist()
    breaks = [begin for begin in begins if begin < len(text) and text[begin] != "\n"]
    return _Units(chosen, text, breaks, levels)


def _levels(activity: Activity, unit: int) -> str:
    """Digits from 0, as far below zero as the output goes, to 8."""
    outputs = activity.outputs[:_HEATED, unit].astype(np.float64)
    shares = outputs / max(np.abs(outputs).max(), 1e-9)
    levels = np.rint((shares + 1) / 2 * (_COLOURS - 1)).astype(int)
    return "".join(map(str, levels.tolist()))


def _rendered(page: Page) -> str:
    """The page by its template. What comes from a model or a text is escaped there."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    folder = files("charrnn.studies.report") / "templates"
    style, script = ((folder / name).read_text("utf-8") for name in ("style.css", "script.js"))
    environment = Environment(
        loader=PackageLoader("charrnn.studies.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html").render(
        page=page, policy=policy, style=style, script=script, version=__version__,
        facts=run.facts(page.saved), choices=run.choices(page.saved), size=charts,
        reasons=[why.replace("`", "") for why in page.saved.training.get("reasons", [])],
        bounds=writing.BOUNDS, **page.content,
    )  # fmt: skip


def _source(code: str) -> str:
    """What a content security policy calls a style or a script that may be used."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"'sha256-{digest}'"
