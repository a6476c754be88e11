# Everything a user or developer does, by one word. `make` alone lists it.
# Variables go behind the word: make up UNLEASH_VERSION=7.6.5 TRAFFIC=0

PYTHON ?= python3
RUN = $(PYTHON) -m stack
VENV = $(if $(CANARIO_CACHE),$(CANARIO_CACHE),.canario)/venv/bin
TESTS ?=
WITH_BROWSER = $(if $(filter 0,$(BROWSER)),,--browser)
NO_BROWSER = $(if $(filter 0,$(BROWSER)),--ignore-glob="tests/integration/test_*_ui.py")

# A path to a test means it, also where it is slow.
NOT_SLOW = $(if $(TESTS),,-m "not slow and not spark and not clickhouse and not kubernetes")
# Helm as a library and the schemas of Kubernetes, for the tests of the chart.
FOR_CHART = $(VENV)/python -c 'import helm_python, kubernetes_validate' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/kubernetes.txt
# Tests without servers: a process more than there are cores, as some wait for processes of theirs. A container
# may see many more cores than it may use, hence at most 4.
ALL_CORES = -n $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4))) --dist worksteal
# Tests with servers wait half of the time: three at once, each process on servers of its own (1.2 GB). They say
# themselves in which order (tests/integration/conftest.py). STACKS=1 where memory is short.
STACKS_AT_ONCE = -n $(or $(STACKS),3) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help up down status logs shell screenshots demo example-fastapi story drill drill-rollback chaos bench bench-decisions bench-passes bench-rollouts bench-fleet bench-remote bench-peers bench-models bench-large bench-analysis test test-slow test-unit test-spark test-clickhouse test-kubernetes test-rollout test-rollouts test-promote test-unleash-7 image-test lint format lock reset clean

help: ## This list
	@echo "Stop the challenger now:  ./canario off        (people: ./canario; make is for who develops Canario)"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables of up:  UNLEASH_VERSION=7.6.5  TRAFFIC=0  ROLLBACK_EVERY=15s  ROLLOUT=0  ALERTMANAGER=0"
	@echo "                    UNLEASH_PORT, SERVICE_PORT, PROMETHEUS_PORT, ..., CANARIO_HOME: docs/settings.md"
	@echo "  More:             ./canario help"

up: ## Install what is missing, start everything, say where it is
	@$(RUN) up

down: ## End everything; data stay
	@$(RUN) down

status: ## How each program is
	@$(RUN) status

logs: ## Follow all logs (Ctrl-C ends it)
	@$(RUN) logs --follow

shell: ## A shell that knows addresses and tokens
	@$(RUN) exec bash || true

demo: ## A bad challenger is rolled back while you watch (ARGS="--percent 5 --json FILE")
	@$(RUN) up
	@$(VENV)/python -m drills demo $(ARGS)

example-fastapi: ## A FastAPI service that is not ours is guarded and rolled back while you watch (ARGS="--keep")
	@$(RUN) install
	@$(VENV)/python -m drills example $(ARGS)

story: ## From shadow to the decision in a simulated shop, with reports to open (4 minutes; ARGS="--effect 0.05 --keep")
	@$(RUN) install
	@$(VENV)/python -m drills story $(ARGS)

drill: ## Every fault of a challenger, and what the other users notice (35 minutes; ARGS="--only burn --json FILE")
	@$(RUN) install
	@$(VENV)/python -m drills faults $(ARGS)

drill-rollback: ## How soon a slow challenger is rolled back, ten times (12 minutes; ARGS="--trials 3 --json FILE")
	@$(RUN) install
	@$(VENV)/python -m drills rollback $(ARGS)

chaos: ## The jobs killed and cut off: 50 trials of one rollout, 10 of three (15 minutes; TRIALS=200 OF_THREE=20 SEED=2 JSON=FILE)
	@$(RUN) install
	@CHAOS_TRIALS=$(or $(TRIALS),50) CHAOS_TRIALS_OF_THREE=$(or $(OF_THREE),10) CHAOS_SEED=$(or $(SEED),1) CHAOS_JSON=$(JSON) \
		$(VENV)/python -m pytest --timeout 7200 -s tests/integration/test_chaos.py

screenshots: ## The pictures of the README, from real data (8 minutes; ARGS="--stage 60 --out DIR")
	@$(RUN) install --browser
	@$(VENV)/python -m drills pictures $(ARGS)

bench: ## The service beside bare Flask and beside itself without shadow, as ratios (ARGS="--json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench $(ARGS)

bench-decisions: ## Whether the guardrails decide rightly on traffic that hangs together; a quarter of an hour (ARGS="--json FILE")
	@$(RUN) install --python-only
	@$(VENV)/python -m bench.decisions $(ARGS)

bench-rollouts: ## What it costs to guard a hundred rollouts in one process, and to show them (8 minutes; ARGS="--rollouts 20 --json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench.rollouts $(ARGS)

bench-passes: ## What a pass of the rollback job costs, over 1 h and 48 h of history (ARGS="--json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench.passes $(ARGS)

bench-fleet: ## What a thousand pods ask of one Unleash, one Prometheus and the rollback job (6 minutes; ARGS="--pods 100 --json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench.fleet $(ARGS)

bench-remote: ## What a challenger behind an MLServer costs over asking it directly (ARGS="--requests 500 --json FILE")
	@$(RUN) install --python-only
	@$(VENV)/python -m bench.remote $(ARGS)

bench-peers: ## Beside MLServer, BentoML, LitServe and mlflow models serve (the first time a download of 900 MB; ARGS="--rounds 1 --json FILE")
	@$(RUN) install
	@$(VENV)/python -m bench.model_servers $(ARGS)

bench-models: ## Fourteen models of the usual kinds exported, served and compared (the first time a download of 150 MB; ARGS="--write")
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import catboost, lightgbm, onnxmltools, xgboost' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/boosting.txt
	@$(VENV)/python -m bench.models $(ARGS)

bench-large: ## Models that need a real machine: a forest of 69 MB, 500 trees of LightGBM, a transformer (8 minutes; ARGS="--only forest")
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import lightgbm' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/boosting.txt
	@$(VENV)/python -m bench.large_models $(ARGS)

bench-analysis: ## Ten million records of the prediction log through the analysis (ARGS="--records 1000000 --json FILE")
	@$(RUN) install --python-only
	@$(VENV)/python -m bench.analysis $(ARGS)

test: ## All tests but the slow ones, on real servers and free ports (16 minutes; TESTS=path narrows, BROWSER=0: no browser)
	@$(RUN) install $(WITH_BROWSER)
	@$(FOR_CHART)
ifdef TESTS
	@$(VENV)/python -m pytest $(NO_BROWSER) $(TESTS)
else
	@trap 'exit 130' INT; failed=; \
	$(VENV)/python -m pytest $(ALL_CORES) $(NOT_SLOW) tests/unit || failed="tests/unit "; \
	$(VENV)/python -m pytest $(STACKS_AT_ONCE) $(NO_BROWSER) $(NOT_SLOW) tests --ignore tests/unit || failed="$${failed}tests/integration"; \
	[ -z "$$failed" ] || { echo "FAILED: $$failed" >&2; exit 1; }
endif

test-slow: ## The slow ones: whole rollouts, the story, chaos and drills in small, and all that chance may try (30 minutes)
	@$(RUN) install
	@$(VENV)/python -m pytest -m slow tests/integration
	@CANARIO_TEST_THOROUGH=1 $(VENV)/python -m pytest $(ALL_CORES) tests/unit

test-unit: ## Only the tests that need no server (3 minutes)
	@$(RUN) install --python-only
	@$(FOR_CHART)
	@$(VENV)/python -m pytest $(ALL_CORES) $(NOT_SLOW) tests/unit

test-spark: ## The analysis on Spark beside DuckDB (needs Java 17; the first time a download of 456 MB)
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import pyspark' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/spark.txt
	@$(VENV)/python -m pytest -m spark tests/engines

test-clickhouse: ## The analysis on ClickHouse beside DuckDB (the first time a download of 185 MB)
	@$(RUN) install --python-only
	@$(VENV)/python -c 'import chdb' 2>&- || $(VENV)/python -m pip install --quiet --require-hashes -r locks/clickhouse.txt
	@$(VENV)/python -m pytest -m clickhouse tests/engines

test-kubernetes: ## Chart, rights and weights on a real Kubernetes API (3 minutes; the first time it is built, 15 minutes)
	@$(RUN) install --kubernetes
	@$(FOR_CHART)
	@$(VENV)/python -m pytest -m kubernetes $(or $(TESTS),tests/kubernetes)

test-rollout: ## The rollout plan at 1,000 times its speed, and 50 people who edit it (35 minutes)
	@$(RUN) install
	@CANARIO_TEST_ROLLOUT_SPEED=1000 CANARIO_TEST_ROLLOUT_TRIALS=50 $(VENV)/python -m pytest -s tests/integration/test_rollout.py tests/integration/test_rollout_people.py

test-rollouts: ## Two rollouts in one process under load, a fault in one, twenty times (30 minutes; TRIALS=4)
	@$(RUN) install
	@TRIALS=$(or $(TRIALS),20) $(VENV)/python -m pytest -s tests/integration/test_example_fastapi.py -k never_touches_the_other

test-promote: ## Promotion and the way back under load, ten times (2 minutes; PROMOTIONS=50)
	@$(RUN) install
	@PROMOTIONS=$(or $(PROMOTIONS),10) $(VENV)/python -m pytest --timeout 7200 -s tests/integration/test_promote.py

test-unleash-7: ## Integration tests against Unleash 7.6.5
	@UNLEASH_VERSION=7.6.5 $(RUN) install $(WITH_BROWSER)
	@UNLEASH_VERSION=7.6.5 $(VENV)/python -m pytest $(if $(TESTS),,$(STACKS_AT_ONCE)) $(NO_BROWSER) $(NOT_SLOW) $(or $(TESTS),tests/integration)

image-test: ## The image, built and run in Podman, with compose files held to their schema (4 minutes; ENGINE=docker)
	@$(RUN) install --python-only
	@ENGINE=$(or $(ENGINE),podman) $(VENV)/python -m pytest --timeout 1800 -m slow -s $(or $(TESTS),tests/image)

lint: ## Format, lint and types, as CI checks them
	@$(RUN) install --python-only
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/python -m docs.words
	$(VENV)/mypy --strict
	$(VENV)/mypy --strict examples/fastapi/shop.py

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
	$(LOCK) --constraints locks/dev.txt --output-file locks/kubernetes.txt requirements-kubernetes.txt
	$(LOCK) --output-file locks/clients.txt requirements-clients.txt
	$(LOCK) --output-file locks/mlserver.txt requirements-mlserver.txt
	$(LOCK) --output-file locks/mlflow.txt requirements-mlflow.txt
	for peer in bentoml litserve mlflow-serve; do $(LOCK) --output-file locks/$$peer.txt bench/model_servers/$$peer.txt; done
	$(LOCK) --constraints locks/dev.txt --output-file locks/boosting.txt requirements-boosting.txt
	$(LOCK) --constraints locks/dev.txt --output-file locks/otel.txt requirements-otel.txt
	@sed -i '/^ *# *-c locks/d' locks/runtime.txt locks/train.txt locks/analysis.txt locks/spark.txt locks/clickhouse.txt locks/kubernetes.txt locks/boosting.txt locks/otel.txt

reset: ## Remove data, secrets and logs; asks first (CONFIRM=1 does not)
	@$(RUN) clean

clean: ## Remove the downloads and the venv too; asks first (CONFIRM=1 does not)
	@$(RUN) clean --everything
