# make lab: open the practical.  make test: prove it.  Both set up .venv by themselves, again when pyproject.toml changes.
PYTHON ?= python3
LAB_OPTIONS ?=
BIN := .venv/bin
READY := .venv/ready

.PHONY: lab test notebooks clean

lab: $(READY)
	$(BIN)/jupyter lab $(LAB_OPTIONS) notebooks/02_letter_autoencoder.ipynb

test: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf .venv
