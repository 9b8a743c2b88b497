# Every target makes the environment that it needs, once, from a fresh clone: it takes Python 3.11 to 3.14, a C library
# and PyPI. `make PYTHON=/path/to/python3.12 install` names the Python to use; ARGS="..." reaches the command of a target.

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage mutation test-long test-install test-services test-soak flink-jar test-flink test-cluster lint types lint-workflows format docs docs-serve bench profile soak soak-tail soak-world soak-objects chaos fuzz-files clean distclean

PYTHON ?=
# The Pythons that both omnia-beam (setup.py) and Apache Beam support; Debian cuts ensurepip out where python3-venv is
# missing, and a pyenv shim exists for versions that do not run: so each candidate is asked.
CANDIDATES = $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

INSTALLED := .venv/.installed
SDK_INSTALLED := .venv-sdk/.installed
PI_INSTALLED := .venv-pi/.installed
BENCH_INSTALLED := .venv-bench/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PIP_WITH_GROUPS := pip>=25.1

# $(call make_venv,DIR): a virtual environment in DIR, unless one that fits and has pip is there already.
define make_venv
$(1)/bin/python -c '$(FITS)' 2>/dev/null && $(1)/bin/python -c 'import pip' 2>/dev/null || { \
  python=; \
  for candidate in $(CANDIDATES); do \
    if "$$candidate" -c '$(FITS)' 2>/dev/null; then python="$$candidate"; break; fi; \
  done; \
  if [ -z "$$python" ]; then \
    echo >&2 "No Python 3.11 to 3.14 that can make virtual environments among: $(CANDIDATES)."; \
    echo >&2 "Install one (on Debian and Ubuntu: python3 and python3-venv), or: make PYTHON=/path/to/python install"; \
    exit 2; \
  fi; \
  echo "Making $(1) with $$("$$python" --version)"; \
  "$$python" -m venv --clear $(1); \
}
endef

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) $(SDK_INSTALLED) $(PI_INSTALLED)  ## Make .venv with omnia-beam and all test tools, .venv-sdk with the official SDK, .venv-pi with clients of PI

demo: $(INSTALLED)  ## Run the demo: a synthetic plant, backfilled to Parquet
	.venv/bin/omnia-beam demo $(ARGS)

# With MEASURE_COVERAGE=1, which .ci/run sets, the same tests are measured.
test: $(INSTALLED) $(SDK_INSTALLED) $(PI_INSTALLED)  ## Run the tests; ARGS="-k ledger -x" narrows them
ifeq ($(MEASURE_COVERAGE),1)
	@$(MAKE) --no-print-directory coverage
else
	.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)
endif

# Four fifths more processor time than `make test`: each line is counted, also in the processes that tests start.
coverage: $(INSTALLED) $(SDK_INSTALLED) $(PI_INSTALLED)  ## Run the tests and measure branch coverage; fails below fail_under of pyproject.toml
	rm -rf build/coverage && mkdir -p build/coverage
	.venv/bin/python -m coverage run -m pytest -n 2 --dist loadfile -o timeout=300 $(ARGS)
	.venv/bin/python -m coverage combine --quiet
	.venv/bin/python -m coverage report --format=markdown --fail-under=0 > build/coverage/report.md
	.venv/bin/python -m coverage report

mutation: $(INSTALLED)  ## Change ledger, plan and fingerprint in small ways and list the changes that no test notices; ARGS="--count 200 --seed 7"
	@.venv/bin/python -c 'import mutmut' 2>/dev/null || .venv/bin/python $(PIP_INSTALL) --group mutation
	.venv/bin/python -m tests.mutation.sample $(ARGS)

test-long: $(INSTALLED) $(SDK_INSTALLED) $(PI_INSTALLED)  ## Run the tests that take minutes: real data both ways, kills, a tail for fifteen accelerated minutes
	.venv/bin/python -m pytest -n 2 -m "long and not services and not soak" -o timeout=600 $(ARGS)

test-install: $(INSTALLED)  ## Install wheel and sdist alone into new environments and run every command there (part of test-long)
	.venv/bin/python -m pytest -n 2 -m long tests/deploy/test_install.py $(ARGS)

AZURITE_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/omnia-beam/azurite
AZURITE := $(AZURITE_DIR)/node_modules/.bin/azurite-blob

define WITH_AZURITE
@test -x $(AZURITE) || { command -v npm >/dev/null && $(MAKE) --no-print-directory $(AZURITE); } || \
  echo "SKIPPED: the tests on Azurite, for npm cannot install it here"
endef

# The bindings are compiled, where the headers are (Debian: libkrb5-dev); the tests need krb5-kdc, krb5-admin-server and krb5-user too.
define WITH_KERBEROS
@.venv/bin/python -c 'import gssapi' 2>/dev/null || \
  { command -v krb5-config >/dev/null && .venv/bin/python $(PIP_INSTALL) 'pyspnego[kerberos]'; } || \
  echo "SKIPPED: the tests of Kerberos, whose library cannot be compiled here"
endef

test-services: $(INSTALLED)  ## Run the tests that need real servers: PostgreSQL, Kerberos, and Azurite, which npm installs once into the cache folder (190 MB)
	$(WITH_AZURITE)
	$(WITH_KERBEROS)
	AZURITE=$$(test -x $(AZURITE) && echo $(AZURITE)) .venv/bin/python -m pytest -n 2 --dist loadfile -m "services and not soak" -o timeout=600 -rs $(ARGS) \
	  tests/store/test_azurite.py tests/pipelines/test_store_life.py tests/io/postgresql tests/io/contract tests/io/pi/test_auth_kerberos.py tests/benchmarks

test-soak: $(INSTALLED)  ## Run the tests of many kills and sleepers on object stores, PI and PostgreSQL: a quarter of an hour
	$(WITH_AZURITE)
	AZURITE=$$(test -x $(AZURITE) && echo $(AZURITE)) .venv/bin/python -m pytest -m soak -o timeout=1800 -rs $(ARGS) \
	  tests/pipelines/test_store_life.py tests/io/pi tests/io/postgresql tests/soak

FLINK_JAR := build/flink-job-server.jar

flink-jar: $(FLINK_JAR)  ## Fetch Flink's job server for the installed Beam through Maven (160 to 300 MB)

test-flink: $(INSTALLED) $(FLINK_JAR)  ## Run backfills on an embedded Flink, with a worker killed; POINTS=2000000 makes them smaller
	$(WITH_AZURITE)
	AZURITE=$$(test -x $(AZURITE) && echo $(AZURITE)) FLINK_JOB_SERVER_JAR=$(abspath $(FLINK_JAR)) FLINK_POINTS=$(POINTS) \
	  .venv/bin/python -m pytest tests/pipelines/test_flink.py tests/pipelines/test_flink_tail.py -rP -o timeout=900 $(ARGS)

test-cluster: $(INSTALLED) $(FLINK_JAR)  ## Run jobs on a Flink of three processes, one of them killed; POINTS=2000000 makes them smaller
	FLINK_JOB_SERVER_JAR=$(abspath $(FLINK_JAR)) FLINK_POINTS=$(POINTS) \
	  .venv/bin/python -m pytest -m services tests/pipelines/test_flink_cluster.py -rP -o timeout=900 $(ARGS)

lint: $(INSTALLED)  ## Check style, formatting and strict types (all three, also when the first fails)
	@status=0; \
	for check in "ruff check" "ruff format --check" "mypy"; do \
	  echo "$$check"; .venv/bin/$$check || status=1; \
	done; \
	exit $$status

types: $(INSTALLED)  ## Check the types of the public API with mypy and pyright, as a program that imports it sees them
	@.venv/bin/python -c 'import pyright' 2>/dev/null || .venv/bin/python $(PIP_INSTALL) --group types
	.venv/bin/python -m pytest -m long tests/typing $(ARGS)

lint-workflows:  ## Check .github/workflows with actionlint, where it is installed
	@if command -v actionlint >/dev/null; then actionlint; \
	else echo "skipped: there is no actionlint here (go install github.com/rhysd/actionlint/cmd/actionlint@latest)"; fi

format: $(INSTALLED)  ## Format the code and fix what ruff can fix by itself
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: $(INSTALLED)  ## Build the documentation's site into site/, with every link checked
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet $(ARGS)

docs-serve: $(INSTALLED)  ## Serve the documentation on this machine, and build it again whenever a page changes
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs serve $(ARGS)

bench: $(INSTALLED) $(SDK_INSTALLED) $(BENCH_INSTALLED)  ## Run the side-by-side benchmarks: some eight minutes
	@mkdir -p bench-out
	.venv/bin/python -m benchmarks --markdown bench-out/figures.md --json bench-out/figures.json $(ARGS)

profile: $(INSTALLED)  ## Draw where a backfill's time goes: bench-out/profile.svg
	@.venv/bin/python -c 'import shutil, sys; sys.exit(not shutil.which("py-spy", path=".venv/bin"))' || \
	  .venv/bin/python $(PIP_INSTALL) --group bench
	.venv/bin/python -m benchmarks.profile --out bench-out/profile.svg $(ARGS)

soak: $(INSTALLED)  ## Kill a backfill fifty times and prove that nothing is lost; ARGS="--sink omnia", "--kills 200"
	.venv/bin/python -m tests.soak.kills $(ARGS)

soak-world: $(INSTALLED)  ## Play random sequences of runs, losses and changes against the truth; ARGS="--sequences 2000 --seed 7"
	.venv/bin/python -m tests.soak.world $(ARGS)

soak-objects: $(INSTALLED)  ## Play schedules of faults on an object store in memory, under each command; ARGS="--schedules 10000 --seed 7"
	.venv/bin/python -m tests.soak.objects $(ARGS)

soak-tail: $(INSTALLED)  ## Run days of a tail's cycles and prove that memory stays level; ARGS="--cycles 3000 --series 20"
	.venv/bin/python -m tests.soak.tail $(ARGS)

chaos: $(INSTALLED)  ## Run a backfill through a storm of all faults at once and prove that the copy is exact
	.venv/bin/python -m tests.chaos.storm $(ARGS)

fuzz-files: $(INSTALLED)  ## Damage 10,000 source files of each form: read exactly or refused; ARGS="--cases 1000 --form gz --seed 7"
	.venv/bin/python -m tests.soak.damage $(ARGS)

# Not out/ and state/: they may hold somebody's data and ledger.
clean:  ## Remove caches and what the demo, benchmarks and builds wrote
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-out bench-out site mutants
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## Remove the virtual environments too
	rm -rf .venv .venv-*
	find omnia_beam -name "_kernel*.so" -delete

$(AZURITE):
	npm install --no-audit --no-fund --prefix $(AZURITE_DIR) azurite@3.35.0

$(FLINK_JAR): | $(INSTALLED)
	@.venv/bin/python deploy/flink_job_server.py $@

$(INSTALLED): setup.py pyproject.toml $(wildcard omnia_beam/core/*.[ch])
	@$(call make_venv,.venv)
	@echo "Installing omnia-beam and its test tools into .venv (a minute or two the first time)"
	@.venv/bin/python $(PIP_INSTALL) '$(PIP_WITH_GROUPS)'
	@PYTHONWARNINGS='ignore:Editable installation' .venv/bin/python $(PIP_INSTALL) -e '.[docs,emulator,metrics,postgresql,units]' --group test
	@touch $@

$(SDK_INSTALLED): tests/sdk-requirements.txt
	@$(call make_venv,.venv-sdk)
	@echo "Installing the official SDK into .venv-sdk"
	@.venv-sdk/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(PI_INSTALLED): tests/pi-requirements.txt
	@$(call make_venv,.venv-pi)
	@echo "Installing two clients of PI Web API into .venv-pi"
	@.venv-pi/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

$(BENCH_INSTALLED): benchmarks/bench-requirements.txt
	@$(call make_venv,.venv-bench)
	@echo "Installing dlt, for comparison, into .venv-bench"
	@.venv-bench/bin/python $(PIP_INSTALL) -r $<
	@touch $@
