# One environment for everything; made on first use, and again only when what it is made from changes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The shipped models are too small to gain from more threads, and two threads on busy cores
# are many times slower than one.
export OMP_NUM_THREADS ?= 1

# The peers bring a hundred packages along, so they have an environment of their own.
BENCH_VENV ?= build/bench-venv
BENCH_BIN := $(BENCH_VENV)/bin

.PHONY: claims test check format bench faults models calibration clean

# The worked example: measure and judge the claims about the shipped model.
claims: $(VENV)/.claims
	$(BIN)/python -m pytest claims

# Two processes: more would each load the models again. WORKERS=0 runs all tests in one.
WORKERS ?= 2
test: $(VENV)/.dev
	$(BIN)/python -m pytest tests -n $(WORKERS)

# Formatter, linter, types and layers.
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# This engine beside nnsight, pyvene, TransformerLens and plain hooks: writes docs/benchmarks.md.
# BENCH='--only residual-plain --repeat 5' prints one row instead; BENCH=--help says more.
bench: $(BENCH_VENV)/.bench
	$(BENCH_BIN)/python -m benchmarks $(BENCH)

# Killed runs, damaged stores, mutated files, full disks and long runs, some hours long: writes docs/reliability.md.
# FAULTS='damage disk' runs these only.
faults: $(VENV)/.faults
	$(BIN)/python -m benchmarks.faults $(FAULTS)

# What each family of models offers, measured on tiny ones: writes docs/models.md.
models: $(VENV)/.dev
	CAUSALTEST_WRITE_MODELS=1 $(BIN)/python -m pytest -q -p no:xdist tests/measuring/families/test_families.py
	$(BIN)/python tests/measuring/families/table.py

# The judge where the truth is known, ten minutes long: writes docs/calibration.md. PARTS="5 6" runs these only.
calibration: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m calibration $(PARTS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) causaltest-report

$(BIN)/python $(BENCH_BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"causaltest needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: run make PYTHON=python3.12"'
	$(PYTHON) -m venv $(@:/bin/python=)

# torch first and alone: its version under the constraints decides what the others may bring along.
$(VENV)/.claims: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	touch $@

$(VENV)/.dev: $(VENV)/.claims
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.faults: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,faults]'
	touch $@

$(BENCH_VENV)/.bench: $(BENCH_BIN)/python pyproject.toml constraints.txt benchmarks/constraints.txt
	$(BENCH_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BENCH_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c benchmarks/constraints.txt -e '.[bench]'
	touch $@
