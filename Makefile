# Two commands do everything on a machine with Python 3.11 to 3.13, git and make:
#   make up      a node on this machine; Ctrl-C stops it        make test    import contracts and all tests
# Each makes its own virtual environment in .venv, and installs what it needs and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

comma := ,

.DEFAULT_GOAL := help
.PHONY: help up demo test test-slow test-soak image-test simulate mutation lint bench sbom base-image clean

help:
	@echo "make up     start a node on this machine (ARGS='--port 0 --spec network'); Ctrl-C stops it"
	@echo "make demo   see it work, without a person: exits 0, or says what failed"
	@echo "make test   import contracts and all tests"
	@echo "make test-slow, simulate, mutation   fault matrix, long simulation, planted bugs: minutes to hours"
	@echo "make test-soak   an hour of load, strangers and faults (ARGS='--seconds 600 --seed 2'), and a table"
	@echo "make image-test  the images and the compose cluster on a real container engine; as root, else skipped"
	@echo "make sbom   what the images contain, as CycloneDX; make base-image moves their base to today's digest"
	@echo "make lint   ruff, mypy and import contracts"
	@echo "make bench  the benchmarks"
	@echo "make clean  remove what make made; keys and chains in ~/.quarry stay"

# venv and pip say nothing for up to a minute each, so dots show that they go on.
DOTS = while sleep 2; do printf . >&2; done & dots=$$!; trap 'kill $$dots; echo >&2' EXIT

# Also run where an environment is there already: a first try without the package that holds ensurepip (python3-venv on
# Debian) leaves one behind that has a python and no pip, and it is made anew. So is one whose python has gone.
define VENV_WITH_PIP
@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Quarry needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ..."; exit 1; }; \
	echo "Making the virtual environment $(VENV)." >&2; \
	$(DOTS); $(PYTHON) -m venv --clear $(VENV) && $(BIN)/python -m pip --version >/dev/null \
		|| { rm -rf $(VENV); echo "No virtual environment can be made: install venv and pip for $(PYTHON), then" \
			"say make again (Debian: apt install python3-venv)."; exit 1; }; }
endef

# $(1): the extras.
define INSTALL
@echo "Installing what Quarry needs into $(VENV); the first time takes about a minute." >&2
@$(DOTS); $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(1)]'
endef

# Reinstalled when the dependencies change; the code itself is used where it lies (-e).
$(RUN): pyproject.toml
	$(VENV_WITH_PIP)
	$(call INSTALL,fast)
	@touch $@

$(DEV): pyproject.toml
	$(VENV_WITH_PIP)
	$(call INSTALL,test$(comma)fast$(comma)bench$(comma)browser)
	@touch $(RUN) $@

# exec: Ctrl-C and SIGTERM reach the node itself, and its exit code is make's.
up: $(RUN)
	@exec $(BIN)/quarry up $(ARGS)

demo: $(RUN)
	@exec $(BIN)/quarry demo $(ARGS)

test: $(DEV)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow --timeout 1800 $(ARGS)

test-soak: $(DEV)
	$(BIN)/python -m tests.soak $(or $(ARGS),--seconds 3600 --seed 1 --nodes 2 --report soak.json)

image-test: $(DEV)
	$(BIN)/python -m tests.image $(ARGS)

simulate: $(DEV)
	$(BIN)/python -m lab.simulated $(or $(ARGS),--seeds 1000 --mode safety)

mutation: $(DEV)
	$(BIN)/python -m lab.simulated.mutants $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One for each image: what Python it contains. The hashes are those by which it was installed.
sbom: $(DEV)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --validate \
		-o dist/quarry-node.cdx.json requirements.lock
	cat requirements.lock deploy/fast.lock | $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml \
		--output-reproducible --validate -o dist/quarry-miner.cdx.json -

# Needs a container engine that reaches the registry, and changes the Dockerfile; make image-test tries the result.
base-image:
	@$(PYTHON) deploy/move_base.py $(ARGS)

bench: $(DEV)
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
