# Two commands are enough: `make up` runs a node, `make test` runs everything that CI runs.

PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 200
MINUTES ?= 30

# Bytecode is kept, whatever the shell says: every node and command that a test starts is there sooner by a quarter of a second.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help up down test check bench fuzz sim faults marathon docs node format clean

help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

up: .venv/base ## Install the base package and run a node until Ctrl-C
	$(BIN)/rookery up

down: .venv/base ## Stop the node that runs on the default data folder
	$(BIN)/rookery down

test: check ## Install everything, check it and run all tests
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile

check: .venv/all ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/all ## Run the benchmarks beside their rivals
	$(BIN)/rookery bench

fuzz: .venv/all ## Ask a node 5,000 things that its OpenAPI document allows or doesn't
	ROOKERY_TEST_REQUESTS=5000 $(BIN)/pytest tests/ops/test_openapi.py

sim: .venv/all ## Live through SEEDS virtual worlds, and say how to see one again that broke
	PYTHONPATH=.links $(BIN)/python -m rookery.tests.simulation --seeds $(SEEDS)

faults: .venv/all ## Kill, stop, rob, fill and cut off real servers and nodes, and count what was lost
	PYTHONPATH=.links $(BIN)/python -m rookery.tests.faults

marathon: .venv/all ## Run a node under everybody's load for MINUTES, and say whether it is flat
	PYTHONPATH=.links $(BIN)/python -m rookery.tests.marathon --minutes $(MINUTES)

docs: .venv/base ## Write what is written from the code: published schemas, event and command reference
	$(BIN)/python -m rookery.ops.cli.reference docs

node: ## Install the Node packages that some tests run; without them these are skipped
	npm install --prefix .cache/node --no-audit --no-fund --no-package-lock nats@2 @asyncapi/parser@3 ajv@8 ajv-formats@3

format: .venv/all ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what was made, but never data
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/all: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@ .venv/base
