# Everything a newcomer needs: `make bench` and `make test`. Both set the environment up first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test test-all check audit setup gpu-check clean

bench: setup  ## set-up, then the quick benchmark on the default model
	$(BIN)/lora-bench run --preset quick

test: check  ## set-up, lint, types and the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: check  ## the slow tests too
	$(BIN)/python -m pytest

check: setup  ## format, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

audit: setup  ## known vulnerabilities of the installed packages; asks a public service
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' > .venv/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r .venv/audited.txt \
	  || (echo "audit: not clean, or not every package could be asked about: see the lines above"; exit 1)

gpu-check: setup  ## the quick benchmark on a CUDA or ROCm device, twice; writes benchmarks/results
	$(BIN)/python benchmarks/gpu_check.py
	$(BIN)/python benchmarks/estimator_accuracy.py device

setup: .venv/installed  ## environment in .venv, default model in the user's cache
	@$(BIN)/lora-bench doctor --fix >/dev/null || $(BIN)/lora-bench doctor

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:  ## remove the environment; the model cache and results stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
