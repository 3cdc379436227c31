# Everything starts here: `make demo`, `make test`. The virtual environment makes itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test check bench clean

help:
	@echo "make demo    install, run the quickstart sweep on real data, write its report"
	@echo "make test    install, run the whole test suite"
	@echo "make check   format, lint, types, import floors"
	@echo "make bench   measurements beside peers (not part of the tests)"
	@echo "make clean   remove what make made; runs/ stays"

$(INSTALLED): pyproject.toml constraints.txt
	@echo "== making $(VENV) with the tested versions (a few minutes on the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@echo "== training the quickstart sweep: about 2 minutes on 2 cores"
	@$(BIN)/dse run quickstart

test: $(INSTALLED)
	@echo "== running the tests"
	@$(BIN)/python -m pytest

check: $(INSTALLED)
	@echo "== format"
	@$(BIN)/ruff format --check .
	@echo "== lint"
	@$(BIN)/ruff check .
	@echo "== types"
	@$(BIN)/mypy
	@echo "== import floors"
	@$(BIN)/lint-imports --no-logo

bench: $(INSTALLED)
	@echo "== measuring"
	@$(BIN)/python -m benchmarks.counting
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.conversion

clean:
	@echo "== removing $(VENV) and caches; runs/ stays"
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
