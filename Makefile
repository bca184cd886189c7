# Everything runs in .venv, installed under constraints.txt; a second call does no set-up again.
# Another Python: `make PYTHON=/path/to/python3`; options of the training: `make train ARGS="--trainer.max_epochs 5"`.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help setup train test test-processors lint bench docs clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.run  ## create .venv with what a training needs

train: $(VENV)/.run  ## train on y = x², watch f' and f'', and say where the results lie
	$(BIN)/python -m src.train $(ARGS)

test: $(VENV)/.test  ## run the tests on all cores
	@echo "Some 5,900 tests: nine to fifteen minutes on two cores; a dot is a test that passed."
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# What other processors compute: no vector instructions, AVX2, MKL's common code path; one thread and two.
test-processors: $(VENV)/.test  ## run the tests as other processors compute, one after the other
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -q -n auto --dist worksteal $(ARGS)
	ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=2 $(BIN)/python -m pytest -q -n auto --dist worksteal $(ARGS)
	MKL_ENABLE_INSTRUCTIONS=SSE4_2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal $(ARGS)

lint: $(VENV)/.lint  ## check style, spelling and types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

bench: $(VENV)/.run  ## time ourselves against the peers, in an environment of their own
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs  ## build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

clean:  ## remove what was built; logs stay
	rm -rf $(VENV) .venv-bench site dist .pytest_cache .ruff_cache .hypothesis

# An installation that was broken off, or has lost its Python, is begun again from an empty .venv.
ifneq ($(wildcard $(VENV)/.unfinished)$(if $(wildcard $(BIN)/python),,no Python),)
.PHONY: $(VENV)/.base
endif

$(VENV)/.base:
	@"$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "sobolev needs Python 3.11 or newer with its modules venv and ensurepip (Debian and Ubuntu: apt install"; \
		echo "python3-venv). Install it, or say where it is: make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(if $(wildcard $(VENV)/.unfinished),--clear) $(VENV)
	@touch $@

# $(call install,extra): the package, editable, and what it needs
define install
@echo "Installing into $(VENV), this once; torch is large ..."
@touch $(VENV)/.unfinished
$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$(1)"
@rm $(VENV)/.unfinished && touch $@
endef

$(VENV)/.run: $(VENV)/.base pyproject.toml constraints.txt
	$(call install)

$(VENV)/.test: $(VENV)/.run
	$(call install,[test])

$(VENV)/.lint: $(VENV)/.test
	$(call install,[lint])

$(VENV)/.docs: $(VENV)/.test
	$(call install,[docs])
