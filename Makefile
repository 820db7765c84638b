# make run [CONFIG=configs/smoke.yaml] [CORES=2]   set up .venv and run a config to tables, figures and paper
# make test | make test-slow | make lint             set up .venv and check
# make docs                                          the pages that are made: docs/config.md
# make test-lowest | make test-pythons               the fast tests, and Snakemake's, with the lowest versions of all
#                                                    packages, and with each other tested Python that is found
# PYTHON=python3.12 sets up .venv with that Python, anew if it was another version's; later calls keep it.

CONFIG ?= configs/default.yaml
CORES ?= all
# As it was typed: a blank, a quote or a $ in it is none of make's or the shell's business.
export CONFIG_FILE := $(subst <start>,,$(subst <start>~/,$(HOME)/,<start>$(value CONFIG)))
VENV := .venv
PINS := requirements.lock
PYTHON ?= $(or $(realpath $(VENV)/bin/python),python3)
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(VERSION)

# One thread a process; see the Snakefile.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONUTF8 := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: run test test-fast test-slow test-elsewhere test-lowest test-pythons lint docs install

run: $(INSTALLED)
	$(BIN)/amad-bench plan --config "$$CONFIG_FILE"
	$(BIN)/snakemake --cores $(CORES) --configfile "$$CONFIG_FILE"

test: lint test-fast

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# What another environment has to pass: of the slow tests those of Snakemake, whose answers differ between versions.
test-elsewhere: test-fast
	$(BIN)/python -m pytest -m slow tests/test_snakefile.py

test-lowest:
	$(MAKE) test-elsewhere VENV=.venv-lowest PINS=tests/requirements-lowest.txt

test-pythons:
	for python in $$(.ci/pythons); do $(MAKE) test-elsewhere VENV=.venv-other PYTHON="$$python" || exit 1; done

install: $(INSTALLED)

docs: $(INSTALLED)
	$(BIN)/python docs/make_config.py > docs/config.md

$(INSTALLED): $(PINS) pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"Python 3.11 or later is needed, %s is %d.%d; set PYTHON=python3.11" % ("$(PYTHON)", *sys.version_info[:2]))'
	test -e $(BIN)/python$(VERSION) || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -r $(PINS)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c $(PINS) -e ".[pipeline]"
	touch $(INSTALLED)
