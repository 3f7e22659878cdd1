# make lab: open the practical.  make check: does everything work here?  make test: prove it.
# make notebooks: run and save all notebooks, as they are committed.
# make html: run all notebooks and write them as web pages into the folder html.
# make handout: a zip for students, without outputs and solutions.
# make benchmark: measure how good and how fast it is, and write docs/results.md.
# make test-long: the notebooks with other seeds and threads, and without a network.
# All set up .venv by themselves, again when pyproject.toml changes.
PYTHON ?= python3
LAB_OPTIONS ?=
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)# in a container; JupyterLab does not start without it
BIN := .venv/bin
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=900
READY := .venv/ready
TESTS := .venv/ready-for-tests

.PHONY: lab check test test-long notebooks html handout benchmark clean

lab: $(READY)
	$(BIN)/jupyter lab $(AS_ROOT) $(LAB_OPTIONS) notebooks/01_mnist_denoiser.ipynb

check: $(READY)
	$(BIN)/python tools/check.py

test: $(TESTS)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy helpers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 $(NBVAL)

test-long: $(TESTS)
	$(BIN)/python -m pytest -m long

notebooks: $(TESTS)
	$(BIN)/python tools/execute_notebooks.py $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb)

benchmark: $(TESTS)
	$(BIN)/python tools/benchmarks/benchmark.py

html: $(TESTS)
	$(BIN)/python tools/make_site.py html

handout: $(READY)
	$(BIN)/python tools/make_handout.py autoencoder-practical.zip

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, such as by make lab PYTHON=python3.12. This is " + sys.version)'
	@echo "Setting up .venv. This takes some minutes, most of them for PyTorch."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python tools/set_up.py $(PYTORCH_INDEX)
	touch $@

$(TESTS): $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf .venv html
