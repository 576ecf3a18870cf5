# Set-up needs Python 3.11 to 3.13, make and a package registry; everything else is installed into .venv.

UI_PORT ?= 7860
GRPC_PORT ?= 8500
REST_PORT ?= 8501
PYTEST_ARGS ?=
# More than two wait for each other on two cores; every one starts servers and browsers of its own.
TEST_WORKERS ?= 2

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test lint browser conformance reproduce lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed ## set everything up in .venv, with the command .venv/bin/osteo

run: .venv/.installed ## start the model server and the page (UI_PORT=7860 GRPC_PORT=8500 REST_PORT=8501)
	@exec $(BIN)/osteo up --ui-port $(UI_PORT) --grpc-port $(GRPC_PORT) --rest-port $(REST_PORT)

# Files in their order: by their number of tests, the longest one, which has few, would come last and run alone.
test: lint browser ## check the style and the types, then run every test (PYTEST_ARGS='-k page -x')
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: .venv/.installed-dev ## check the style and the types alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

conformance: .venv/.installed-dev ## run the API's tests against any server: SERVER=host:port[:rest_port]
	@test -n "$(SERVER)" || { echo "Say which server: make conformance SERVER=host:port[:rest_port]" >&2; exit 2; }
	OSTEO_SERVER=$(SERVER) $(BIN)/python -m pytest tests/serving -k conformance $(PYTEST_ARGS)

# Of the first data set fractures are pasted; the new set bears its name.
reproduce: PASTED = runs/$(notdir $(patsubst %/,%,$(firstword $(DATA))))-pasted
reproduce: .venv/.installed ## train the shipped model again: DATA='path/to/fracatlas path/to/bonedata'
	@test -n "$(DATA)" || { echo "Say where the data is: make reproduce DATA='path/to/fracatlas path/to/bonedata'" >&2; exit 2; }
	$(BIN)/osteo train --config fracture-384 $(DATA:%=--data %)
	$(BIN)/osteo train --config fracture-448 --from runs/fracture-384/best.npz $(DATA:%=--data %)
	$(BIN)/osteo train --config fracture-renewed --from runs/fracture-448/best.npz $(DATA:%=--data %)
	$(BIN)/osteo data paste $(firstword $(DATA)) --out runs
	$(BIN)/osteo train --config fracture-body --from runs/fracture-renewed/best.npz $(DATA:%=--data %) --data $(PASTED)
	$(BIN)/osteo train --config fracture --from runs/fracture-body/best.npz $(DATA:%=--data %)
	$(BIN)/osteo export runs/fracture $(DATA:%=--data %)

lock: build/uv/bin/uv ## write requirements.lock again from pyproject.toml
	build/uv/bin/uv pip compile --quiet --universal --all-extras --no-annotate --no-header pyproject.toml -o requirements.lock

clean: ## remove what builds, tests and checks left behind (the set-up in .venv stays)
	rm -rf build artifacts .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The page's tests use a Chromium of the system, or else the one that Playwright fetches.
browser: .venv/.installed-dev
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null \
		|| test -n "$(OSTEO_NO_BROWSER)" || $(BIN)/playwright install chromium \
		|| echo "No browser could be installed: the page's tests will fail. OSTEO_NO_BROWSER=1 leaves them out." >&2

.venv/bin/pip:
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' \
		|| { echo "This needs Python 3.11, 3.12 or 3.13: install one, or name it with make PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv." >&2; exit 1; }

.venv/.installed: pyproject.toml requirements.lock | .venv/bin/pip
	@echo "Setting up .venv: the first time this takes a few minutes and about 3 GB of disk."
	@$(PIP_INSTALL) -e '.[train]'
	@touch $@

.venv/.installed-dev: pyproject.toml requirements.lock | .venv/bin/pip
	@echo "Setting up .venv for the tests: the first time this takes a few minutes and about 3 GB of disk."
	@$(PIP_INSTALL) -e '.[train,dev]'
	@touch .venv/.installed $@

build/uv/bin/uv: | .venv/bin/pip
	@$(BIN)/python -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
