# The commands of the project, for developers, hooks and CI. `make help` lists them.

RUN := .venv/bin/python
FLOWS := $(RUN) -m flows
COMPOSE := docker-compose

# Without byte code a start takes two to four times as long; another PYTHONPATH would mix packages.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

# Arguments of a target must not reach a make that its commands start, as some tests do.
unexport MAKEFLAGS MFLAGS RUN FLOWS COMPOSE ARGS DATA AS_OF USE_CASE USERS MONTHS TO FROM

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak test-browser test-containers check bench lock serve up down status env simulate ingest inspect retrain promote score history trace rollback bundle secrets image images backup restore sbom audit docs chart doctor clean wipe

help: ## List the targets
	@echo "AsOf: make TARGET [ARGS='...']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

setup: .venv/.complete ## Install everything into .venv

.venv/.complete: requirements/dev.txt requirements/boosters.txt local/setup.sh
	@rm -f $@
	@sh local/setup.sh >&2
	@touch $@

.venv/.%: requirements/%.txt .venv/.complete
	@sh local/setup.sh $< >&2
	@touch $@

demo: setup ## Run everything from extracts to answers on simulated data, or: DATA=folder AS_OF=2024-01-31 [USE_CASE= USERS= MONTHS=]
	$(FLOWS) demo $(if $(USE_CASE),'$(USE_CASE)') $(if $(DATA),--data '$(DATA)') $(if $(AS_OF),--as-of '$(AS_OF)') \
		$(if $(USERS),--users '$(USERS)') $(if $(MONTHS),--months '$(MONTHS)') $(ARGS)

test: setup ## Run the tests, three files at a time [ARGS='tests/training/release -n 0']
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: setup .venv/.catboost .venv/.lake .venv/.ray ## Run the long tests (nightly and before a release)
	$(RUN) -m pytest -m soak $(ARGS)

test-browser: setup ## Test the console in Chromium; needs Debian's chromium and chromium-driver
	$(RUN) -m pytest tests/browser -q -p no:cacheprovider $(ARGS)

test-containers: setup ## Build, start and test the stack of docker-compose.yml [ARGS='--stack FOLDER']
	$(RUN) -m pytest tests/containers -q -p no:cacheprovider $(ARGS)

check: setup ## Check format, lint, types, import contracts and locks
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	.venv/bin/lint-imports
	@if grep -nE '://|^ *-(i|f|-)[a-z-]*(url|links|host)' requirements/*.txt; then \
		echo 'A lock names a host: update it with `make lock`.' >&2; exit 1; fi

bench: setup ## Run the benchmarks [ARGS=serving; ARGS='training-sets --users 1000000']
	$(RUN) -m benchmarks $(ARGS)

lock: ## Update the locks in requirements/
	sh local/lock.sh

serve: setup ## Serve predictions in the foreground [ARGS=churn]
	$(FLOWS) serve $(ARGS)

up: setup ## Start PostgreSQL, MLflow, Prefect and the prediction services in the background [ARGS=USE_CASE]
	@$(FLOWS) up $(ARGS)

down: setup ## Stop what `make up` started
	@$(RUN) -m local down

status: setup ## Show the state and address of each server
	@$(RUN) -m local status

env: setup ## Print the environment of the stack: eval "$(make -s env)"
	@$(RUN) -m local env

simulate: setup ## Write simulated monthly extracts and their ground truth
	$(FLOWS) simulate $(ARGS)

ingest: setup ## Load extracts into PostgreSQL and the online store [ARGS='data/extracts --as-of 2024-01-31']
	$(FLOWS) ingest $(ARGS)

inspect: setup ## Check the data of the newest month, or: ARGS='data/extracts --as-of 2024-01-31'
	$(FLOWS) inspect $(ARGS)

retrain: setup ## Train, evaluate, register, and promote if the gate passes [ARGS=churn]
	$(FLOWS) retrain $(ARGS)

promote: setup ## Promote a registered version if the gate passes [ARGS='churn 1']
	$(FLOWS) promote $(ARGS)

score: setup ## Score every user as of a moment, into PostgreSQL or Parquet [ARGS='churn --as-of 2024-01-31']
	$(FLOWS) score $(ARGS)

history: setup ## Show which versions were in production, since when and why [ARGS=churn]
	$(FLOWS) history $(ARGS)

trace: setup ## Trace a version or an answer to its source files [ARGS='churn 1']
	$(FLOWS) trace $(ARGS)

rollback: setup ## Promote the previous version again [ARGS=churn]
	$(FLOWS) rollback $(ARGS)

bundle: setup ## Build the Bento of the version in production [ARGS=churn]
	$(FLOWS) bundle $(ARGS)

secrets: setup ## Create the secrets for docker-compose.yml that are missing in .env
	@$(RUN) -m local secrets

images: image ## Build every image of docker-compose.yml, on PYTHON_IMAGE [ARGS=churn]
	docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0; \
		CODE_VERSION="$$($(RUN) -c 'from training.data.snapshots.provenance import code_version; print(code_version())')" $(COMPOSE) build mlflow prefect

backup: ## Back up databases, artefacts and keys of the running stack [TO=folder]
	@COMPOSE='$(COMPOSE)' sh deploy/backup.sh "$(TO)"

restore: ## Restore a backup into an empty stack [FROM=folder]
	@COMPOSE='$(COMPOSE)' sh deploy/restore.sh "$(FROM)"

image: setup ## Build the image of a Bento: of code only with ARGS=churn, or ARGS='--bento NAME:VERSION' [ASOF_BASE_IMAGE=]
	$(FLOWS) image $(ARGS)

sbom: setup .venv-audit/.complete .venv-serve/.complete ## Write the SBOM and the licences of the image's packages to dist/
	@mkdir -p dist
	@.venv-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json .venv-serve/bin/python
	@.venv-audit/bin/pip-licenses --python .venv-serve/bin/python --with-system --format csv --output-file dist/licences.csv
	@echo 'Copyleft or unknown licences, of all in dist/licences.csv:'
	@grep -iE '[^a-z](A?GPL|LGPL|MPL|EPL|CDDL|EUPL|OSL|SSPL|UNKNOWN|(General|Mozilla) Public)' dist/licences.csv || echo none

audit: setup .venv-audit/.complete ## Check every lock for advisories in OSV: error 1 if there are any, error 3 if OSV is unreachable
	@mkdir -p dist && rm -f dist/audit.txt
	@.venv-audit/bin/pip-audit $(patsubst %,-r %,$(wildcard requirements/*.txt)) --require-hashes --disable-pip --strict \
		--vulnerability-service osv --progress-spinner off --output dist/audit.txt && exit 0; cat dist/audit.txt && exit 1; \
		echo 'Nothing was audited: pip-audit failed. Check that api.osv.dev can be reached, and try again.' >&2; exit 3

docs: setup .venv-docs/.complete ## Build the documentation into site/; a broken link or anchor fails
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@if grep -rnoE '<(script|img|link|iframe)[^>]* (src|href)="?https?:[^ >]*' site --include='*.html'; then \
		echo 'A page of the site loads a resource from another host.' >&2; exit 1; fi

chart: setup .venv-kubernetes/.complete ## Check the Helm chart of deploy/helm for three versions of Kubernetes; no cluster is needed
	@$(RUN) -m local.chart $(ARGS)

.venv-%/.complete: requirements/%.txt local/environment.sh | setup
	@rm -f $@
	@sh local/environment.sh requirements/$*.txt .venv-$* >&2
	@touch $@

doctor: ## Report what is wrong and how to fix it; changes nothing [ARGS='--url http://host:3000']
	@if [ ! -x $(RUN) ]; then echo 'There is no .venv: run `make setup`.' >&2; exit 1; fi
	$(FLOWS) doctor $(ARGS)

clean: ## Stop everything; delete environments and caches (the data in .asof stays)
	@if [ -x $(RUN) ]; then $(RUN) -m local down; fi
	rm -rf .venv .venv-audit .venv-serve .venv-docs .venv-kubernetes site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

wipe: ## Stop everything; delete the data of the embedded stack
	@if [ -x $(RUN) ]; then $(RUN) -m local wipe; fi
	rm -rf .asof
