# make app    on a fresh machine: makes .venv, installs, opens the app on http://localhost:8501
# make test   on a fresh machine: makes .venv, installs, runs all tests that need no GPU, browser or network
# make quick  the tests of the parts touched since main
# make docs   docs/, the notebooks and the API as a site in site/; a warning is an error
# make sweep  the default sweep, headless, on the embedded data (a second call continues or shows it)
# make check  format, lint, types, tests: what CI runs; make browser and make faults are its other two parts
#             (make faults also installs what clusters take, and uses PostgreSQL where it is installed)

# the first of these that is 3.11 to 3.13 and can make a virtual environment; or say which: make app PYTHON=...
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c '$(FITS)' 2>/dev/null && echo $(name))) python3)
PORT ?= 8501
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: app quick test sweep check docs lint types browser faults mutants slow clean python

app: .venv/app
	$(BIN)/python -m poolsearch app --port $(PORT)

quick: .venv/dev
	$(BIN)/python tests/quick.py

test: .venv/dev
	$(BIN)/python -m pytest -n logical --maxprocesses 4

sweep: .venv/app
	$(BIN)/python experiments/sweep.py experiments/configs/cluttered-digits.toml --resume-or-start

check: lint types test

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund && npm run --silent lint; \
	  else echo "node is not installed: the scripts of the pages are not linted"; fi

types: .venv/dev
	$(BIN)/mypy

# the variable silences a notice on the successor of MkDocs that is printed at every build
docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

browser: .venv/dev
	$(BIN)/python -m pytest -m browser

mutants: .venv/dev
	$(BIN)/python tests/mutants.py

faults: .venv/cluster
	$(BIN)/python -m pytest -m "faults or slow"

# The stamps .venv/app and .venv/dev are newer than what they were installed from: a second call installs nothing.
.venv/app: requirements.txt | python
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements.txt requirements-dev.txt requirements-release.txt | python
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/app $@

.venv/cluster: requirements-cluster.txt .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-cluster.txt
	@touch $@

python:
	@$(PYTHON) -c '$(FITS)' 2>/dev/null || { \
	  echo "Poolsearch needs Python 3.11, 3.12 or 3.13 with venv; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing). Install it, or say which: make $(firstword $(MAKECMDGOALS) app) PYTHON=/path/to/python3.11" >&2; exit 2; }

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis site
