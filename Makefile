# Everything a newcomer needs: `make run` and `make test`, each from a clean clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLAN ?=

# Tests start hundreds of Python processes. Without bytecode files each of them compiles every module.
unexport PYTHONDONTWRITEBYTECODE

# The tests of a module share its fixtures; tests/conftest.py says how many modules run at a time.
PARALLEL := --numprocesses auto --maxprocesses 16 --dist loadfile --no-loadscope-reorder

.PHONY: help run ui test test-fast lint types docs docs-check lock clean

help:
	@echo "make run [PLAN=plan.toml]  set up, measure, print the path of the report"
	@echo "make ui                    set up, open the Locust web UI"
	@echo "make test                  lint, types and tests"
	@echo "make test-fast             the tests that start no process and wait for no clock"
	@echo "make docs                  the documentation as a site, in site/"
	@echo "make docs-check            play the long commands of README and docs (20 minutes)"
	@echo "make lock                  pin the dependencies again (needs uv)"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "brownout needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY)
	$(BIN)/brownout run $(PLAN)

ui: $(READY)
	$(BIN)/brownout ui $(PLAN)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

# Once: each worker would rewrite the assertions of all test modules for itself, which takes longer.
$(VENV)/.rewritten: $(READY)
	@$(BIN)/pytest --collect-only --quiet >/dev/null 2>&1 || true
	@touch $@

test: $(READY)
	@$(MAKE) --no-print-directory -j 3 lint types $(VENV)/.rewritten
	$(BIN)/pytest $(PARALLEL) -m "not quiet"
	$(BIN)/pytest -m quiet $$(grep -rl --include="test_*.py" "mark.quiet" tests)

test-fast: $(READY)
	$(BIN)/pytest $(PARALLEL) -m "not processes"

$(VENV)/.docs: requirements-docs.lock $(READY)
	$(BIN)/pip install --quiet --require-hashes -r requirements-docs.lock
	@touch $@

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

docs-check: $(READY)
	$(BIN)/pytest -v tests/repository/check_documents.py

LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11

lock:
	$(LOCK) --extra load --group dev pyproject.toml --output-file requirements.lock
	$(LOCK) --group pyproject.toml:docs --constraints requirements.lock --output-file requirements-docs.lock

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis
