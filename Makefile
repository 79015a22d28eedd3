# Two commands from a clone: `make demo` (scan, fit, figures) and `make test` (lint, types, tests).
PYTHON ?= python3.11
BIN := .venv/bin
# Threads that spin while they wait make a busy machine ten times slower.
export OMP_WAIT_POLICY ?= passive
RUNS := demo-run/runs
FIGURES := demo-run/figures

.PHONY: demo test types suite docs bench gpu-check clean

demo: .venv/ready
	$(BIN)/memtrace scan --model demo --step all --include-unexposed --runs $(RUNS)
	$(BIN)/memtrace fit-poisson $(RUNS) --window 512 --output $(FIGURES)
	@echo "Figures and report: $(CURDIR)/$(FIGURES)"

# Types and documentation keep one processor each for a minute: they run beside the tests.
test: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	$(MAKE) --jobs types docs suite

types: .venv/ready
	$(BIN)/mypy

suite: .venv/ready
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Warnings are errors. Nothing is downloaded.
docs: .venv/ready
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html

# About half an hour, on a machine that does nothing else.
bench: .venv/bench-ready
	$(BIN)/python -m benchmarks.engine --shape 70m
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python -m benchmarks.neighbour
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python benchmarks/packing.py
	$(BIN)/python benchmarks/statistics.py scale

# On a machine with a CUDA device, with torch, CuPy and pytest: some six minutes. The interpreter is that
# of the shell, because .venv has torch for the CPU.
gpu-check:
	python3 -m benchmarks.gpu_check --output gpu-check

clean:
	rm -rf .venv demo-run build dist docs/_build docs/notebooks *.egg-info

# Twice quiet: errors are shown, warnings about the machine's own pip are not.
# The constraints pin torch first: an unpinned torch brings gigabytes of CUDA libraries.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The evaluation harness is measured too.
.venv/bench-ready: .venv/ready
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@
