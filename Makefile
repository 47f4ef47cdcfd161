# Two commands do everything on a fresh machine with Python 3.11 or newer and make:
#   make demo    set up .venv, train two CNNs on drawn faces, compare them, write a report
#   make test    set up .venv, run the tests that are quick: three minutes on two cores
# `make test-all` runs the long ones too: the commands of README and guides, studies, the browser.
# `make docs` builds the documentation as a site, without a network: docs/_build/index.html.
# `make demo DATA=path/to/fer2013.zip` does the same on real data, with a short budget.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=

.PHONY: demo test test-all lint docs web web-check check clean

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

docs: $(VENV)/.done
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

# The page for browsers is built from web/ into src/mien/page/static, which is committed: who installs mien needs no node.
web: web/node_modules/.done
	cd web && npx tsc && node build.mjs

# That what is committed is what web/ gives, to the byte.
web-check: web/node_modules/.done
	cd web && npx tsc && rm -rf dist && node build.mjs dist
	diff -r web/dist src/mien/page/static

web/node_modules/.done: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

check: test-all lint docs web-check

# The constraints keep torch at one build; without them a package may pull gigabytes of another one.
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "mien needs Python 3.11 or newer; choose one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs docs/_build
