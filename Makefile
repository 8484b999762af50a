# One environment for everything; made on first use, and again only when what it is made from changes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The shipped models are too small to gain from more threads, and two threads on busy cores
# are many times slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: claims test check format clean

# The worked example: measure and judge the claims about the shipped model.
claims: $(VENV)/.claims
	$(BIN)/python -m pytest claims

test: $(VENV)/.dev
	$(BIN)/python -m pytest tests

# Formatter, linter, types and layers.
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) causaltest-report

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"causaltest needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: run make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)

# torch first and alone: its version under the constraints decides what the others may bring along.
$(VENV)/.claims: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	touch $@

$(VENV)/.dev: $(VENV)/.claims
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
