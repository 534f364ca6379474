# make run      set up and run the whole job on the sample data
# make test     set up and run the fast tests
# make test-all set up and run all tests; needs Chromium, PostgreSQL, nginx, curl and the internet
# make lint     set up and check style and types
# make docs     set up and build the site of docs/ into site/; fails on dead links
# make lock     update requirements*.txt and their SBOMs from pyproject.toml
# make mlflow   set up and add MLflow
# make clean    remove .venv

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --quiet

.DEFAULT_GOAL := run
.PHONY: run test test-all lint docs mlflow lock clean

run: $(READY)
	$(BIN)/kedro run

test: $(READY)
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile -m "not (slow or browser or cluster or postgres)" $(COVERAGE)

test-all: test
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal -m "slow or browser or cluster or postgres" --check-commands

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/zensical build --strict --clean

# pip would take four minutes where uv takes one, so pip installs only uv, as pinned.
# The stamp is written last, so an interrupted set-up starts over. A change of the pins creates a new
# environment, so that packages that are no longer pinned disappear.
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	$(INSTALL) --require-hashes -r requirements.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

mlflow: $(READY)
	$(INSTALL) --require-hashes -r requirements-mlflow.txt

# With the extras of the pins: without them, pip may take a newer release for `coverage[toml]` than the pinned
# `coverage`, and refuse it.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev \
		--universal --python-version 3.11 --generate-hashes --upgrade \
		--no-annotate --no-strip-extras --custom-compile-command "make lock" --output-file requirements.txt
	cp requirements.txt requirements-mlflow.txt  # uv keeps these pins where possible
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra mlflow \
		--universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-strip-extras --custom-compile-command "make lock" --output-file requirements-mlflow.txt
	$(BIN)/uv pip compile --group pyproject.toml:deployment --constraint requirements.txt \
		--universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
		--custom-compile-command "make lock" --output-file requirements-deployment.txt
	$(BIN)/python scripts/make_sbom.py requirements.txt requirements-mlflow.txt requirements-deployment.txt

clean:
	rm -rf .venv
