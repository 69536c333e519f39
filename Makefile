# Every target does its own set-up: git, make and Python 3.11 or later are all that a machine needs.
#   PYTHON=python3.12 make demo   picks another interpreter for the environment
#   UV=0 make demo                installs with pip alone: the same versions, in minutes instead of one
#   CPU=1 make demo               takes PyTorch's builds without CUDA from its own index: 2 GB in place of 7

ifeq ($(OS),Windows_NT)
$(error vadkit runs on Linux and macOS; on Windows, open a WSL terminal (`wsl --install` adds one) and use it from there)
endif

SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.vadkit-ready
LOCK := requirements.lock

# PyTorch's CPU builds have an index of their own, which the lock file does not name.
CPU_INDEX := https://download.pytorch.org/whl/cpu
CPU_LOCK := $(VENV)/cpu.lock
WANTED := $(if $(CPU),$(CPU_LOCK),$(LOCK))

PIP := $(BIN)/python -m pip --disable-pip-version-check
GET_UV := $(PIP) install uv==$(UV_VERSION)
# The lock names every package, so neither installer resolves anything: both install exactly these versions.
BY_UV := $(BIN)/uv pip install --python $(BIN)/python --no-deps
BY_PIP := $(PIP) install --no-deps

# Compiled once, at set-up: where Python may not write bytecode, as in many containers, every kernel and worker would do it again.
COMPILED := cv2, torch._dynamo, torchvision, ultralytics, pandas, sklearn.metrics, scipy.stats, matplotlib.pyplot, papermill, ipykernel.kernelapp, torch

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-light fights smoke book test bench lint notebooks sums lab lock clean

help:
	@echo "make setup      the environment alone, in $(VENV): 7 GB, about a minute by uv, five by pip (UV=0)"
	@echo "make demo       run all notebooks on the synthetic world; results in outputs/demo"
	@echo "make demo-light notebooks 08 and 12 on the scores of a finished demo, without torch: a minute from nothing"
	@echo "make fights     the same on the Surveillance Camera Fight Dataset (params/fights.yaml says where to put it)"
	@echo "make smoke      the same as demo, tiny: does everything run?"
	@echo "make book       a site of the executed notebooks, in outputs/book; PROFILE=fights of another profile than the demo"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make test       lint and all tests"
	@echo "make bench      the figures of performance on this machine, in a table: a quarter of an hour on two idle cores"
	@echo "make lint       ruff (rules and format) and the order of the rooms"
	@echo "make notebooks  renew the notebooks' parameters cells from vadkit/core/config.py"
	@echo "make sums       renew the digests of what ships: published.csv, lists, demo_world/assets, notebooks/recorded"
	@echo "make lock       add to $(LOCK) what pyproject.toml asks for; UPGRADE=1 renews every version"
	@echo "make clean      remove outputs/, cache/ and the caches of tests and tools, the book (not the environment)"

setup: $(READY)

# The environment, still without packages.
$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "error: no $(PYTHON) here; install Python 3.11 or later, or say PYTHON=/path/to/python3 make ..."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if sys.version_info >= (3, 11) else f"error: Python 3.11 or later is needed, {sys.executable} is {v}; say PYTHON=/path/to/python3.11 make ...")'
	@echo "Making an environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml $(LOCK) | $(BIN)/python
	@echo "Installing $(LOCK) into $(VENV): 7 GB with PyTorch; about a minute by uv, five by pip, longer on a slow line ..."
	@[ -z '$(CPU)' ] || grep -v -E '^(torch|torchvision|triton|nvidia-(cu|nc|nv)[a-z0-9-]+|cuda-[a-z]+)==' $(LOCK) > $(CPU_LOCK)
	@start=$$SECONDS; \
	if [ '$(UV)' != 0 ] && $(GET_UV) && $(BY_UV) -r $(WANTED); then by=uv; \
	else \
		[ '$(UV)' = 0 ] || echo "uv cannot be had or reaches no packages; pip installs the same versions ..."; \
		$(BY_PIP) -r $(WANTED) || exit; by=pip; \
	fi; \
	[ -z '$(CPU)' ] || $(BY_PIP) --index-url $(CPU_INDEX) $$(grep -o -E '^(torch|torchvision)==[0-9.]+' $(LOCK)) || exit; \
	echo "Installed by $$by in $$((SECONDS - start)) s. Adding vadkit itself and checking ..."
	@$(BY_PIP) --no-build-isolation -e .
	@$(BIN)/python -m ipykernel install --sys-prefix --name python3 > /dev/null
	@PYTHONDONTWRITEBYTECODE= YOLO_OFFLINE=true YOLO_VERBOSE=false YOLO_CONFIG_DIR=$(VENV) $(BIN)/python -c 'import $(COMPILED); print("torch", torch.__version__, "torchvision", torchvision.__version__, "opencv", cv2.__version__)'
	@touch $@

demo: $(READY)
	$(BIN)/vadkit run params/demo.yaml

# An environment of its own, a tenth of the size.
LIGHT := .venv-light
demo-light: $(LIGHT)/.ready
	$(LIGHT)/bin/vadkit run params/light.yaml --only 08,12

$(LIGHT)/.ready: notebooks/recorded/requirements.lock
	@$(PYTHON) -m venv $(LIGHT)
	@$(LIGHT)/bin/python -m pip --disable-pip-version-check install -q --no-compile --no-deps -r notebooks/recorded/requirements.lock
	@$(LIGHT)/bin/python -m pip --disable-pip-version-check install -q --no-deps --no-build-isolation -e .
	@$(LIGHT)/bin/python -m ipykernel install --sys-prefix --name python3 > /dev/null
	@touch $@

fights: $(READY)
	$(BIN)/vadkit run params/fights.yaml

smoke: $(READY)
	$(BIN)/vadkit run params/smoke.yaml

# The book has an environment of its own, without torch. Warnings are errors: a broken link would be one.
PROFILE ?= demo
BOOK := .venv-book
book: $(BOOK)/.ready
	$(BOOK)/bin/python docs/book/assemble.py $(PROFILE) outputs/$(PROFILE) outputs/book/$(PROFILE)/pages
	$(BOOK)/bin/sphinx-build -q -W --keep-going -b html -c docs/book outputs/book/$(PROFILE)/pages outputs/book/$(PROFILE)/html
	@echo "The book: outputs/book/$(PROFILE)/html/index.html"

$(BOOK)/.ready: docs/book/requirements.lock
	@$(PYTHON) -m venv $(BOOK)
	@$(BOOK)/bin/python -m pip --disable-pip-version-check install -q --no-deps -r docs/book/requirements.lock
	@touch $@

lab: $(READY)
	$(BIN)/jupyter lab notebooks

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

notebooks: $(READY)
	$(BIN)/vadkit sync

# The digests that shipped files are held against; after one of them was meant to change.
sums: $(READY)
	$(BIN)/python docs/sums.py

# A line for Linux and macOS and every Python from 3.11 on; versions that are pinned already stay, unless UPGRADE=1.
lock: | $(BIN)/python
	$(GET_UV)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		--annotation-style line --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --output-file $(LOCK) > /dev/null
	$(BIN)/uv pip compile docs/book/requirements.in --universal --python-version 3.11 --fork-strategy fewest \
		--annotation-style line --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --output-file docs/book/requirements.lock > /dev/null
	$(BIN)/uv pip compile notebooks/recorded/requirements.in --universal --python-version 3.11 --fork-strategy fewest \
		--annotation-style line --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file notebooks/recorded/requirements.lock > /dev/null

clean:
	rm -rf outputs cache runs .venv-book .venv-light .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find vadkit demo_world tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
