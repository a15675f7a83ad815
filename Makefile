# Every target works from a fresh clone: it first makes the environment in $(VENV), again whenever the lock changes.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
JOBS ?= 3
CLOUD ?=
CUDA ?=

IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
    $$p -c '$(IS_RECENT)' 2>/dev/null && { echo $$p; break; }; done)
# not compiled: most of what is installed is never imported
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
PYTEST := $(BIN)/pytest -n $(JOBS)
# The locks are complete: nothing is resolved. Of a package that two of them name, the version of the later one counts.
PIP_LOCKS = awk -F== '/^[A-Za-z]/ { at[tolower($$1)] = $$0 } END { for (name in at) print at[name] }' \
    $(patsubst %,requirements/%.txt,lock $(LOCKS)) | $(PIP_INSTALL) --no-deps -r /dev/stdin
TORCH := $(shell grep '^torch==' requirements/lock.txt)
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

# Tests start hundreds of Pythons: what they import is compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install cluster optional docs sweep test test-fast pages bench lint format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 12

install: $(INSTALLED) ## Make the environment in .venv from requirements/lock.txt

# What a target needs beside the lock is installed with it where nothing is installed yet.
cluster: LOCKS := cluster $(CLOUD)
cluster: $(INSTALLED) ## Add what Ray clusters need; with CLOUD=aws or CLOUD=gcp, that cloud's client too
	@$(PIP_LOCKS)

optional: LOCKS := cluster aws gcp optional docs
optional: $(INSTALLED) ## Add what the tests of optional features need: OGBench, W&B, MLflow, S3, the clouds' clients, Sphinx
	@$(PIP_LOCKS)

docs: LOCKS := docs
docs: $(INSTALLED) ## Build the documentation site into build/docs, warnings as errors
	@$(PIP_LOCKS)
	$(BIN)/sphinx-build -W --keep-going -q -c docs . build/docs
	@echo "build/docs/docs/index.html"

sweep: $(INSTALLED) ## Run the small maze sweep; pass options with ARGS="--trials 8"
	$(BIN)/python tune/sweep_maze2d.py --preset cpu $(ARGS)

# mypy has a core nearly to itself while the tests of Ray wait for processes; what the checks say comes last.
test: $(INSTALLED) ## Run the checks and all tests, in three processes, or as many as JOBS says
	@checks=$$(mktemp); $(MAKE) --no-print-directory lint >$$checks 2>&1 & lint=$$!; failed=0; \
	$(PYTEST) -m "" || failed=1; \
	wait $$lint || failed=1; cat $$checks; rm $$checks; exit $$failed

test-fast: $(INSTALLED) ## Run the tests that take no more than seconds and start no Ray
	$(PYTEST)

# One process, for one Ray; what a page has sweep takes as long as it takes.
pages: $(INSTALLED) ## Type README and docs to the end, with the sweeps that the tests end where Ray would start
	PAGES_TO_THE_END=1 $(BIN)/pytest -p no:xdist -v -m "" --timeout 0 tests/test_pages.py tests/test_pages_on_ray.py $(ARGS)

bench: $(INSTALLED) ## Measure the quick table, some minutes; fails where a figure has grown by 15 % over the committed one
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quick $(ARGS)

lint: $(INSTALLED) ## Run ruff, the linter of imports and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

format: $(INSTALLED) ## Rewrite the code in ruff's format and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build products; runs and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find mage tests tune -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Without CUDA=1 and a working NVIDIA driver torch comes first and alone, from its CPU index: pip prefers 2.x+cpu there to the
# CUDA build of PyPI (some 3 GB). Alone, because pip asks every index about every package; with one retry, so that a
# machine that cannot reach this index goes on within seconds with whatever its own indexes offer. What the CUDA build
# needs is in no lock: torch itself pins it.
$(INSTALLED): requirements/lock.txt pyproject.toml
	@$(or $(PYTHON),false) -c '$(IS_RECENT)' || { echo "MAGE needs Python 3.11 or later, and PYTHON='$(PYTHON)' is not: name one with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing requirements/lock.txt into $(VENV) with $(PYTHON): one to three minutes."
	@$(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" = Linux ] && [ -z "$(CUDA)" ] && ! nvidia-smi >/dev/null 2>&1; then \
	    $(PIP_INSTALL) --no-deps --retries 1 --timeout 15 --extra-index-url $(TORCH_CPU_INDEX) $(TORCH); \
	fi
	@$(PIP_LOCKS)
	@$(PIP_INSTALL) $(TORCH)
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
