# make demo | test | lint | bench | sanitize | clean. Each does its own set-up: Python >= 3.10 and a C++ compiler are enough.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)
CPP := $(shell git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'tests/*.cu' 2>/dev/null)
NATIVE := $(wildcard csrc/*/*.cpp csrc/*/*.h csrc/*/*.inc csrc/*/*.cu csrc/*/*.cuh csrc/include/powqmix/*.h)

.PHONY: help setup demo test lint format bench sanitize clean
help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(STAMP)  ## create .venv and build

$(STAMP): pyproject.toml setup.py CMakeLists.txt constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "powqmix needs Python >= 3.10, and $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.11" >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || \
	  { echo "powqmix needs a C++17 compiler, and none was found. Debian, Ubuntu: apt-get install g++" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing (about 200 MB on the first time), then building the extension"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 \
	  'setuptools>=77' wheel pybind11 cmake ninja
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@

demo: $(STAMP)  ## train a small policy within minutes; prints its win rate, draws its curve and a battle
	@$(BIN)/powqmix-launch --env skirmish/3m --preset demo --seed 1 --run-dir $(DEMO)
	@$(BIN)/powqmix evaluate $(DEMO) --random
	@$(BIN)/powqmix plot $(DEMO)
	@$(BIN)/powqmix replay $(DEMO)

test: $(STAMP)  ## all tests
	$(BIN)/python -m pytest

lint: $(STAMP)  ## ruff, mypy, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: $(STAMP)  ## format Python and C++
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

bench: $(STAMP)  ## every benchmark that fits in minutes; prints ratios
	$(BIN)/python benchmarks/envs.py
	$(BIN)/python benchmarks/actors.py
	$(BIN)/python benchmarks/kernels.py

sanitize: $(STAMP)  ## a million random steps, and the CUDA kernels emulated, under the address and undefined-behaviour sanitizers
	$(BIN)/python benchmarks/sanitize.py
	$(BIN)/python benchmarks/sanitize.py --kernels

clean:  ## remove what was built; .venv stays
	rm -rf build dist *.egg-info powqmix/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis $(STAMP)
