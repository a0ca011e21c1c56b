# Two commands matter: `make demo` and `make test`. Each sets up all that it needs on a machine that has only
# Python, make and git, and costs nothing the second time. `make help` lists the rest.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
APT := $(if $(filter 0,$(shell id -u)),,sudo -n) apt-get

.PHONY: help demo test fast lint format lock bench clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: .venv/run.stamp ## start spanledger with sample traces on loopback and print the address
	@$(BIN)/spanledger demo

test: lint .deps/stamp ## run every check and test
	PATH="$(CURDIR)/.deps/bin:$$PATH" $(BIN)/python -m pytest -n 2

fast: .venv/dev.stamp ## run the tests that take no time
	PATH="$(CURDIR)/.deps/bin:$$PATH" $(BIN)/python -m pytest -n 2 -m "not slow"

lint: .venv/dev.stamp ## lint, format, types, walls between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/dev.stamp ## write the code in the one format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: .venv/run.stamp ## measure ingest: a million spans of known truth over 4 and 64 connections
	$(BIN)/python -m bench.ingest

lock: .venv/dev.stamp ## write the lock files anew from pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet -o requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --extra dev -o requirements-dev.lock pyproject.toml

clean: ## forget the set-up (stores stay)
	rm -rf .venv .deps .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "spanledger needs Python 3.11 or newer on PATH, or: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(APT) update -q && $(APT) install -qy python3-venv; } || \
		{ echo "$(PYTHON) cannot make virtual environments: as root, apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Setting up in .venv, once: about a minute ..."
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Setting up what tests need in .venv, once: about a minute ..."
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# The programs that tests really start. Without them those tests are skipped; in CI they fail.
.deps/stamp: tests/peers/install.sh tests/peers/focus.sh | .venv/dev.stamp
	@command -v chromium >/dev/null || { $(APT) update -q && $(APT) install -qy --no-install-recommends chromium; } || true
	@if tests/peers/install.sh && tests/peers/focus.sh; then touch $@; else echo "some programs that tests start are missing, see above"; fi
