"""The benchmark: its figures hang together; how large they are is the machine's affair."""

import dataclasses
import importlib
import json
import pkgutil

import numpy as np
import pytest
from commands import invoke
from samples import config_of

from charrnn import compute
from charrnn.compute import limits
from charrnn.compute.cache import Kernel
from charrnn.compute.target import VECTOR_BYTES
from charrnn.config import OPTIMIZERS, ModelConfig, SamplingConfig, TrainingConfig
from charrnn.network.network import Network
from charrnn.studies import benchmark as module
from charrnn.studies import profile
from charrnn.studies.benchmark import (
    benchmark,
    create_random_trainer,
    measure_limit,
    weights_in_products,
)

SMALL = TrainingConfig(batch_size=8, sequence_length=16, steps=10**6)


def test_the_limit_is_of_multiply_adds_that_are_done():
    sums = np.arange(limits.CHAINS * VECTOR_BYTES // 4, dtype=np.float32)
    limits.multiply_adds(sums, 20)
    np.testing.assert_allclose(sums, np.arange(sums.size) * 1.001**20, rtol=1e-5)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    monkeypatch.setattr(module, "_ROUNDS", 1)
    monkeypatch.setattr(module, "_SECONDS", 0.01)
    monkeypatch.setattr(module, "_MEMORY_BYTES", 2**22)


def test_weights_in_products_leave_tables_out():
    one_hot = Network(ModelConfig(20, layers=2, hidden_size=10))
    assert weights_in_products(one_hot) == 3 * 40 * 10 + 20 * 10
    embedded = Network(ModelConfig(20, layers=1, hidden_size=10, embedding_size=6))
    assert weights_in_products(embedded) == 40 * 6 + 40 * 10 + 20 * 10


@pytest.mark.parametrize("name", ["lstm", "jordan", "multiplicative"])
def test_figures_follow_from_characters_a_second(name):
    """Of cells whose products differ: of their own state, of the output, of two."""
    config = config_of((name, "tanh"), layers=2, hidden_size=32, vocabulary_size=68)
    result = benchmark(config, SMALL)
    weights = weights_in_products(Network(config))
    for kind, flops in (("training", 6), ("evaluation", 2), ("sampling", 2), ("sampling_batch", 2)):
        row = result[kind]
        assert row["gflops"] == pytest.approx(row["characters_per_second"] * flops * weights / 1e9)
        share = 100 * row["gflops"] / result["limit"]["gflops"]
        assert row["percent_of_limit"] == pytest.approx(share)
        assert 0 < share < 100


def test_the_limit_is_one_of_a_processor_and_its_memory():
    limit = measure_limit(1)
    assert 1 < limit["gflops"] < 10_000
    assert 0.1 < limit["gigabytes_per_second"] < 10_000


def _called_kernels(monkeypatch, work):
    """The compiled functions that Python calls in ``work``, as module and name."""
    called = set()

    def counted(kernel, place):
        return lambda *arguments: (called.add(place), kernel(*arguments))[1]

    for found in pkgutil.iter_modules(compute.__path__):
        module = importlib.import_module(f"charrnn.compute.{found.name}")
        for name, value in list(vars(module).items()):
            if isinstance(value, Kernel) and value.__module__ == module.__name__:
                monkeypatch.setattr(module, name, counted(value, (module, name)))
    work()
    monkeypatch.undo()
    return called


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "shape",
    [{"readout_layers": 1}, {"embedding_size": 8}, {"cell": "jordan", "layers": 1}],
    ids=str,
)
def test_the_profile_knows_every_kernel_of_a_training_step(monkeypatch, shape, optimizer):
    """What it did not know would count as waiting."""
    config = ModelConfig(68, **{"layers": 2, "hidden_size": 16, **shape})
    training = dataclasses.replace(SMALL, optimizer=optimizer)
    trainer = create_random_trainer(config, training)
    trainer.train_step()  # what is compiled afterwards would find the counters in its place
    called = _called_kernels(monkeypatch, trainer.train_step)
    known = {kernel for kernels in profile._PARTS.values() for kernel in kernels}
    assert len(called) > 8
    assert called <= known


def test_profile_adds_up_to_the_whole_step():
    profiled = benchmark(ModelConfig(68, hidden_size=32), SMALL, profile=True)["profile"]
    assert set(profiled) == {*profile._PARTS, "waiting"}
    assert sum(profiled.values()) == pytest.approx(100)


def test_each_way_of_choosing_is_measured_beside_plain_sampling():
    speeds = benchmark(ModelConfig(68, hidden_size=16), SMALL, choosers=True)["choosers"]
    filters = {name.replace(" ", "_") for name in speeds}
    assert filters <= {field.name for field in dataclasses.fields(SamplingConfig)}
    assert len(filters) == 8
    assert all(5 < percent < 500 for percent in speeds.values())


def test_command_prints_json_or_a_table():
    options = ("--hidden-size", 16, "--batch-size", 4, "--sequence-length", 8)
    result = json.loads(invoke("benchmark", *options, "--json").stdout)
    assert list(result) == ["limit", "training", "evaluation", "sampling", "sampling_batch"]
    table = invoke("benchmark", *options, "--profile").stdout
    assert "characters/s" in table and "sampling batch" in table and "optimizer" in table


@pytest.mark.parametrize(
    "options", [("--hidden-size", 0), ("--vocabulary-size", 3), ("--batch-size", -1)]
)
def test_sizes_out_of_range_are_refused(options):
    result = invoke("benchmark", *options)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
