PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.ready
SPARK  := $(VENV)/.spark
BIN    := $(VENV)/bin
PIP    := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check
PEER   := benchmarks/.actxps/.ready
NAME   ?= all
SIZE   ?=

.DEFAULT_GOAL := help
.PHONY: demo test prove lab bench lint lock clean help

demo: $(READY)  ## build both bundled studies and their reports into reports/demo
	$(BIN)/pricing demo

test: $(READY) $(SPARK)  ## run the tests, the doctests, the types and the style checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --dist loadfile

prove: $(READY)  ## run the slow proofs (coverage over many simulated books, a million policies)
	$(BIN)/python -m pytest -m slow

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/

bench: $(READY) $(PEER)  ## time ours against the floor and the peer (NAME=fit_frequency SIZE=1e6 for one)
	$(BIN)/python benchmarks/run.py --name "$(NAME)" --size "$(SIZE)"

lint: $(READY)  ## fix what ruff can fix, then check style, types and floors
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:  ## write requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	  --extra lab --extra engines --extra dev --output-file requirements.lock pyproject.toml build.in
	sed -n 's/.*"\(pyspark[^"]*\)".*/\1/p' pyproject.toml | uv pip compile --universal \
	  --python-version 3.11 --generate-hashes --no-header --quiet --output-file spark.lock -

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(SPARK): spark.lock | $(READY)
	$(PIP) install --quiet --require-hashes -r spark.lock
	@touch $@

$(PEER):
	$(PYTHON) -m venv --without-pip $(@D)
	$(PYTHON) -m pip --python $(@D)/bin/python --disable-pip-version-check install --quiet actxps==1.1.0
	@touch $@

clean:  ## remove the environment and what the demo wrote
	rm -rf $(VENV) benchmarks/.actxps reports/demo

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
