# `make` prints the targets; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest
# Releases of onnxruntime that files are run with, each beside a numpy of its time and nothing else.
RUNTIMES := 1.16.3 1.20.1
RUNTIME_VENVS := $(RUNTIMES:%=.venv-onnxruntime-%/.ready)
# One thread a process: models of this size wait longer for threads than they compute. Neighbouring tests stay
# together, for they share what they build.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-core test-oldest test-runtimes sweep check format clean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv and install biport with the tested versions

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(READY)  ## Train a Keras BiLSTM, port it to PyTorch and ONNX, compare all of them
	mkdir -p build
	$(BIN)/biport demo --output build/demo --force

test: $(READY)  ## Run all tests but the wide sweeps, in some minutes
	$(PYTEST) $(PARALLEL) -m "not sweep"

test-core: $(READY)  ## Run the tests of the neutral core, in some seconds
	$(PYTEST) -m "not sweep" tests/biport

# What newer libraries warn of is no fault of the older ones; tests of what may import what need ruff, not there.
test-oldest: $(OLDEST)/.ready  ## Run the numbers with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(PARALLEL) -m "not sweep" -W ignore -k "not rooms and not lint and not ruff" \
		tests/biport tests/keras_side tests/torch_side tests/export tests/sides

$(OLDEST)/.ready: pyproject.toml constraints-oldest.txt
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet -c constraints-oldest.txt \
		-e '.[all]' pytest pytest-xdist hypothesis tf_keras h5py
	@touch $@

test-runtimes: $(READY) $(RUNTIME_VENVS)  ## Run the numbers on two old onnxruntimes, and on onnxruntime-web in node
	BIPORT_OLD_RUNTIMES=1 $(PYTEST) -m "sweep or not sweep" tests/runtimes

.venv-onnxruntime-%/.ready:
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet onnxruntime==$* 'numpy<2' || \
		{ echo "onnxruntime $* with numpy<2 is not to be had from the package index for $$($(PYTHON) --version)"; exit 1; }
	@touch $@

sweep: $(READY)  ## Run the wide sweeps: old and hostile files, every combination, long demos
	BIPORT_HYPOTHESIS=wide $(PYTEST) $(PARALLEL) -m "sweep or hypothesis" --ignore tests/runtimes

check: $(READY)  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove .venv and everything built
	rm -rf $(VENV) $(OLDEST) .venv-onnxruntime-* build *.egg-info .pytest_cache .ruff_cache .hypothesis
