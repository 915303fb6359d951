# Everything runs in a virtual environment of the project's own; no GPU, no model hub, no key is needed.
#   make demo    the whole road on the fictional world, in minutes on two cores
#   make real    the same with a real chat model (MODEL=folder, GGUF file or hub id; default SmolLM2-135M-Instruct)
#   make test    all tests        make check   ruff and mypy        make bench   the claims of docs/performance.md
#   make docs    the documentation as a site, in build/site
#   make lowest  the quick tests on the oldest libraries that pyproject.toml allows (torch as pinned)
# TORCH_INDEX=URL picks another build of torch (a CUDA one, say); PYTHON=python3.12 another interpreter.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
TORCH_INDEX ?=
PYTEST_ARGS ?=
MODEL ?=

.PHONY: demo real test check bench docs format clean lowest
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,capability,endpoints]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/derta demo

real: $(VENV)/.installed
	$(BIN)/derta real $(if $(MODEL),--model "$(MODEL)" --run-dir "runs/real-$(notdir $(MODEL))")

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

LOWEST = build/lowest
QUICK = tests/test_api.py tests/test_config.py tests/encode tests/judges tests/results tests/reporting tests/probe \
  tests/training/test_loss.py tests/training/test_run.py tests/evaluation/test_run.py

lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(LOWEST)/bin/uv pip compile --quiet --resolution lowest-direct --extra dev --extra endpoints pyproject.toml \
	  | grep -vE '^ *#|^(torch|nvidia|cuda|triton)' > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --no-deps -r $(LOWEST)/lowest.txt -e .
	$(LOWEST)/bin/python -m pytest $(PYTEST_ARGS) $(QUICK)

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.train_step --json benchmarks/results/train_step.json
	$(BIN)/python -m benchmarks.evaluation --json benchmarks/results/evaluation.json
	$(BIN)/python -m benchmarks.prepare_rows --json benchmarks/results/prepare_rows.json
	$(BIN)/python -m benchmarks.data_build --json benchmarks/results/data_build.json

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache build src/*.egg-info
