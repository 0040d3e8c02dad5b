# Each target makes .venv with Python 3.11 if it is missing and installs what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# One process per processor, each with one thread for matrices. A process that has no test left takes half of another's,
# so that long files do not run alone at the end. `pytest` without these options runs all in one process.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test test-slow lint bench clean

demo: $(VENV)/.installed
	$(BIN)/floorcast demo

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not gpu"

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m "slow and not gpu"

# mypy takes a package's name from its folder; the link gives the checkout the name of the package.
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@mkdir -p $(VENV)/typecheck && ln -sfn "$(CURDIR)" $(VENV)/typecheck/floorcast
	cd $(VENV)/typecheck && "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" -p floorcast

bench: $(VENV)/.installed
	$(BIN)/floorcast bench sensors --json runs/bench/sensors.json

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 was not found: install it, or name it with 'make PYTHON=/path/to/python3.11 ...'"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info
