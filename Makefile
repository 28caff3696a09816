# `make help` lists the targets. Only `setup`, `locks` and `extras` need the network. Every other target uses what these
# put into .venv, jars and .extras.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough. `make setup PYTHON=...` chooses another one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV  := .venv
PY    := $(VENV)/bin/python
STAMP := $(VENV)/.ready
PIP   := .ci/persist $(PY) -m pip --disable-pip-version-check --retries 5 --timeout 60 install --quiet
# `make setup LOCKED=no` installs versions without hashes. Needed if this machine's pip picks other files of a version.
LOCKED ?= yes
LOCKS := requirements/build.lock requirements/dev.lock requirements/image.lock
EXTRAS := $(CURDIR)/.extras
TESTS := tests/integration tests/property tests/e2e
FAST  := not slow
# What holds the proofs against the code; AUDITS beside it.
PRIVACY := $(addprefix tests/unit/test_,privacy_accounting.py privacy_gaussian.py privacy_laplace.py privacy_noise.py \
	privacy_queries.py privacy_sensitivity.py privacy_thresholds.py prove.py post_processing.py mutants.py committed.py \
	curator.py discovery.py ledger_budget.py clinical_rules.py gates_audited.py) tests/property \
	$(addprefix tests/integration/test_,invariance.py replay.py leaks.py)
# Audits that are slow because they start Spark.
AUDITS := $(addprefix tests/integration/test_,prove.py canaries.py)
# JUnit XML for build servers: one file a selection of tests.
JUNIT := build/junit
# Two workers, each with its own JVM. A test module stays on one worker.
TWO   := -n 2

##@ Start
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) jars ## install the environment into .venv and Delta's JARs into jars/ (network, once)

$(STAMP): pyproject.toml constraints.txt $(LOCKS) tools/lock_requirements.py
	@.ci/preflight "$(PYTHON)"
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	@if [ "$(LOCKED)" = yes ] && $(PY) tools/lock_requirements.py fits requirements; then \
		{ $(PIP) --require-hashes --requirement requirements/build.lock \
			&& $(PIP) --require-hashes --no-build-isolation --requirement requirements/dev.lock; } \
			|| { echo "setup: pip's own message is above. If a hash does not match, the file differs from the locked one." \
				"On an older C library pip picks other files: make setup LOCKED=no installs versions without hashes." >&2; exit 1; }; \
		$(PIP) --no-deps --no-build-isolation --editable .; \
	else \
		echo "setup: installing versions of constraints.txt without hashes, because the locks are for another platform or LOCKED=no" >&2; \
		$(PIP) --constraint constraints.txt hatchling editables setuptools wheel; \
		$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[dev]'; \
	fi
	@touch $@

locks: ## write requirements/*.lock again after a change of constraints.txt or pyproject.toml (network)
	@test -x $(PY) || { echo "no .venv yet: make setup LOCKED=no first" >&2; exit 2; }
	@.ci/persist $(PY) tools/lock_requirements.py make requirements

jars: $(STAMP) ## fetch Delta's two JARs into jars/, once, and compare them with jars.lock
	@$(PY) tools/fetch_jars.py jars lib/synthward/spark/jars.lock

run: setup ## run the demo: request, policy, budget, release, report
	@$(PY) jobs/demo.py

demo-diabetes: setup ## run the main job on the UCI Diabetes 130 file: make demo-diabetes DATA=diabetic_data.csv.gz
	@test -n "$(DATA)" || { echo "give the file: make demo-diabetes DATA=<diabetic_data.csv or .csv.gz>" >&2; exit 2; }
	@$(PY) jobs/demo.py --diabetes "$(DATA)"

clean-demo: ## remove everything that the demos created: extract, ledger, releases, MLflow
	rm -rf .synthward

doctor: setup ## check versions, Java, JARs, a Delta table, the workers' Python, the tracking server
	$(PY) -m synthward.cli doctor

##@ Test
test: setup check test-unit ## run what every change must pass: check, then all tests that are not slow, in both lanes
	$(PY) -m pytest $(TESTS) -m "$(FAST)" $(TWO) --junitxml=$(JUNIT)/tests.xml
	SYNTHWARD_TEST_LANE=connect $(PY) -m pytest tests/integration -m "connect and $(FAST) and not slow_on_connect" $(TWO) \
		--junitxml=$(JUNIT)/connect.xml

test-unit: $(STAMP) ## run the unit tests: no JVM, seconds
	$(PY) -m pytest tests/unit $(TWO) --junitxml=$(JUNIT)/unit.xml

test-java: $(STAMP) ## run the fast tests on another Java: SYNTHWARD_TEST_JAVA_HOME=/path/to/jdk-21
	@if [ -x "$${SYNTHWARD_TEST_JAVA_HOME:-/none}/bin/java" ]; then \
		JAVA_HOME="$$SYNTHWARD_TEST_JAVA_HOME" $(PY) -m pytest tests/integration -m "$(FAST)" $(TWO); \
	else \
		echo "test-java: skipped, SYNTHWARD_TEST_JAVA_HOME does not name a JDK" >&2; \
	fi

test-all: export SYNTHWARD_MOTO_PYTHON := $(EXTRAS)/moto/bin/python
test-all: export SYNTHWARD_S3_JARS := $(EXTRAS)/s3jars
test-all: export SYNTHWARD_YARN_JARS := $(EXTRAS)/yarnjars
test-all: export SYNTHWARD_AIRFLOW_PYTHON := $(EXTRAS)/airflow/bin/python
test-all: export SYNTHWARD_MBI := $(EXTRAS)/mbi
test-all: export SYNTHWARD_DP_ACCOUNTING := $(EXTRAS)/dp
test-all: export SYNTHWARD_BUNDLES := $(EXTRAS)/bundles
test-all: setup extras check test-unit ## run all tests, also the slow ones, in both lanes (about an hour; not `make mutants`)
	$(PY) -m pytest $(TESTS) $(TWO) --junitxml=$(JUNIT)/tests.xml
	SYNTHWARD_TEST_LANE=connect $(PY) -m pytest tests/integration -m connect $(TWO) --junitxml=$(JUNIT)/connect.xml
	@$(MAKE) test-java

privacy: export SYNTHWARD_DP_ACCOUNTING := $(EXTRAS)/dp
privacy: setup ## every privacy audit: proofs' tests, attacks on two requests, lemmas and their mutants (20 minutes)
	rm -rf build/privacy && mkdir -p build/privacy
	$(PY) -m pytest $(PRIVACY) -m "$(FAST)" $(TWO) --junitxml=build/privacy/tests.xml
	$(PY) -m pytest $(AUDITS) $(TWO) --junitxml=build/privacy/audits.xml
	$(PY) -m synthward.cli prove conf/requests/diabetes130.yaml --site conf/site.yaml --out build/privacy/diabetes130
	$(PY) -m synthward.cli prove conf/requests/mimic3_labevents.yaml --site conf/site.yaml --out build/privacy/mimic3_labevents
	$(PY) tests/mutants/run.py --lemmas > build/privacy/lemmas.md
	$(PY) tests/mutants/run.py --without-jvm
	@echo "privacy: reports, claims, lemmas and JUnit files are in build/privacy"

extras: setup ## install what only test-all needs into .extras: S3, YARN, Airflow, oracles (network, once, 2 GB)
	@.ci/extras $(PY)

mutants: setup ## break each guarantee on purpose; a test must fail each time (half an hour)
	$(PY) tests/mutants/run.py

check: $(STAMP) ## check lint, format, types and import layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

fmt: $(STAMP) ## format the code, and fix what ruff can fix
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench-kernels: setup ## measure the speed of the kernels against the targets
	$(PY) tests/benchmarks/bench_kernels.py

bench-fidelity: setup ## measure the fidelity of the synthesizers at equal privacy (SYNTHWARD_DATA)
	$(PY) tests/benchmarks/bench_fidelity.py

bench-scale: setup ## time whole runs at 1 and 10 M rows and at the limits; SIZES=1,10,100 for more
	$(PY) tests/benchmarks/bench_scale.py --sizes $(or $(SIZES),"1,10")

##@ Ship
zip: $(STAMP) ## build build/synthward.zip for spark-submit --py-files
	@$(PY) -m synthward.spark.package build/synthward.zip

env-pack: $(STAMP) ## build build/env.tar.gz with our dependencies for spark-submit --archives (EXTRA=mlflow for more)
	@$(PY) tools/pack_environment.py build/env.tar.gz $(addprefix --extra ,$(EXTRA))

wheel: $(STAMP) ## build dist/*.whl for Databricks and pip
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove build results and caches; keep .venv, jars and .extras
	rm -rf build dist spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find lib tests jobs -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup locks jars run demo-diabetes clean-demo doctor test test-unit test-java test-all privacy extras mutants check fmt bench-kernels bench-fidelity bench-scale zip env-pack wheel clean
