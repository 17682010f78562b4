# All targets set up all they need in .venv. PYTHON is 3.10 to 3.14; by default one that MXNet
# supports, so that both engines are there, else the newest. It is run, for a shim may find none.
PYTHONS := python3.11 python3.10 python3.14 python3.13 python3.12 python3
PYTHON ?= $(or $(shell for each in $(PYTHONS); do \
	$$each -c '' 2>/dev/null && echo $$each && break; done),python3)
BIN := .venv/bin
# MXNet up to Python 3.11, else PyTorch. Asked of the environment once it is there.
ENGINE = $$($(BIN)/python -c 'import sys; print("cpu" if sys.version_info < (3, 12) else "torch")')

.PHONY: bench demo dist docs lint quick test test-slow clean

demo: .venv/engine  ## the main job, small: patch, verify, train three stages on the CPU
	$(BIN)/mfn-patch demo --workspace demo/insightface

# Runs a command, and says how long it took.
define timed
	@echo "$(1)"; begin=$$(date +%s); $(1) && echo "took $$(($$(date +%s) - begin)) s"
endef

lint: .venv/dev  ## lint and types
	$(call timed,$(BIN)/ruff check)
	$(call timed,$(BIN)/ruff format --check)
	$(call timed,$(BIN)/mypy)

test: .venv/ncnn lint .venv/junit-10.xsd  ## lint, types and tests
	# Tests start programs of ours hundreds of times, and some environments keep no bytecode.
	@$(BIN)/python -m compileall -q mfn_patcher
	$(call timed,$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder)

quick: lint  ## lint, types and the fast tests, in about a minute
	$(call timed,$(BIN)/pytest --quiet --numprocesses auto -m "not long and not upstream and not mxnet and not torch")

test-slow: .venv/dev  ## what takes minutes or gigabytes: the largest networks, the CUDA build of MXNet
	$(BIN)/pytest -m slow

bench: .venv/dev  ## every figure of speed, into benchmarks/RESULTS.md
	$(BIN)/python benchmarks/all.py

docs: .venv/docs  ## the documentation as a site, in .site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

dist: .venv/dist  ## the distributions that a release publishes, in dist
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf .venv .site demo dist

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	|| { echo "$(PYTHON) does not run or is not Python 3.10 to 3.14; name one: make PYTHON=python3.13" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { echo "Install the venv module: apt-get install python3-venv" >&2; exit 1; }

.venv/docs: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@

.venv/dist: | .venv/bin/pip
	$(BIN)/pip install --quiet build
	touch $@

.venv/engine: pyproject.toml | .venv/bin/pip
	@echo "installing the tool and its engine into .venv, which downloads up to some GB the first time"
	@$(BIN)/pip install --quiet --editable ".[$(ENGINE),plot]"
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/pip
	@echo "installing the tool, its engines and what its tests use, which downloads up to some GB"
	@$(BIN)/pip install --quiet --editable ".[$(ENGINE),dev]"
	@$(BIN)/pip install --quiet --no-deps pnnx==20261020
	@touch .venv/engine $@

# What the programs in the documents are compiled against. It starts a make of its own.
.venv/ncnn: | .venv/dev
	MAKEFLAGS= $(BIN)/python tests/support/ncnn_sdk.py $@

# The schema of JUnit reports is Jenkins's, and pytest's source distribution carries it.
.venv/junit-10.xsd: .venv/dev
	$(BIN)/pip download --quiet --no-deps --no-binary pytest --dest .venv/sdist pytest==8.4.2
	tar --extract --to-stdout --wildcards --file .venv/sdist/pytest-8.4.2.tar.gz '*/junit-10.xsd' > $@.part
	mv $@.part $@
