# The project's commands; `make` alone lists them. GNU make and a POSIX shell are all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := notebooks,sample,app,tune,site,test
CONSTRAINTS := .ci/constraints.txt
COLAB_PYTHON := python3.13
# Written last: a virtual environment without it is half made, and is made anew.
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
GOALS := help install run test execute slides site wheel colab-check test-oldest bench bench-full
GOALS += test-slow badges constraints clean
.PHONY: $(GOALS)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with the tested versions (another Python: PYTHON=python3.13)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "This needs Python 3.11 or newer; '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),install) PYTHON=python3.11"; exit 1; } >&2
	@$(PYTHON) .ci/install.py check $(NAMES)
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	@$(PYTHON) .ci/install.py install $(VENV) '$(EXTRAS)' $(CONSTRAINTS)
	@touch $@

# In `make run 02 03`, the words behind `run` are notebooks, not goals of make.
ifeq (run,$(firstword $(MAKECMDGOALS)))
NAMES := $(filter-out $(GOALS),$(wordlist 2,99,$(MAKECMDGOALS)))
.PHONY: $(NAMES)
$(NAMES): run ; @:
endif

run: $(STAMP) ## Execute the series, or `make run 02`, into runs/ (options: ARGS="--quick -p EPOCHS 3")
	@$(BIN)/mnistlib run $(NAMES) $(ARGS)

test: $(STAMP) ## Lint, unit tests, and the committed notebooks against a fresh execution
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder
	$(BIN)/python .ci/compare.py

execute: $(STAMP) ## For maintainers: execute the notebooks in place (some: ARGS=notebooks/02_….ipynb)
	$(BIN)/python .ci/execute.py $(ARGS)

slides: $(STAMP) ## Write a talk of each lesson into runs/slides
	$(BIN)/python .ci/slides.py

site: $(STAMP) ## Make the site of the lessons, the guide and the library in runs/site
	$(BIN)/python .ci/website.py

wheel: $(STAMP) ## Build the wheel into dist/: to upload to Colab, or for a machine without the clone
	@$(BIN)/python .ci/build_wheel.py

colab-check: $(STAMP) ## Run the lessons on Colab's own versions (another one: COLAB_PYTHON=…, ARGS="04")
	@$(BIN)/python .ci/colab.py --python $(COLAB_PYTHON) $(ARGS)

test-slow: $(STAMP) ## Run every lesson in JupyterLab, whose pictures are in runs/, and as a script
	SLOW_TESTS=1 $(BIN)/pytest $(ARGS) tests/test_jupyterlab.py tests/test_scripts.py

# uv, because pip cannot choose the oldest.
test-oldest: $(STAMP) ## Unit tests with the oldest versions that pyproject.toml allows
	@$(BIN)/python -m venv --clear runs/oldest
	@runs/oldest/bin/python -m pip install --quiet uv
	@runs/oldest/bin/uv pip install --python runs/oldest/bin/python --resolution lowest-direct \
	    -e '.[notebooks,sample,app,tune,test]'
	runs/oldest/bin/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS) tests

bench: $(STAMP) ## Time the series against its peers (an hour; one of them needs torch in .venv)
	$(BIN)/python -m benchmarks quick steps

bench-full: $(STAMP) ## The long trainings (an hour); both go on where they were interrupted
	$(BIN)/python -m benchmarks full ensembles

badges: $(STAMP) ## Set the repository's address everywhere: REPO=owner/name
	$(BIN)/python .ci/badges.py "$(REPO)"

# aiohttp: papermill wants it on Python 3.12 alone.
constraints: ## For maintainers: pin today's versions (with PYTHON=python3.11, the oldest supported)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip install --quiet --upgrade setuptools aiohttp -e '.[$(EXTRAS)]' && \
	{ echo "# The versions that the tests ran with, written by: make constraints PYTHON=python3.11" && \
	  "$$scratch/bin/python" -m pip freeze --all --exclude pip --exclude-editable; } > $(CONSTRAINTS).new && \
	mv $(CONSTRAINTS).new $(CONSTRAINTS)

clean: ## Remove what the commands above made
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
