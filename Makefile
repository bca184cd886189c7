# Everything runs in .venv, installed under constraints.txt; a second call does no set-up again.
VENV := .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup train test lint bench docs clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##/\1/p' $(MAKEFILE_LIST) | awk '{name=$$1; $$1=""; printf "make %-8s%s\n", name, $$0}'

setup: $(VENV)/.run  ## create .venv with what a training needs

train: $(VENV)/.run  ## train on y = x², watch f' and f'', and say where the results lie
	$(BIN)/python -m src.train

test: $(VENV)/.test  ## run the tests (all cores)
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.lint  ## style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

bench: $(VENV)/.run  ## time ourselves against the peers, in an environment of their own
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

clean:  ## remove what was built; logs stay
	rm -rf $(VENV) .venv-bench site dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/.base:
	@test -n "$(PYTHON)" || { echo "sobolev needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.base pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(INSTALL) -e ".[test]"
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(INSTALL) -e ".[lint]"
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	$(INSTALL) -e ".[docs]"
	@touch $@
