# make run [CONFIG=configs/smoke.yaml] [CORES=2]   set up .venv and run a config to tables, figures and paper
# make test | make test-slow | make lint             set up .venv and check

PYTHON ?= python3
CONFIG ?= configs/default.yaml
CORES ?= all
# As it was typed: a blank, a quote or a $ in it is none of make's or the shell's business.
export CONFIG_FILE := $(subst ~/,$(HOME)/,$(value CONFIG))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# One thread a process; see the Snakefile.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONUTF8 := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: run test test-slow lint

run: $(INSTALLED)
	$(BIN)/amad-bench plan --config "$$CONFIG_FILE"
	$(BIN)/snakemake --cores $(CORES) --configfile "$$CONFIG_FILE"

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else \
		"Python 3.11, 3.12 or 3.13 is needed, %s is %d.%d; set PYTHON=python3.11" % ("$(PYTHON)", *sys.version_info[:2]))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation -c requirements.lock -e ".[bench,test]"
	touch $(INSTALLED)
