# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test files run side by side in so many processes; 0 runs them in one. They wait more than they
# compute, so that three keep two cores busy.
WORKERS ?= 3
# Images often forbid Python to keep what it has compiled: each process would compile all tests anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest

.PHONY: run demo test soak check package lock settings screenshots clean
.PHONY: bench bench-plots bench-tables bench-slow-readers

run: $(VENV)/.run
	@exec $(BIN)/python server.py --with-broker

demo: $(VENV)/.run
	@exec $(BIN)/python -m demo

test: $(VENV)/.test
	@sh tests/install_tools.sh
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The fault experiments in full, which takes hours; SEED=<number> replays a failure.
soak: $(VENV)/.test
	@sh tests/install_tools.sh
	@SOAK=true $(PYTEST) tests/reliability -v $(ARGS)

check: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/mypy

package: $(VENV)/.test
	@rm -rf dist build
	@$(BIN)/python -m build --outdir dist . > build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
	@$(BIN)/python -m build --outdir dist client > build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
	@rm -rf build.log build
	@$(BIN)/twine check --strict dist/*

# Writes down exactly which packages an installation gets, on every platform, with their hashes.
lock: $(VENV)/.test
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.9'
	@echo "# What systemd/install.sh and the Dockerfile install. Written by 'make lock'." > requirements.lock
	@echo "setuptools>=77,<82" | $(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  requirements.txt client/pyproject.toml - --extra cli >> requirements.lock

# Writes what is made from the one table of variables; a test fails while it is not in step.
settings: $(VENV)/.test
	@$(BIN)/python -m tools.settings_pages

bench: $(VENV)/.bench
	@sh bench/install_tools.sh
	@$(BIN)/python -m bench $(ARGS)

# The curves in docs/, and the tables in README.md and docs/performance.md from what was measured.
bench-plots: $(VENV)/.bench
	@sh bench/install_tools.sh
	@$(BIN)/python -m bench.plots

# Readers that stop for half a minute, beside good ones: a table of its own, two minutes.
bench-slow-readers: $(VENV)/.bench
	@sh bench/install_tools.sh
	@$(BIN)/python -m bench.slow_readers

bench-tables: $(VENV)/.bench
	@$(BIN)/python -m bench.tables

# One part: bench-ingest, -fanout, -publish, -latency, -memory, -stored, -queries.
bench-%: $(VENV)/.bench
	@sh bench/install_tools.sh
	@$(BIN)/python -m bench $* $(ARGS)

# The pictures of docs/dashboard.md, taken of the demonstration; takes five minutes.
screenshots: $(VENV)/.test
	@sh tests/install_tools.sh
	@$(BIN)/python -m tests.dashboard.screenshots

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.py requirements.txt client/pyproject.toml | $(VENV)/bin/python
	@echo "installing what the service needs ..."
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt 'iotcore>=0.4,<0.5' -e './client[cli]'
	@touch $@

$(VENV)/.test: setup.py requirements.txt client/pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need ..."
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -e '.[try,test,check]' -e './client[cli]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.test
	@echo "installing what the measurements need ..."
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info client/build client/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
