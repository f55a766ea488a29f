# make demo and make test are all that a fresh machine needs; `make` alone lists every target.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check slow bench clean

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16
	@echo
	@echo "PYTHON=$(PYTHON) makes the environment, VENV=$(VENV) holds it; real data is found by EXTREMAL_DATA."

install: $(STAMP)  ## make the virtual environment, with pinned versions

demo: $(STAMP)  ## simulate a maze's log, train XQL, IQL and BC on it, write runs/demo/report.html
	$(BIN)/extremal demo

test: $(STAMP)  ## the quick tests
	$(BIN)/python -m pytest -m "not slow" -n logical --dist worksteal

slow: $(STAMP)  ## the slow tests
	$(BIN)/python -m pytest -m slow

check: $(STAMP)  ## lint, format, types, import rules, labels of sources, documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/equations.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMP)  ## updates/s beside a bare scan and beside the matrix products alone; wants an idle machine
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/methods.py

clean:  ## remove the virtual environment and what tools left behind; runs/ stays
	@if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf build dist site src/*.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "error: there is no $(PYTHON); install Python 3.11 or later, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "error: %s is Python %d.%d; install 3.11 or later, or name one: make PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]))'
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || $(PYTHON) -c 'import sys; sys.exit( \
	  "error: this Python cannot make virtual environments; on Debian and Ubuntu: apt install python%d.%d-venv" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@touch $@
