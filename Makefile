# Each target sets up .venv by itself from envs/requirements.lock; with nothing changed that costs nothing.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CONFIG ?= config/config.yaml
CORES ?= 2
TARGET ?= all
DIFF ?= results/report-diff
STUDY ?= results/default

LOCK := envs/requirements.lock
# The stamp carries the lock's checksum: another lock (another branch, say) means another stamp.
STAMP := .venv/.installed-$(shell cksum < $(LOCK) | tr ' ' '-')
BIN := .venv/bin
PYTHON_SOURCES := workflow/longhot workflow/scripts tests envs
SNAKE_SOURCES := Snakefile workflow/rules

export PYTHONDONTWRITEBYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help benchmark test test-slurm lint bench intervals docs lock audit report-diff check verify setup

help:
	@echo "make benchmark  run the study CONFIG (default $(CONFIG)) on CORES cores (default $(CORES))"
	@echo "make test       run every test"
	@echo "make test-slurm run the smoke study on a SLURM that it starts here (root and apt; else it says why not)"
	@echo "make lint       check style, types, spelling and the workflow"
	@echo "make bench      measure speed against ASE, MACE and mace_run_train"
	@echo "make intervals  measure how often the tables' intervals hold the truth, into results/bench/coverage.csv"
	@echo "make report-diff A=results/x B=results/y   compare two studies (folders or archives), into DIFF.txt and DIFF.csv"
	@echo "make check      say in one line whether CONFIG is valid, and if not where"
	@echo "make verify     say which files of STUDY (default $(STUDY)) are not what their jobs wrote"
	@echo "make docs       write config/schema.json and config/README.md anew from the code"
	@echo "make lock       write envs/ anew from pyproject.toml and what .venv holds"
	@echo "make audit      say which pinned packages have known vulnerabilities"
	@echo "make setup      only set up .venv"

setup: $(STAMP)

$(STAMP):
	@if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then \
	    for python in python3.11 python3 python "$$HOME"/.pyenv/versions/3.11*/bin/python /usr/bin/python3.11; do \
	        if "$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then \
	            found="$$python"; break; \
	        fi; \
	    done; \
	    if [ -z "$${found:-}" ]; then \
	        echo "No Python 3.11 found (xtb has no wheels for later versions):" \
	            "install it with its venv module and put python3.11 on the PATH." >&2; \
	        exit 1; \
	    fi; \
	    echo "Making .venv with $$found"; \
	    "$$found" -m venv --clear .venv; \
	fi
	@echo "Installing $(LOCK) into .venv: a minute or two, once"
	@$(BIN)/python -m pip install -qq --requirement $(LOCK)
	@rm -f .venv/.installed-*
	@touch $@

benchmark: $(STAMP)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.config "$(CONFIG)"
	@$(BIN)/snakemake --cores $(CORES) --configfile "$(CONFIG)" -- $(TARGET)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.report.manifest "$(CONFIG)"

test: $(STAMP)
	@$(BIN)/python -m pytest

test-slurm: $(STAMP)
	@$(BIN)/python tests/slurm/run.py $(OPTIONS)

lint: $(STAMP)
	$(BIN)/ruff check $(PYTHON_SOURCES)
	$(BIN)/ruff format --check $(PYTHON_SOURCES)
	$(BIN)/snakefmt --check $(SNAKE_SOURCES)
	$(BIN)/mypy workflow/longhot
	$(BIN)/codespell
	$(BIN)/snakemake --lint

intervals: $(STAMP)
	@OMP_NUM_THREADS=1 PYTHONPATH=workflow $(BIN)/python -W ignore tests/intervals/run.py --cores $(CORES)

bench: $(STAMP)
	@OMP_NUM_THREADS=1 PYTHONPATH=workflow $(BIN)/python tests/benchmarks/run.py

report-diff: $(STAMP)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.reproduction "$(A)" "$(B)" "$(DIFF)"

check: $(STAMP)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.config "$(CONFIG)"

verify: $(STAMP)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.integrity "$(STUDY)"

docs: $(STAMP)
	@PYTHONPATH=workflow $(BIN)/python -m longhot.config_docs

lock: $(STAMP)
	@$(BIN)/python envs/lock.py

audit: $(STAMP)
	@$(BIN)/python envs/audit.py $(LOCK)
	@$(BIN)/python envs/audit.py envs/slurm.lock
