# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run demo test check package bench clean

run: $(VENV)/.run
	@exec $(BIN)/python server.py --with-broker

demo: $(VENV)/.run
	@exec $(BIN)/python -m demo

test: $(VENV)/.test
	@sh tests/install_mosquitto.sh
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/mypy

package: $(VENV)/.test
	@rm -rf dist build
	@$(BIN)/python -m build --outdir dist . > build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
	@rm -rf build.log build
	@$(BIN)/twine check --strict dist/*

bench: $(VENV)/.test
	@sh tests/install_mosquitto.sh
	@$(BIN)/python -m bench.ingest

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.py requirements.txt | $(VENV)/bin/python
	@echo "installing what the service needs ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt 'iotcore>=0.4,<0.5'
	@touch $@

$(VENV)/.test: setup.py requirements.txt | $(VENV)/bin/python
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[try,test,check]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
