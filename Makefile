# Every target does its own set-up: git, make and Python 3.11 or later are all that a machine needs.
# PYTHON=python3.12 make demo      picks another interpreter for the environment.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.vadkit-ready

.DEFAULT_GOAL := help
.PHONY: help setup demo fights smoke test lint notebooks lab clean

help:
	@echo "make demo       run all notebooks on the synthetic world; results in outputs/demo"
	@echo "make fights     the same on the Surveillance Camera Fight Dataset (params/fights.yaml says where to put it)"
	@echo "make smoke      the same as demo, tiny: does everything run?"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make test       lint and all tests"
	@echo "make lint       ruff alone"
	@echo "make notebooks  renew the notebooks' parameters cells from vadkit/core/config.py"
	@echo "make clean      remove outputs/, cache/ and the test caches (not the environment)"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "error: no $(PYTHON) here; install Python 3.11 or later, or say PYTHON=/path/to/python3 make ..."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if sys.version_info >= (3, 11) else f"error: Python 3.11 or later is needed, {sys.executable} is {v}; say PYTHON=/path/to/python3.11 make ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): about 5 GB with torch, some minutes the first time."
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[test]'
	@$(BIN)/python -m ipykernel install --sys-prefix --name python3 > /dev/null
	@$(BIN)/python -c 'import cv2, torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__, "opencv", cv2.__version__)'
	@touch $@

demo: $(READY)
	$(BIN)/vadkit run params/demo.yaml

fights: $(READY)
	$(BIN)/vadkit run params/fights.yaml

smoke: $(READY)
	$(BIN)/vadkit run params/smoke.yaml

lab: $(READY)
	$(BIN)/jupyter lab notebooks

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check . --exclude notebooks
	$(BIN)/lint-imports

notebooks: $(READY)
	$(BIN)/vadkit sync

clean:
	rm -rf outputs cache runs .pytest_cache .ruff_cache .hypothesis
	find vadkit demo_world tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
