# Everything happens in .venv, which the first target that needs it makes with PYTHON.
# The stamps there are renewed when the requirements change.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DECLARED := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-torch test-processors test-cells test-faults test-examples test-browser test-oldest fuzz soak benchmark docs lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Another interpreter: make PYTHON=python3.12 ... (3.10 or newer)"

demo: .venv/installed ## Train on tales and on dinosaur names for about a minute, print samples
	@mkdir -p build
	$(BIN)/charrnn train corpora/tales.txt --model build/tales.safetensors --force --budget 45s
	$(BIN)/charrnn train corpora/dinosaurs.txt --lines --model build/dinosaurs.safetensors --force \
	    --budget 15s
	@echo
	$(BIN)/charrnn sample --model build/tales.safetensors --length 600 --temperature 0.6
	@echo
	$(BIN)/charrnn sample --model build/dinosaurs.safetensors --count 10 --length 40
	@echo
	@echo "Try next: $(BIN)/charrnn sample --model build/tales.safetensors --temperature 0.6" \
	    "--prime 'The gander '"

test: .venv/installed-test ## Run the tests in two processes, four to six minutes
	$(BIN)/python -m pytest

test-torch: .venv/installed-torch ## Run the tests that compare with PyTorch (a large download)
	$(BIN)/python -m pytest -m torch

test-processors: .venv/installed-test ## Run the core's tests as lesser processors would, half a minute
	$(BIN)/python -m pytest -m processors

test-cells: .venv/installed-test ## Run the tests of the less common cells, some minutes
	$(BIN)/python -m pytest -m cells

test-faults: .venv/installed-test ## Run the tests of crashes, signals, hostile files, many processes, some minutes
	$(BIN)/python -m pytest -m faults

test-examples: .venv/installed-test ## Run the commands that README, docs and help give as examples
	$(BIN)/python -m pytest -m examples

test-browser: .venv/installed-test ## Try exported pages and reports in Chromium, where there is one
	$(BIN)/python -m pytest -m browser

# What a release of every package that the program says it works with may not do otherwise: files,
# texts, compiled kernels of one cell, training, sampling, the command line, pictures.
OLDEST_PYTHON ?= python3.10
OLDEST_TESTS := tests/test_checkpoint.py tests/test_corpus.py tests/test_vocabulary.py \
    tests/test_config.py tests/test_sampling.py tests/test_cache.py \
    tests/test_cli.py tests/test_cli_sample.py tests/test_plotting.py
# What an older click says in other words.
OTHER_WORDS := tests/test_cli.py::test_unknown_options_get_a_hint_where_one_is_near
test-oldest: .venv-oldest/installed ## Run some tests with the oldest packages and Python that are allowed
	.venv-oldest/bin/python -m pytest $(OLDEST_TESTS) --deselect $(OTHER_WORDS)

FUZZ_SECONDS ?= 60
fuzz: .venv/installed-test ## Read altered files, and as long hostile texts, for FUZZ_SECONDS=60 seconds
	$(BIN)/python tests/fuzzing.py build/fuzz --seconds $(FUZZ_SECONDS) --seed $$(date +%s)
	$(BIN)/python tests/fuzzing_texts.py build/fuzz-texts --seconds $(FUZZ_SECONDS) --most 3 \
	    --seed $$(date +%s)
	@if $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	    $(BIN)/python tests/fuzzing_guided.py build/fuzz $(FUZZ_SECONDS); \
	else echo "With atheris (.venv/bin/pip install atheris) as long again, guided by coverage"; fi

SOAK_SECONDS ?= 600
soak: .venv/installed-test ## Use one model from threads, forks and signal handlers for SOAK_SECONDS=600
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -n 0 -m faults tests/test_soak.py

benchmark: .venv/installed-torch ## Measure training and sampling beside PyTorch, about 4 minutes
	$(BIN)/python benchmarks/compare_pytorch.py

docs: .venv/installed-test ## Write the command reference, docs/commands.md
	$(BIN)/python -m cogapp -r docs/commands.md

lint: .venv/installed-test ## Check style, types and the command reference
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	for platform in linux darwin win32; do \
	    $(BIN)/python -m mypy --platform $$platform --cache-dir .mypy_cache/$$platform || exit 1; \
	done
	$(BIN)/python -m cogapp --check docs/commands.md

clean: ## Remove .venv, the demo's models and all else that was built
	rm -rf .venv .venv-oldest build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find charrnn tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/pyvenv.cfg:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "$(PYTHON) was not found: install Python 3.10 or newer," \
	        "or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "charrnn needs Python 3.10 or newer, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1):" \
	        "name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) lacks the module venv:" \
	        "install it (Debian, Ubuntu: apt install python3-venv) and try again" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv

.venv/installed: .venv/pyvenv.cfg $(DECLARED)
	$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/pyvenv.cfg $(DECLARED)
	$(PIP) --editable '.[test]'
	@touch $@ .venv/installed

.venv/installed-torch: .venv/pyvenv.cfg $(DECLARED)
	$(PIP) --editable '.[test,benchmark]'
	@touch $@ .venv/installed .venv/installed-test

# Every package as old as setup.cfg allows; of MPI, which comes from elsewhere, none.
.venv-oldest/installed: $(DECLARED)
	@mkdir -p build
	sed -n '/mpi/d;s/^    \([a-z0-9-]*\)>=\([0-9.]*\)$$/\1==\2/p' setup.cfg > build/oldest.txt
	"$(OLDEST_PYTHON)" -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint build/oldest.txt --editable '.[plot]' pytest pytest-xdist pytest-timeout hypothesis \
	    safetensors
	@touch $@
