"""What does not fit into the memory is told with how much it takes, before it is taken."""

import numpy as np
import pytest
from commands import assert_one_line_error, execute_code, invoke
from trained import FABLES

from charrnn.config import ModelConfig, TrainingConfig
from charrnn.errors import CharrnnError
from charrnn.network.parameters import parameter_count
from charrnn.training import needs
from charrnn.training.needs import check_run

HUGE = ("--hidden-size", 65_000, "--layers", 60)


@pytest.mark.parametrize(
    "command",
    [
        ("train", FABLES, "--model", "m", *HUGE),
        ("plan", FABLES, *HUGE),
        ("compare", FABLES, "--cells", "lstm", *HUGE),
        ("compare", FABLES, "--vary", "hidden-size=65000,8", "--layers", 60, "--steps", 3),
        ("gradients", FABLES, "--cell", "gru", *HUGE),
        ("benchmark", *HUGE),
    ],
    ids=lambda command: command[0],
)
def test_a_network_that_is_too_large_is_one_line(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    done = invoke(*command)
    words = ("not enough memory: a network of ", " weights takes at least ", "--hidden-size")
    assert_one_line_error(done, 1, *words)
    assert not list(tmp_path.iterdir())


def test_what_is_counted_are_weights_and_chunks(monkeypatch):
    config, training = ModelConfig(60, hidden_size=64, layers=1), TrainingConfig(optimizer="sgd")
    weights = 4 * 7 * parameter_count(config)
    monkeypatch.setattr(needs, "memory_size", lambda: weights + 2000)
    check_run(config, training, 10**6)
    long = TrainingConfig(optimizer="sgd", batch_size=1000, sequence_length=1000)
    check_run(config, long, 1)  # no more lanes than the text has characters
    with pytest.raises(CharrnnError, match=r"a smaller `batch_size`, `sequence_length` or `hidden"):
        check_run(config, long, 10**6)
    with pytest.raises(CharrnnError, match=r"there are .* give a smaller `hidden_size`"):
        check_run(config, TrainingConfig(), 10**6)  # adam has two moments


def test_what_numpy_had_no_room_for_is_told(monkeypatch):
    def fail(*_):
        np.empty(2**55)

    monkeypatch.setattr("charrnn.storage.checkpoint.load_model", fail)
    assert_one_line_error(invoke("info"), 1, "not enough memory for 256. PiB more: try a smaller")


@pytest.mark.faults
def test_no_room_to_save_is_one_line(tmp_path):
    """The serializer would end the process with a backtrace."""
    code = """
import resource, sys
from charrnn.cli.main import main
from charrnn.storage import tensors
packed = tensors.packed
def limited(*arguments):
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return packed(*arguments)
from charrnn.storage import checkpoint
checkpoint.packed = limited
main(sys.argv[1:], prog_name="charrnn")
"""
    options = ("--layers", 1, "--hidden-size", 512, "--steps", 1, "--validations", 1)
    done = execute_code(code, "train", FABLES, "--model", tmp_path / "m", *options)
    *_, last = done.stderr.decode().splitlines()
    assert done.returncode == 1 and last.startswith("Error: not enough memory"), last
    assert b"Traceback" not in done.stderr and b"stack backtrace" not in done.stderr
    assert not list(tmp_path.iterdir())
