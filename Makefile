# Every target sets up what it needs in .venv; the second time is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run-$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
DEV := $(VENV)/.dev
FUZZ := $(VENV)/.fuzz
AUDIT := $(VENV)/.audit
SITE := $(VENV)/.site
# Tests start hundreds of processes, and without bytecode files each compiles the whole package.
export PYTHONDONTWRITEBYTECODE :=
# One more than cores: many tests wait for clocks and sockets, but each worker collects all of them.
WORKERS ?= 3
# Three workers: each collects all tests, which takes longer than what more of them save.
FAST := -q -n 3 -m "not process and not slow" --hypothesis-profile=fast --ignore=tests/endurance --ignore=tests/chart

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-lowest bench turns soak fuzz audit sbom pipx-check lint format docs docs-site site-check lock lock-check release-check clean

help: ## Shows this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) has no working venv module; on Debian: apt-get install python3-venv"; exit 1; }

$(RUN): $(VENV)/pyvenv.cfg requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

$(DEV): $(VENV)/pyvenv.cfg requirements/dev.txt pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(RUN)

demo: $(RUN) ## Exporter and simulator in one process, nothing to configure
	@$(BIN)/python -m exporter demo $(ARGS)

test: lint ## Linters and all tests; must pass before a commit
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not unmeasured" --cov --cov-report=term
	@$(BIN)/python -m pytest -n $(WORKERS) -m unmeasured

test-fast: $(DEV) ## Most tests, in under a minute: without processes, with few examples of each property
	@$(BIN)/python -m pytest $(FAST) $(ARGS)

test-lowest: $(VENV)/pyvenv.cfg ## The same tests with the lowest versions of the dependencies that pyproject.toml allows
	@rm -rf $(VENV)/lowest
	@$(PYTHON) -m venv $(VENV)/lowest
	@$(VENV)/lowest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(VENV)/lowest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lowest.txt
	@$(VENV)/lowest/bin/python -m pytest $(FAST) $(ARGS)
	@rm -rf $(VENV)/lowest

bench: $(DEV) ## CPU, time and memory beside other programs, as a table; see benchmarks/README.md
	@$(BIN)/python -m benchmarks $(ARGS)

turns: $(DEV) ## The longest turn of the event loop under hostile load; ARGS="--jobs 10000" for more jobs
	@$(BIN)/python -m tests.turns $(ARGS)

MINUTES ?= 60
soak: $(DEV) ## One exporter under every fault, for MINUTES; fails on growth, late scrapes, lost or doubled series
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

$(FUZZ): $(DEV) requirements/fuzz.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

SECONDS ?= 60
fuzz: $(FUZZ) ## Each harness of tests/fuzz with atheris, for SECONDS; ARGS="--planted" shows that each finds a fault
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

$(AUDIT): $(DEV) requirements/audit.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
	@touch $@

audit: $(AUDIT) ## Known vulnerabilities of the pinned dependencies; reports where they cannot be read
	@$(BIN)/python -m tests.supply.audit $(ARGS)

sbom: $(AUDIT) ## An SBOM of what is installed, CycloneDX as JSON, with the libraries inside the wheel of pycurl
	@$(BIN)/python -W error -m tests.supply.sbom

pipx-check: $(AUDIT) ## Builds the wheel, installs it with pipx as a user does, and runs it
	@rm -rf build/pipx
	@$(BIN)/python -m build --no-isolation --wheel --outdir build/pipx . >/dev/null
	@PIPX_HOME=$(CURDIR)/build/pipx PIPX_BIN_DIR=$(CURDIR)/build/pipx $(BIN)/pipx install --quiet build/pipx/*.whl
	@build/pipx/remote-job-exporter --version

lint: $(DEV) ## ruff, mypy and the layers of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

format: $(DEV) ## Formats the code and fixes what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(DEV) ## Writes what is generated: reference tables, dashboards, the chart's schema and table
	@$(BIN)/python -m tests.generate
	@$(BIN)/python -m tests.supply.licences
	@$(BIN)/python -m grafana.source
	@$(BIN)/python -m helm.generate

$(SITE): $(DEV) requirements/docs.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs-site: $(SITE) ## The documentation as a site in build/site; REF=v1.2.3 is what its links to files lead to
	@$(BIN)/python -m docs.site build/pages $(REF)
	@rm -rf build/site
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -c docs/site -d build/doctrees build/pages build/site
	@cp -r docs/pictures build/site/
	@echo "$(CURDIR)/build/site/index.html"

GRAFANA ?= http://127.0.0.1:3000
EXPORTER ?= http://127.0.0.1:10072
pictures: $(DEV) ## The pictures of the documentation, from a Grafana (GRAFANA=ADDRESS) and make demo (EXPORTER=ADDRESS)
	@$(BIN)/python -m grafana.source.pictures --grafana "$(GRAFANA)" --exporter "$(EXPORTER)" $(ARGS)

site-check: docs-site ## Looks at each page of the site in Chromium: width, errors, requests to other hosts, the search
	@$(BIN)/python -m tests.browser.site build/site token

# Extras stay in the lock files: an old pip looks for another version of what is pinned without them.
COMPILE := ../$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate

lock: $(DEV) ## Pins every dependency with its hashes
	@cd requirements && export PIP_FIND_LINKS= \
		&& $(COMPILE) $(ARGS) --output-file runtime.txt ../pyproject.toml \
		&& $(COMPILE) $(ARGS) --output-file build.txt build.in \
		&& $(COMPILE) $(ARGS) --output-file dev.txt dev.in \
		&& $(COMPILE) $(ARGS) --output-file fuzz.txt fuzz.in \
		&& $(COMPILE) $(ARGS) --output-file audit.txt audit.in \
		&& $(COMPILE) $(ARGS) --output-file docs.txt docs.in \
		&& sed -n 's/^    "\([a-z0-9-]*\)>=\([^",]*\).*",$$/\1==\2/p' ../pyproject.toml > ../$(VENV)/lowest.in \
		&& $(COMPILE) $(ARGS) --output-file lowest.txt ../pyproject.toml ../$(VENV)/lowest.in

lock-check: $(VENV)/pyvenv.cfg ## Installs the pinned dependencies with the oldest supported pip, aside
	@rm -rf $(VENV)/oldest
	@$(PYTHON) -m venv $(VENV)/oldest
	@$(VENV)/oldest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/oldest-pip.txt
	@$(VENV)/oldest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@rm -rf $(VENV)/oldest

release-check: $(DEV) ## All that names the version agrees, with TAG=v1.2.3 the tag too; prints what is released
	@$(BIN)/python -m tests.release $(TAG)

clean: ## Removes what the other targets made
	@rm -rf $(VENV) build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
