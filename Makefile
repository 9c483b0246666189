# Two commands do all the set-up, in any order: `make demo` installs what medbench needs to run, `make test` the rest too.
# PYTHON may name another Python, 3.11 to 3.13.
PYTHON ?= python3.11
BIN := .venv/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# Our folder `datasets` has a name that others use: keep the working directory off the import path.
export PYTHONSAFEPATH := 1

.PHONY: help demo test browser-test gpu-check reference-on-gpu docs lint format benchmarks clean
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

# What is installed is marked last, so that an install that was stopped, or one of older versions, is made again.
$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) -e .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

demo: $(BIN)/.installed ## install, train two variants on synthetic images, write the report
	$(BIN)/medbench run baa --profile quick --store runs/demo
	$(BIN)/medbench report runs/demo -o report/demo
	@echo "open report/demo/index.html in a browser; to go on:"
	@echo "  . $(BIN)/activate                      # then medbench is a command"
	@echo "  medbench status --store runs/demo     # the demo's trials; without --store they are those in runs"
	@echo "  medbench --help                       # what else there is"

test: $(BIN)/.installed-dev ## install the rest too, run all tests, a process a core
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile

browser-test: $(BIN)/.installed-dev ## install Chromium (Debian's) where there is none, and test the report in it
	command -v chromium >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends chromium; }
	$(BIN)/pytest -q tests/reports/test_browser*.py

gpu-check: $(BIN)/.installed-dev ## on a machine with a GPU: its tests, latencies, training throughput, into gpu-check.json
	$(BIN)/python tests/gpu_check.py

reference-on-gpu: $(BIN)/.installed-dev ## on a machine with a GPU: as much of the reference study as ten minutes allow
	$(BIN)/python tests/reference_on_gpu.py -o reference-on-gpu

lint: $(BIN)/.installed-dev ## format, lint and types, checked
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --warnings

format: $(BIN)/.installed-dev ## format and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/.installed-dev ## the documentation as a site, into docs/_build
	$(BIN)/sphinx-build -W -b html docs docs/_build

# rliable needs an older pandas than medbench: it has an environment of its own.
.venv/rliable/.installed: $(BIN)/.installed-dev
	$(PYTHON) -m venv .venv/rliable
	.venv/rliable/bin/pip install --quiet --disable-pip-version-check rliable==1.2.0 arch==7.2.0 'pandas<3'
	@touch $@

benchmarks: .venv/rliable/.installed ## measure medbench against named peers in the same run
	$(BIN)/python tests/benchmarks/metrics.py
	$(BIN)/python tests/benchmarks/bootstrap.py .venv/rliable/bin/python
	$(BIN)/python tests/benchmarks/calibration.py
	$(BIN)/python tests/benchmarks/labels.py
	$(BIN)/python tests/benchmarks/sequential.py
	$(BIN)/python tests/benchmarks/coverage.py
	$(BIN)/python tests/benchmarks/training.py
	$(BIN)/python tests/benchmarks/jobs.py
	$(BIN)/python tests/benchmarks/latency.py
	$(BIN)/python tests/benchmarks/selective_scan.py
	$(BIN)/python tests/benchmarks/ensemble.py
	$(BIN)/python tests/benchmarks/painting.py
	$(BIN)/python tests/benchmarks/evaluation.py
	$(BIN)/python tests/benchmarks/overhead.py
	$(BIN)/python tests/benchmarks/report.py

clean: ## remove what was made here: environment, builds, demo (a store in runs/ stays)
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .ruff_cache .hypothesis runs/demo report/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
