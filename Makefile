# Two commands do everything on a fresh machine with Python 3.11 or newer and make:
#   make demo    set up .venv, train two CNNs on drawn faces, compare them, write a report
#   make test    set up .venv, run the tests that are quick: three minutes on two cores
# `make test-all` runs the long ones too: the README's commands, studies, the browser.
# `make demo DATA=path/to/fer2013.zip` does the same on real data, with a short budget.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=

.PHONY: demo test test-all lint check clean

demo: $(VENV)/.done
	$(BIN)/python examples/demo.py $(if $(DATA),"$(DATA)")

test: $(VENV)/.done
	$(BIN)/pytest -m "not slow"

test-all: test
	$(BIN)/pytest -m slow

lint: $(VENV)/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: test-all lint

# The constraints keep torch at one build; without them a package may pull gigabytes of another one.
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "mien needs Python 3.11 or newer; choose one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs
