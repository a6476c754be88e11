# Everything a user or developer does, by one word. `make` alone lists it.
# Variables go behind the word: make up UNLEASH_VERSION=7.6.5 TRAFFIC=0

PYTHON ?= python3
RUN = $(PYTHON) -m stack
VENV = $(if $(CANARIO_CACHE),$(CANARIO_CACHE),.canario)/venv/bin
TESTS ?=
WITH_BROWSER = $(if $(filter 0,$(BROWSER)),,--browser)
NO_BROWSER = $(if $(filter 0,$(BROWSER)),--ignore-glob="tests/integration/test_*_ui.py")

# A path to a test means it, also where it is slow.
NOT_SLOW = $(if $(TESTS),,-m "not slow and not spark and not clickhouse")
# Tests without servers, on all cores; a container may see many more than it may use, hence at most 4.
ALL_CORES = -n logical --maxprocesses 4 --dist worksteal
# Tests with servers wait most of the time: two at once, each process on servers of its own.
TWO_STACKS = -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help up down status logs shell screenshots demo story drill drill-rollback chaos bench bench-passes bench-analysis test test-slow test-unit test-spark test-clickhouse test-rollout test-promote test-unleash-7 image-test lint format lock reset clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables of up:  UNLEASH_VERSION=7.6.5  TRAFFIC=0  ROLLBACK_EVERY=15s  ROLLOUT=0  ALERTMANAGER=0"
	@echo "                    UNLEASH_PORT, SERVICE_PORT, PROMETHEUS_PORT, ..., CANARIO_HOME: docs/settings.md"
	@echo "  More:             $(PYTHON) -m stack --help"

up: ## Install what is missing, start everything, say where it is
	@$(RUN) up

down: ## End everything; data stay
	@$(RUN) down

status: ## How each program is
	@$(RUN) status

logs: ## Follow all logs (Ctrl-C ends it)
	@$(RUN) logs --follow

shell: ## A shell that knows addresses and tokens: python -m flags, rollback, analysis as the docs show them
	@$(RUN) exec bash || true

demo: ## A bad challenger is taken away while you watch (ARGS="--percent 5 --json FILE")
	@$(RUN) up
	@$(VENV)/python -m drills demo $(ARGS)

story: ## From shadow to the decision on simulated users, with reports to open (3 minutes; ARGS="--effect 0.05")
	@$(RUN) up
	@$(VENV)/python -m drills story $(ARGS)

drill: ## Every fault of a challenger, and what the other users notice (15 minutes; ARGS="--only burn --json FILE")
	@$(RUN) install
	@$(VENV)/python -m drills faults $(ARGS)

drill-rollback: ## How soon a slow challenger is taken away, ten times (12 minutes; ARGS="--trials 3 --json FILE")
	@$(RUN) install
	@$(VENV)/python -m drills rollback $(ARGS)

chaos: ## The rollback job killed and cut off in 50 trials (10 minutes; TRIALS=200 SEED=2 JSON=FILE)
	@$(RUN) install
	@CHAOS_TRIALS=$(or $(TRIALS),50) CHAOS_SEED=$(or $(SEED),1) CHAOS_JSON=$(JSON) \
		$(VENV)/python -m pytest --timeout 7200 -s tests/integration/test_chaos.py

screenshots: ## The pictures of the README, from real data (8 minutes; ARGS="--stage 60 --out DIR")
	@$(RUN) install --browser
	@$(VENV)/python -m drills pictures $(ARGS)

bench: ## The service beside bare Flask and beside itself without shadow, as ratios (ARGS="--json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench $(ARGS)

bench-passes: ## What a pass of the rollback job costs, over 1 h and 48 h of history (ARGS="--json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench.passes $(ARGS)

bench-analysis: ## Ten million records of the prediction log through the analysis (ARGS="--records 1000000 --json FILE")
	@$(RUN) install --python-only
	@$(VENV)/python -m bench.analysis $(ARGS)

test: ## All tests but the slow ones, on real servers and free ports (10 minutes; TESTS=path narrows, BROWSER=0: no browser)
	@$(RUN) install $(WITH_BROWSER)
ifdef TESTS
	@$(VENV)/python -m pytest $(NO_BROWSER) $(TESTS)
else
	@trap 'exit 130' INT; failed=; \
	$(VENV)/python -m pytest $(ALL_CORES) $(NOT_SLOW) tests/unit || failed="tests/unit "; \
	$(VENV)/python -m pytest $(TWO_STACKS) $(NO_BROWSER) $(NOT_SLOW) tests --ignore tests/unit || failed="$${failed}tests/integration"; \
	[ -z "$$failed" ] || { echo "FAILED: $$failed" >&2; exit 1; }
endif

test-slow: ## The slow ones: whole rollouts, the story, chaos and drills in small (12 minutes)
	@$(RUN) install
	@$(VENV)/python -m pytest -m slow tests/integration

test-unit: ## Only the tests that need no server (4 minutes)
	@$(RUN) install --python-only
	@$(VENV)/python -m pytest $(ALL_CORES) tests/unit

test-spark: ## The analysis on Spark beside DuckDB (needs Java 17; the first time a download of 456 MB)
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import pyspark' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/spark.txt
	@$(VENV)/python -m pytest -m spark tests/engines

test-clickhouse: ## The analysis on ClickHouse beside DuckDB (the first time a download of 185 MB)
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import chdb' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/clickhouse.txt
	@$(VENV)/python -m pytest -m clickhouse tests/engines

test-rollout: ## The rollout plan at 1,000 times its speed, and 50 people who edit it (35 minutes)
	@$(RUN) install
	@CANARIO_TEST_ROLLOUT_SPEED=1000 CANARIO_TEST_ROLLOUT_TRIALS=50 $(VENV)/python -m pytest -s tests/integration/test_rollout.py tests/integration/test_rollout_people.py

test-promote: ## Promotion and the way back under load, ten times (2 minutes; PROMOTIONS=50)
	@$(RUN) install
	@PROMOTIONS=$(or $(PROMOTIONS),10) $(VENV)/python -m pytest --timeout 7200 -s tests/integration/test_promote.py

test-unleash-7: ## Integration tests against Unleash 7.6.5
	@UNLEASH_VERSION=7.6.5 $(RUN) install $(WITH_BROWSER)
	@UNLEASH_VERSION=7.6.5 $(VENV)/python -m pytest $(if $(TESTS),,$(TWO_STACKS)) $(NO_BROWSER) $(NOT_SLOW) $(or $(TESTS),tests/integration)

image-test: ## The image, built and run in Podman, with compose files held to their schema (4 minutes; ENGINE=docker)
	@$(RUN) install --python-only
	@ENGINE=$(or $(ENGINE),podman) $(VENV)/python -m pytest --timeout 1800 -m slow -s $(or $(TESTS),tests/image)

lint: ## Format, lint and types, as CI checks them
	@$(RUN) install --python-only
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy --strict

format: ## Format, and repair what can be repaired by itself
	@$(RUN) install --python-only
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

# Addresses of registries and paths of this machine have no place in the locks.
LOCK = $(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url $(if $(UPGRADE),--upgrade)
lock: ## Resolve requirements*.txt into locks/ (UPGRADE=1 takes newer versions of what they need)
	@$(RUN) install --python-only
	$(LOCK) --output-file locks/dev.txt requirements-dev.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/runtime.txt requirements.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/train.txt requirements-train.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/analysis.txt requirements-analysis.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/spark.txt requirements-spark.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/clickhouse.txt requirements-clickhouse.txt
	@sed -i '/^ *# *-c locks/d' locks/runtime.txt locks/train.txt locks/analysis.txt locks/spark.txt locks/clickhouse.txt

reset: ## Remove data, secrets and logs; asks first (CONFIRM=1 does not)
	@$(RUN) clean

clean: ## Remove the downloads and the venv too; asks first (CONFIRM=1 does not)
	@$(RUN) clean --everything
