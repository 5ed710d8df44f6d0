"""Numbers that go wrong in a run: it recovers or ends, and what it has saved is finite."""

import itertools
import math

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from runs import corpus_in

from charrnn.cells import CELLS
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_count
from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.training.optimizer import Optimizer
from charrnn.training.trainer import MOST_SKIPPED, Trainer

pytestmark = pytest.mark.faults

SMALL = ("--layers", 1, "--hidden-size", 8, "--batch-size", 4, "--sequence-length", 8,
         "--threads", 1, "--steps", 60, "--validations", 12)  # fmt: skip

#: Options of a cell of which some units are the characters of the text.
FITTING = ("--hidden-size", 56)

#: What is trained: every cell as it writes, and what models tell.
KINDS = {
    **{"-".join(own): ("--cell", own[0], "--activation", own[1],
                       *(FITTING if cell.output_scale is not None else ()))
       for own, cell in CELLS.items()},
    "label": ("--task", "label"),
    "tags": ("--task", "tags"),
}  # fmt: skip


#: A rate that no network bears.
HIGHEST = ("--learning-rate", 99)


@pytest.fixture
def model(tmp_path):
    """Where a model is to be written."""
    return tmp_path / "m.st"


@pytest.fixture(params=KINDS)
def command(request, tmp_path, model):
    """Trains one of the kinds."""
    corpus = corpus_in(tmp_path)
    if request.param == "label":
        corpus.write_text("".join(f"{n:04}\t{'eo'[n % 2]}\n" for n in range(300)))
    if request.param == "tags":
        corpus.write_text("".join(f"the <n>{n:04}</n> eggs\n" for n in range(300)))
    return ("train", corpus, "--model", model, *SMALL, *KINDS[request.param])


def _assert_kept_finite(model):
    """What is on the disk, if anything; it goes on."""
    if model.exists():
        saved = load_model(model)
        assert saved.finite
        losses = (saved.training["validation_loss"], saved.training["training_loss"])
        assert all(loss is None or math.isfinite(loss) for loss in losses)
    if resume_path(model).exists():
        state = load_resume(resume_path(model))
        assert np.isfinite(state.arrays["values"]).all()


def _assert_ended(done, model):
    """Through, or with one line that says what to try."""
    assert done.exit_code in (0, 1), done.stderr
    *_, last = done.stderr.splitlines()
    if done.exit_code:
        assert last.startswith("Error: training came to nothing: ") and "try a smaller" in last
        assert (str(model) in last) == model.exists()
    _assert_kept_finite(model)


def test_a_rate_that_is_far_too_high(command, model):
    """The highest that may be given, and one that may not."""
    refused = invoke(*command, "--learning-rate", 1e6)
    assert_one_line_error(refused, 2, "learning rate must be above 0 and below 100")
    _assert_ended(invoke(*command, *HIGHEST), model)
    model.unlink(missing_ok=True)
    worst = (*HIGHEST, "--optimizer", "sgd", "--clip-norm", "inf", "--force")
    _assert_ended(invoke(*command, *worst), model)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["gradients", "losses"])
def test_what_goes_wrong_now_and_then_is_skipped_and_counted(
    command, model, value, what, monkeypatch
):
    """A loss that is no number goes with gradients that are none."""
    real, calls = Network.loss_and_gradients, itertools.count(1)

    def spoilt(self, *arguments):
        losses, state = real(self, *arguments)
        if next(calls) in (3, 20, 21, 40):
            self.gradients[parameter_count(self.config) - 1] = value  # of the readout: it learns
            if what == "losses":
                losses.flat[0] = value
                state[:] = value
        return losses, state

    monkeypatch.setattr(Network, "loss_and_gradients", spoilt)
    done = invoke(*command)
    assert done.exit_code == 0, done.stderr
    _assert_kept_finite(model)
    assert load_resume(resume_path(model)).values["skipped"] == 4
    assert load_model(model).training["steps"] > 0


def test_what_stays_wrong_ends_the_run_and_names_the_last_good_model(command, model, monkeypatch):
    norm, calls = Optimizer.gradient_norm, itertools.count(1)
    monkeypatch.setattr(
        Optimizer, "gradient_norm", lambda self, n: norm(self, n) if next(calls) < 30 else math.nan
    )
    done = invoke(*command)
    assert done.exit_code == 1
    *_, last = done.stderr.splitlines()
    assert f"{MOST_SKIPPED} gradients in a row were not finite at step 39" in last
    assert f"the best model so far is in {model}" in last
    _assert_kept_finite(model)
    assert load_model(model).training["steps"] <= 30
    monkeypatch.undo()
    assert invoke("train", command[1], "--model", model, "--resume").exit_code == 0
    assert load_resume(resume_path(model)).values["step"] == 60


def test_weights_that_are_hardly_numbers(command, model, monkeypatch):
    """The smallest that there are, in all places, from the first step on."""
    begin = Trainer.__init__

    def denormal(self, *arguments, **options):
        begin(self, *arguments, **options)
        self.network.values[:] = np.float32(1e-45)
        self.optimizer.average[:] = self.network.values
        self.network.pack()

    monkeypatch.setattr(Trainer, "__init__", denormal)
    done = invoke(*command)
    assert done.exit_code == 0, done.stderr
    _assert_kept_finite(model)
    assert math.isfinite(load_model(model).training["training_loss"])


def test_a_text_of_one_character(command, model):
    if "--task" in command:
        text = "a\te\n" * 200 if "label" in command else "<n>a</n>\n" * 200
    else:
        text = "a" * 3000
    command[1].write_text(text)
    done = invoke(*command)
    if "label" in command:  # one class only is nothing to tell
        assert done.exit_code in (0, 1) and "Traceback" not in done.stderr
    else:
        assert done.exit_code == 0, done.stderr
    _assert_kept_finite(model)
    done = invoke(*command, *HIGHEST, "--force")
    assert done.exit_code in (0, 1)
    _assert_kept_finite(model)
