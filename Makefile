SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test lint format soak planted crashes kill hardship systemd fuzz mutants matrix bench lock clean

PYTHON ?= python3
VENV ?= .venv
# The tests wait for real servers more than they compute.
WORKERS ?= 4
BIN := $(VENV)/bin
READY := $(VENV)/.ready

demo: $(READY)
	@.ci/servers --optional prometheus
	@$(BIN)/rollbackd demo

test: $(READY)
	@.ci/servers prometheus prometheus-alertmanager systemd
	@.ci/servers --optional strace e2fsprogs chromium postgresql jq curl git
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

KILLS ?= 1000
MINUTES ?= 10
# A campaign prints its seed; SEED=… draws the same faults again.
SEED_OPTION = $(if $(SEED),--seed $(SEED))

kill: $(READY)
	$(BIN)/python -m tests.campaign kill --kills $(KILLS) --minutes 30 $(SEED_OPTION)

hardship: $(READY)
	$(BIN)/python -m tests.campaign hardship --minutes $(MINUTES) $(SEED_OPTION)

systemd: $(READY)
	@.ci/servers systemd
	$(BIN)/pytest tests/systemd

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@.ci/shellcheck

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# SEEDS simulated lives, then the crashes of some at every append; bounded by SECONDS for each.
SEEDS ?= 10000
soak: SECONDS ?= 3600
soak: $(READY)
	$(BIN)/python -m rollbackd.sim soak --seeds $(SEEDS) --seconds $(SECONDS) --cells
	$(BIN)/python -m rollbackd.sim crashes --seconds $(SECONDS)

# Bugs put into engine, driver, journal and runner, one at a time: the simulation and the power cuts find them.
planted: $(READY)
	@.ci/servers strace
	$(BIN)/python -m tests.planted
	$(BIN)/python -m tests.crashes.planted

# Power cuts between any two system calls of the real journal and runner, LIVES second lives of each.
LIVES ?= 40
crashes: $(READY)
	@.ci/servers strace
	$(BIN)/python -m tests.crashes --lives $(LIVES)

bench: $(READY)
	@.ci/servers --optional prometheus prometheus-alertmanager webhook
	@$(BIN)/python bench/results.py

# What is not to be had is not run, and the table says so.
matrix: $(READY)
	@.ci/servers --optional prometheus prometheus-alertmanager webhook monit icinga2
	@.ci/rulebook "$(PYTHON)" .venv-rulebook
	$(BIN)/python bench/kill_matrix

# Bounded for each target; findings join tests/fuzz/corpus/.
fuzz: SECONDS ?= 60
fuzz: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGET)

# All of the core takes an hour or two; MODULE="windows fold.life" takes those.
mutants: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	@nice -n 10 $(BIN)/python -m tests.mutation $(MODULE)

$(READY): pyproject.toml requirements.lock .ci/venv
	@.ci/venv "$(PYTHON)" "$(VENV)"
	@touch $@

lock:
	@.ci/lock "$(PYTHON)"

clean:
	rm -rf $(VENV) .venv-rulebook build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
