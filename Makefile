# Everything a developer or CI calls. `make` alone explains itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## What can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort \
	  | awk 'BEGIN {FS = ":.*## "} {printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## The Python environment in .venv (implied by the other targets)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"python3 is {v[0]}.{v[1]}, Trimtab needs 3.11 or later: set PYTHON=/path/to/python3.11")'
	@echo "setup: creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@echo "setup: installing the installer (uv, pinned in constraints.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@echo "setup: installing Trimtab and $$(wc -l < constraints.txt) pinned packages"
	@$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "setup: done; the command is $(BIN)/kubectl-trimtab"

.PHONY: constraints
constraints: setup ## Resolve pyproject.toml anew into constraints.txt (one file for Python 3.11 and 3.13)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --output-file constraints.txt

.PHONY: format
format: setup ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

.PHONY: lint
lint: setup ## Style, types and the layering law
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: servers
servers: setup ## The servers that integration tests run: found on PATH or made once, cached
	$(BIN)/python -m deploy.servers prepare

API_SERVER := etcd kube-apiserver kubeadm kubectl helm
NODE := $(API_SERVER) kube-controller-manager kube-scheduler kubelet kube-proxy coredns pause
HAS_GO = command -v go >/dev/null || [ -x /usr/local/go/bin/go ]

.PHONY: binaries
binaries: setup ## The programs that operator and chart tests run: built once from Go modules, cached
	@if $(HAS_GO); then $(BIN)/python -m deploy binaries $(API_SERVER) >/dev/null; \
	else echo "binaries: no Go on this machine, so the operator and chart tests will be skipped (install Go 1.26)"; fi

.PHONY: node-binaries
node-binaries: setup ## The same for a whole node (about ten minutes on two cores, once)
	@if $(HAS_GO); then $(BIN)/python -m deploy binaries $(NODE) >/dev/null; \
	else echo "node-binaries: no Go on this machine, so no node can be started here (install Go 1.26)"; fi

.PHONY: test
test: lint servers binaries ## Lint, types, layering, unit, property, operator and integration tests (at most 6 minutes)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not long and not e2e' tests

.PHONY: test-long
test-long: setup servers node-binaries ## The tests marked long (at most 15 minutes)
	$(PYTEST) -m 'long and not e2e' --timeout 600 tests

.PHONY: bench
bench: servers ## The library against what its users would write: build/bench.json (under 10 minutes; BENCH='--help' says more)
	$(BIN)/python -m tests.bench $(BENCH)

PLATFORM ?= auto
NODE_ENV = PLATFORM=$(PLATFORM)

.PHONY: demo
demo: setup ## Badly set stack, load, tuning, load again: the gain and the reasons (PLATFORM=node|k3d, KEEP=1 leaves it up)
	$(NODE_ENV) $(BIN)/python -m deploy.demo run $(if $(KEEP),--keep)

.PHONY: demo-proof
demo-proof: setup ## Is the gain real? bad, tuned, bad again, hand-tuned side by side
	$(NODE_ENV) $(BIN)/python -m deploy.demo prove

.PHONY: e2e
e2e: node-binaries ## The same stack on a real cluster: deploy, modes, faults, demo (at most 20 minutes warm)
	$(NODE_ENV) $(PYTEST) -m e2e --timeout 1500 tests/e2e

.PHONY: e2e-long
e2e-long: e2e demo-proof ## e2e, then the proof (about 45 minutes; by hand)

.PHONY: clean
clean: ## Remove what was built here (not the caches under ~/.cache/trimtab)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
