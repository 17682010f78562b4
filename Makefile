# Both targets set up all they need in .venv; PYTHON must be 3.9 to 3.11, for MXNet.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test clean

demo: .venv/cpu  ## the main job, small: patch, verify, train three stages on the CPU
	$(BIN)/mfn-patch demo --workspace demo/insightface

test: .venv/dev  ## lint, types and tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest

clean:
	rm -rf .venv demo

.venv/cpu: pyproject.toml
	$(PYTHON) -m venv .venv || { echo "Install the venv module: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --editable '.[cpu]'
	touch $@

.venv/dev: .venv/cpu
	$(BIN)/pip install --quiet --editable '.[cpu,dev]'
	touch $@
