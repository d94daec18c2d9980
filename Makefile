# Everything runs in .venv, made on first use by a Python >= 3.11 (PYTHON=/path/to/python to choose it).

VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  ?=
PYTEST  ?= $(BIN)/python -m pytest
# Processes that run the tests side by side, each with servers of its own.
WORKERS ?= 2
SOURCES  = $(wildcard toolkit adapters shadow migrations tests examples benchmarks)
SERVERLESS := not postgres and not kafka and not mariadb and not slow and not soak

# Prints the first interpreter that is new enough, or says why there is none.
find_python = set -e; \
	new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
		if "$$candidate" -c "$$new_enough" >/dev/null 2>&1; then echo "$$candidate"; exit 0; fi; \
	done; \
	echo "No Python >= 3.11 found (tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python))." \
		"Install one, or say where it is: make PYTHON=/path/to/python3.12 ..." >&2; exit 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR: # half an environment is made anew
.PHONY: help setup venv demo test lint format types imports unit servers soak docs bench test-pythons clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup venv: $(VENV)/.installed-dev ## make .venv with everything development needs

demo: $(VENV)/.installed ## run the insurer example from legacy database to cutover
	$(BIN)/python -m examples.insurer.demo

test: lint types imports $(VENV)/.installed-dev ## all checks and all tests (a missing server skips its tests, with the reason)
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy $(SOURCES)

imports: $(VENV)/.installed-dev ## import-linter: who may import whom
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev ## the tests that need no server
	$(PYTEST) -m "$(SERVERLESS)"

servers: $(VENV)/.installed-dev ## the tests that need PostgreSQL, Kafka or MariaDB
	$(PYTEST) -m "(postgres or kafka or mariadb) and not soak"

soak: $(VENV)/.installed-dev ## minutes of load and crashes
	$(PYTEST) -m soak --timeout=3600

docs: $(VENV)/.installed-dev ## write docs/commands.md from the commands
	$(BIN)/python -m tests.docs.commands

bench: $(VENV)/.installed-dev ## measure, and print the figures
	$(BIN)/python -m benchmarks

test-pythons: ## the tests of the pure core on every further Python >= 3.11 of this machine
	@tests/every_python "$(SERVERLESS)"

clean: ## forget .venv, caches and build output (.cache holds the downloaded Kafka)
	rm -rf $(VENV) .cache dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$($(find_python)) || exit 1; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) || { \
		echo "The venv module failed; on Debian and Ubuntu it is the package python3-venv." >&2; rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[postgres,kafka,mysql]" --group dev
	@touch $@ $(VENV)/.installed
