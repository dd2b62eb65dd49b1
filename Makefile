# make demo       sets up what is needed and runs the first notebook in the embedded sandbox
# make lab        opens JupyterLab with the kernel in place
# make test       sets up what the tests need (as root: a Docker Engine too) and runs them on all cores
# make test-slow  the same for the long tests: chaos, soak, long fuzzing, timings, and cases that repeat a short
#                 one on Docker or gVisor
# make test-kubernetes  runs sandboxes in pods of a real cluster, which is built and started for it; as root
# make extension  builds the JupyterLab extension and the live view, where there is Node; see extension/README.md
# make docs       builds the documentation as a site into build/site; a link that leads nowhere is an error
# make lint       ruff and mypy; of the extension: tsc, eslint and prettier
# make lock       compiles the locks anew from pyproject.toml
#
# Everything goes into .venv, installed from locks with hashes; a stamp per lock says what is there already.
# Modules are compiled when they are first imported, as most never are.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start hundreds of Python processes; without bytecode each would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

INSTALL := $(BIN)/python -m pip install --quiet --no-input --progress-bar off
SELF := $(INSTALL) --no-deps --no-build-isolation --editable .

.PHONY: demo lab docs extension test test-slow test-kubernetes suite pytest prepared lint lint-python lint-extension format lock notebooks clean

demo: $(VENV)/.demo $(VENV)/.bwrap
	@agent-kernel demo --output build/demo

lab:
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.lab $(VENV)/.bwrap extension
	@agent-kernel install --sys-prefix
	@AGENT_KERNEL_SANDBOX=$${AGENT_KERNEL_SANDBOX:-bubblewrap} jupyter lab \
	  $(if $(filter 0,$(shell id -u)),--allow-root) notebooks $(LAB)

# In an environment of its own: nothing else needs what it stands on.
docs: build/docs/.docs
	@PYTHONPATH=.ci NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --quiet

build/docs/.docs: requirements/docs.txt
	@.ci/venv build/docs
	@.ci/packages build/docs requirements/docs.txt
	@touch $@

# Two workers per processor, because a test waits for other processes about half of its time. Workers take tests
# from each other, so that all end together.
WORKERS := $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN)")
PARALLEL := -n $(WORKERS) --dist worksteal

test: SELECT := $(PARALLEL) -m "not slow"
test-slow: SELECT := -m slow
test test-slow:
	@.ci/debian-packages
	@.ci/engine $(MAKE) --no-print-directory --jobs=3 suite SELECT='$(SELECT)'

# mypy, and what the tests need, are made while the extension's packages are on their way.
suite: pytest lint

# The cluster's programs are built from Debian's source package the first time, which takes 12 minutes. The tests
# that end the API server run alone.
test-kubernetes: PODS := tests/sandboxes/kubernetes
test-kubernetes: CHAOS := $(PODS)/cluster/test_chaos.py
test-kubernetes: prepared
	@.ci/engine .ci/kubernetes sh -ec '$(BIN)/python -m pytest $(PODS) --ignore $(CHAOS) $(PARALLEL) $(PYTEST); \
	  $(BIN)/python -m pytest $(CHAOS) $(PYTEST)'

pytest: prepared extension
	$(BIN)/python -m pytest $(SELECT) $(PYTEST)

# In a new checkout one process compiles all modules, which each worker would do otherwise.
prepared: $(VENV)/.dev
	@[ -d tests/__pycache__ ] || $(BIN)/python -m pytest --collect-only --quiet --numprocesses 0 >/dev/null || true
	agent-kernel image build --if-missing
	agent-kernel install --sys-prefix

lint: lint-python lint-extension

lint-python: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	.ci/mypy $(CURDIR)/$(VENV)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The JupyterLab extension and the live view. They are built again when a file of them has changed, and the
# extension is linked into the environment.
# Without Node nothing is built, and only CI fails. Without Node on the machine the one in .venv is used.
WITHOUT_NODE := { [ $$? = 3 ] && [ "$$AGENT_KERNEL_REQUIRE_ALL" != 1 ]; }
EXTENSION := $(wildcard $(shell git ls-files --cached --others --exclude-standard extension 2>/dev/null))

extension: $(VENV)/.extension

$(VENV)/.extension: $(EXTENSION) .ci/extension | $(BIN)/python $(if $(shell command -v npm),,$(if $(filter suite lint,$(MAKECMDGOALS)),$(VENV)/.dev))
	@.ci/extension $(CURDIR)/$(VENV) build || $(WITHOUT_NODE)
	@mkdir -p $(VENV)/share/jupyter/labextensions
	@[ ! -d extension/labextension ] || { \
	  ln -sfn $(CURDIR)/extension/labextension $(VENV)/share/jupyter/labextensions/jupyter-agent-kernel && touch $@; }

lint-extension: $(VENV)/.extension
	@.ci/extension $(CURDIR)/$(VENV) lint:built || $(WITHOUT_NODE)

notebooks: $(VENV)/.dev $(VENV)/.bwrap # runs the examples again and saves them with their outputs
	@agent-kernel install --sys-prefix
	AGENT_KERNEL_SANDBOX=bubblewrap $(BIN)/python notebooks/execute.py

$(BIN)/python:
	@.ci/venv $(VENV)

# A lock or the build file that changed since: install again. The stamps are touched last, so a broken
# installation is taken up where it ended.
$(VENV)/.demo $(VENV)/.lab $(VENV)/.dev: $(VENV)/.%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements/$*.txt into $(VENV)"
	@.ci/packages $(VENV) requirements/$*.txt
	@$(SELF)
	@touch $@

# pip changes one thing in an environment at a time.
$(VENV)/.bwrap: requirements/bubblewrap.txt | $(BIN)/python $(filter $(VENV)/.lab,$(MAKECMDGOALS))
	@.ci/bubblewrap $(VENV)
	@touch $@

LOCK := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-header --no-annotate $(UPGRADE)

# What the proxy in the tests starts without: databases, clouds, profilers.
UNUSED := azure-core azure-identity azure-storage-blob boto3 botocore croniter granian hf-xet isodate jmespath \
  litellm-enterprise litellm-proxy-extras msal msal-extensions polars polars-runtime-32 psycopg psycopg-binary \
  pyroscope-io rq s3transfer

# Left out of the tests' environment: with it, every process that imports nbformat starts a second later; see
# findings/jsonschema_grammars.sh.
UNWANTED := rfc3987-syntax

lock: $(VENV)/.dev # UPGRADE=--upgrade takes the newest of everything
	$(LOCK) pyproject.toml requirements/build.in --extra dev --overrides requirements/dev-overrides.in $(UNWANTED:%=--no-emit-package %) --no-emit-package jupyter-agent-kernel -o requirements/dev.txt
	$(LOCK) pyproject.toml requirements/build.in --extra serve --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) pyproject.toml requirements/build.in --extra serve --extra demo --extra lab -c requirements/dev.txt -o requirements/lab.txt
	$(LOCK) requirements/docs.in -c requirements/dev.txt -o requirements/docs.txt
	$(LOCK) requirements/bubblewrap.in -o requirements/bubblewrap.txt
	$(LOCK) requirements/toolbox.in --only-binary :all: --fork-strategy fewest --no-emit-find-links -o agent_kernel/sandboxes/toolbox.txt
	$(LOCK) tests/clients/upstream/requirements.in $(UNUSED:%=--no-emit-package %) -o tests/clients/upstream/requirements.txt
	for name in autogen crewai langgraph llama_index; do $(LOCK) tests/clients/frameworks/locks/$$name.in -o tests/clients/frameworks/locks/$$name.txt; done
	$(LOCK) tests/models/local/requirements.in --no-deps --only-binary :all: -o tests/models/local/requirements.txt
	$(LOCK) tests/notebooks/requirements.in --no-deps --only-binary :all: -o tests/notebooks/requirements.txt
	$(LOCK) tests/server/jupyterhub/requirements.in --no-deps --only-binary :all: -o tests/server/jupyterhub/requirements.txt
	$(LOCK) pyproject.toml requirements/build.in tests/integrations/requirements.in -o tests/integrations/requirements.txt
	$(LOCK) tests/kernel/tables/corpus/requirements.in --no-deps --only-binary :all: -o tests/kernel/tables/corpus/requirements.txt
	@if grep -n "http[s]*:" requirements/*.txt tests/clients/upstream/requirements.txt tests/clients/frameworks/locks/*.txt tests/integrations/requirements.txt \
	  tests/notebooks/requirements.txt tests/server/jupyterhub/requirements.txt tests/kernel/tables/corpus/requirements.txt tests/models/local/requirements.txt agent_kernel/sandboxes/toolbox.txt; then echo "A lock names a host."; exit 1; fi

clean:
	rm -rf $(VENV) extension/node_modules extension/lib extension/labextension agent_kernel/kernel/live/static build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
