# A fresh machine needs make and Python 3.11 or newer, nothing else.
# Everything goes into .venv, from a lock file with hashes; a second run finds the stamp and starts at once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Which Python makes the environment; the first that is new enough and has the venv module wins.
PYTHON ?= python3.13 python3.12 python3.11 python3
ARGS ?=
BENCH_ARGS ?=

.PHONY: help install demo test check bench lock test-lowest clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## make .venv from the lock file

demo: $(STAMP) ## run the main job, start to end, on real input (ARGS="path --json")
	@$(BIN)/octolog demo $(ARGS)

# What computes keeps every core busy; it waits a third of its time for the disk, hence one worker more than cores.
# What boots brokers and nodes waits even longer, and runs two files at a time (each with a broker and a node: 2 GB).
# What measures times, or kills a whole node at random, runs alone.
COMPUTING := tests/unit tests/contract tests/replay tests/simulation \
	$(shell grep -L pytest.mark.integration tests/acceptance/test_*.py)
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
OTHERS := $(addprefix --ignore=,$(COMPUTING))

test: $(STAMP) ## run the tests (ARGS="-k name")
ifeq ($(strip $(ARGS)),)
	@$(BIN)/pytest --durations=15 -n $(WORKERS) --maxprocesses 8 --dist loadfile $(COMPUTING)
	@$(BIN)/pytest --durations=30 -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not alone" $(OTHERS)
	@$(BIN)/pytest --durations=5 -m "alone and not slow" $(OTHERS)
else
	@$(BIN)/pytest $(ARGS)
endif

check: $(STAMP) ## format, lint, types, import rules, schemas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright
	@if [ -f schemas/check.py ]; then set -x; $(BIN)/python -m schemas.check; fi

bench: $(STAMP) ## run every bench; one JSON document each under .bench/ (BENCH_ARGS="...")
	@mkdir -p .bench
	@for file in benches/[a-z]*.py; do \
		test -f "$$file" || continue; \
		name=$$(basename "$$file" .py); \
		echo "bench $$name -> .bench/$$name.json"; \
		$(BIN)/python -m "benches.$$name" $(BENCH_ARGS) > ".bench/$$name.json" || exit 1; \
	done

# One universal lock for every supported Python. Keeps what is pinned; make lock UPGRADE=--upgrade takes the newest.
COMPILE := compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

lock: $(STAMP) ## renew requirements/*.txt from pyproject.toml
	$(BIN)/uv pip $(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(BIN)/uv pip $(COMPILE) --all-extras --group dev pyproject.toml -o requirements/dev.txt

# The lower bounds in pyproject.toml are promises; this keeps them.
test-lowest: $(STAMP) ## unit tests on the oldest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-lowest
	$(BIN)/uv pip install --quiet --python $(VENV)-lowest --resolution lowest-direct --group dev -e '.[model,containers]'
	$(VENV)-lowest/bin/python -m pytest tests/unit $(ARGS)

clean: ## remove environments and caches; never touches a log
	rm -rf $(VENV) $(VENV)-lowest .bench .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip checks uv's hash, uv checks all others (pip does where uv cannot). The stamp comes last: an interrupted
# install runs again. An environment that was moved or belongs to a removed Python is made anew.
$(STAMP): pyproject.toml requirements/dev.txt requirements/uv.txt
	@if ! $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		python=; old=; \
		for candidate in $(PYTHON); do \
			"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
			"$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1 || { old=$$candidate; continue; }; \
			python=$$candidate; break; \
		done; \
		if [ -z "$$python" ] && [ -n "$$old" ]; then \
			echo "make: $$old lacks the venv module; install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; \
		elif [ -z "$$python" ]; then \
			echo "make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
		fi; \
		echo "make: $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "make: installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt \
		|| echo "make: uv is not available here; going on with pip" >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)
