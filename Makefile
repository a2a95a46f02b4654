# Two commands set up everything they need: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo check test test-all docs bench clean

demo: $(STAMP)
	$(BIN)/codec demo

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_layers.py tests/laws

test: $(STAMP)
	$(BIN)/pytest

test-all: $(STAMP)
	$(BIN)/pytest -m "slow or not slow"

docs: $(STAMP)
	$(BIN)/pip install --quiet -e ".[docs]"
	$(BIN)/mkdocs build --strict

# Media to measure on: make bench DATA=/path/to/media (a folder with kodak/, images-train.tar, images-val.tar)
bench: $(STAMP) .venv-compare/.installed
	.venv-compare/bin/python tools/benchmark_coder.py
	$(BIN)/python tools/benchmark_images.py --data "$(DATA)"

KERNEL := codec/quantizers/kernel
$(STAMP): pyproject.toml setup.py $(KERNEL)/nearest.cpp $(KERNEL)/scan.inc
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25"
	$(BIN)/pip install --quiet -e ".[test]"
	touch $@

# compressai pins numpy<2 and compiles: it gets a room of its own
.venv-compare/.installed: pyproject.toml
	test -x .venv-compare/bin/python || $(PYTHON) -m venv .venv-compare
	.venv-compare/bin/pip install --quiet -e ".[compare]"
	touch $@

clean:
	rm -rf $(VENV) .venv-compare demo_output
