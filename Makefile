# All targets set up all they need in .venv; PYTHON must be 3.9 to 3.11, for MXNet.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: bench demo test test-slow clean

demo: .venv/cpu  ## the main job, small: patch, verify, train three stages on the CPU
	$(BIN)/mfn-patch demo --workspace demo/insightface

test: .venv/dev .venv/junit-10.xsd .venv/ncnn  ## lint, types and tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --dist loadfile

test-slow: .venv/dev  ## what installs gigabytes: the CUDA build of MXNet, without a GPU
	$(BIN)/pytest -m slow

bench: .venv/dev  ## every figure of speed, into benchmarks/RESULTS.md
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf .venv demo

.venv/cpu: pyproject.toml
	$(PYTHON) -m venv .venv || { echo "Install the venv module: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --editable '.[cpu,plot]'
	touch $@

.venv/dev: .venv/cpu
	$(BIN)/pip install --quiet --editable '.[cpu,dev]'
	$(BIN)/pip install --quiet --no-deps pnnx==20261020
	touch $@

# What the programs in the documents are compiled against.
.venv/ncnn: | .venv/dev
	$(BIN)/python tests/ncnn_sdk.py $@

# The schema of JUnit reports is Jenkins's, and pytest's source distribution carries it.
.venv/junit-10.xsd: .venv/dev
	$(BIN)/pip download --quiet --no-deps --no-binary pytest --dest .venv/sdist pytest==8.4.2
	tar --extract --to-stdout --wildcards --file .venv/sdist/pytest-8.4.2.tar.gz '*/junit-10.xsd' > $@.part
	mv $@.part $@
