# `make` alone lists what there is.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STACK ?= dev

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# Everything is installed once, and again when a requirements file changes.
$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.PHONY: install
install: $(VENV)/.installed ## install what the project needs into .venv

.PHONY: demo
demo: install ## deploy the stack to an emulated account and deliver a recorded finding
	$(BIN)/threatmon demo --stack $(STACK)

.PHONY: test
test: install ## format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto --dist worksteal

.PHONY: format
format: install ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: schema
schema: install ## write what is generated: stack.schema.json, the README's config table, docs/permissions.md
	$(BIN)/python -m tools.schema
	$(BIN)/python -m tools.permissions_docs

.PHONY: bench
bench: install ## time and memory of the program beside a bare one, for 1 to 1,000 subnets; time and size of a mail
	$(BIN)/python bench/program.py
	PYTHONPATH=tests $(BIN)/python bench/mail.py

.PHONY: bench-fleet
bench-fleet: install ## a preview of 10, 50 and 200 stacks beside a loop of pulumi preview (STACKS="10 50" for fewer)
	PYTHONPATH=tests $(BIN)/python bench/fleet.py $(if $(STACKS),--stacks $(STACKS))

.PHONY: preview
preview: install ## preview the stack against AWS
	$(BIN)/threatmon pulumi preview --stack $(STACK)

.PHONY: up
up: install ## deploy the stack to AWS
	$(BIN)/threatmon pulumi up --stack $(STACK)
