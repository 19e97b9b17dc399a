# make demo    the whole pipeline on data it makes itself, to results/demo
# make test    the tests; make test-long    those that take long, which CI runs too
# make lint    style and workflow checks
# make bench   measure against a plain PyTorch program, and at scale: for docs/performance.md and docs/scale.md
# All of them set up .venv first, if it is not there or the dependencies changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || echo 2)
# without a GPU, `gpu` only counts training jobs: one a core here, for each has one thread
DEMO := --cores $(CORES) --resources gpu=$(CORES) --configfile configs/demo.yaml

.PHONY: demo test test-long lint bench clean

demo: $(VENV)/installed
	@echo "The demo makes its own images, trains a network on them, prunes, searches and fine-tunes it five times, tests"
	@echo "and exports it, to results/demo. Some 2 to 10 minutes on 2 cores; after Ctrl-C the same command goes on."
	@$(BIN)/detector demo-data data/demo
	@$(BIN)/snakemake $(DEMO)
	@# the report, if a table or figure is newer than it (or it is not there, which find says too)
	@if [ -n "$$(find results/demo/tables results/demo/figures -newer results/demo/report.html 2>&1)" ]; then \
	  $(BIN)/snakemake $(DEMO) --quiet all --report results/demo/report.html; fi
	@echo; $(BIN)/detector summary --brief results/demo

# What torch computes, once more as with AVX2 alone; a processor that has no more has just done it.
define as_with_avx2
	@if grep --quiet --extended-regexp 'avx512|avx_vnni' /proc/cpuinfo; then set -x; \
	  ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -m 'numeric and $(1)' --numprocesses $(CORES) --dist loadfile; fi
endef

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not alone and not long' --numprocesses $(CORES) --dist loadfile
	$(call as_with_avx2,not long)
	$(BIN)/python -m pytest -m 'alone and not long'

test-long: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'long and not alone' --numprocesses $(CORES) --dist loadfile
	$(call as_with_avx2,long)
	$(BIN)/python -m pytest -m 'long and alone'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/properties/test_lint.py

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.run

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; use: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) results/demo data/demo
