# Every target prepares what it needs: `make demo` and `make test` work on a fresh clone with
# Python 3.11, ffmpeg and a compiler. `make help` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LATEST := runs/myvoice/latest

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# Resemblyzer, the judge of similarity, declares dependencies that do not install on Python 3.11.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,prepare,evaluate,languages,dask,serve]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps resemblyzer webrtcvad-wheels setuptools
	@touch $@

setup: $(STAMP) ## make .venv and install Timbre into it, editable

demo: setup ## fine-tune the bundled base on the bundled voice and speak a sentence
	$(BIN)/python scripts/train.py data=myvoice train.minutes=4
	$(BIN)/python scripts/synthesize.py voice=$(LATEST) output=$(LATEST)/hello.wav \
		text="Hello. This is my voice, learned from two minutes of recordings."

# The tests' tensors are small: more threads only wait for each other; processes do not. In their own
# order, because xdist would start the files of few but long tests last, and one core would idle.
test: setup ## run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

lint: setup ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## measure speed and memory, one JSON line per workload
	$(BIN)/python scripts/benchmark.py

clean: ## remove the environment and caches (voices/ and runs/ stay)
	rm -rf $(VENV) .cache build *.egg-info
