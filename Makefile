# Everything starts here: `make run` in a fresh clone is all a person has to type.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEER   := build/docker.io
ITS    := build/golang-github-docker-docker-dev
STORE  := build/docker-registry
PYTEST_ARGS ?=

.PHONY: help run test soak crowd bench screenshots lint setup packages

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: setup ## Open the dashboard; starts an engine where none runs
	$(BIN)/longshore

test: setup | $(PEER) $(ITS) $(STORE) ## Run every test on the real kernel, linters included (as root)
	$(BIN)/pytest $(PYTEST_ARGS)

soak: setup ## Live through thousands of containers and kill -9, and look for what grows
	$(BIN)/python -m tests.soak

crowd: setup ## Start 300 containers at once, remove them at once, and look for what is left
	$(BIN)/python -m tests.crowd

bench: setup | $(PEER) $(STORE) ## Measure beside Debian's dockerd, in the same run
	$(BIN)/python -m tests.bench

screenshots: setup | $(STORE) ## Take the pictures of the README from the running program
	$(BIN)/python -m screenshots.make

lint: setup ## Only the linters, the types and the borders between packages
	$(BIN)/pytest tests/test_hygiene.py

setup: packages $(READY) ## Install what is missing: Debian packages, then Python's into .venv

packages:
	@PYTHON=$(PYTHON) .ci/packages

$(READY): pyproject.toml | packages
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Debian's docker.io, its sources and a registry, for the tests and the bench: unpacked, never installed.
$(PEER):
	.ci/unpack docker.io libdevmapper1.02.1

$(ITS) $(STORE):
	.ci/unpack $(@F)
