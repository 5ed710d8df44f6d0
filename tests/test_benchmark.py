"""The benchmark: its figures hang together; how large they are is the machine's affair."""

import json

import pytest
from commands import invoke
from samples import config_of, one_cell_of_each_kind

from charrnn.config import ModelConfig, TrainingConfig
from charrnn.network.network import Network
from charrnn.studies import benchmark as module
from charrnn.studies.benchmark import benchmark, measure_limit, weights_in_products

SMALL = TrainingConfig(batch_size=8, sequence_length=16, steps=10**6)


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


@one_cell_of_each_kind
def test_figures_follow_from_characters_a_second(cell):
    config = config_of(cell, layers=2, hidden_size=32, vocabulary_size=68)
    result = benchmark(config, SMALL)
    weights = weights_in_products(Network(config))
    for name, flops in (("training", 6), ("evaluation", 2), ("sampling", 2), ("sampling_batch", 2)):
        row = result[name]
        assert row["gflops"] == pytest.approx(row["characters_per_second"] * flops * weights / 1e9)
        share = 100 * row["gflops"] / result["limit"]["gflops"]
        assert row["percent_of_limit"] == pytest.approx(share)
        assert 0 < share < 100


def test_the_limit_is_one_of_a_processor_and_its_memory():
    limit = measure_limit(1)
    assert 1 < limit["gflops"] < 10_000
    assert 0.1 < limit["gigabytes_per_second"] < 10_000


def test_profile_adds_up_to_the_whole_step():
    result = benchmark(ModelConfig(68, hidden_size=32), SMALL, profile=True)
    assert set(result["profile"]) >= {"products", "pointwise", "softmax", "packing", "optimizer"}
    assert sum(result["profile"].values()) == pytest.approx(100)


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
