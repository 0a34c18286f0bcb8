# Everything happens in .venv, which each target sets up when it is missing or stale.
SHELL := /bin/sh
.DEFAULT_GOAL := help
READY := .venv/.ready
# Counterparts of tests that are written for Node.
COUNTERPARTS := $(addsuffix /node_modules/.package-lock.json,tests/support/oauth_provider tests/support/mcp_servers)
BIN := .venv/bin
SBOM := dist/sbom.json
SBOM_CHECK := --validate
# Two cores have work for three, because much of it waits; and acceptance comes first, so that no long file is left to
# the end. A process that is ended for a hanging test is not begun anew: what is left would wait for it for ever.
AT_ONCE := -n 3 --max-worker-restart 0 --no-loadscope-reorder
export UV_PYTHON_DOWNLOADS := never
# A program of many processes that compiled itself anew at each start would start slowly.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Send twelve invoices through a governed workflow, and let an agent make a refund
	$(BIN)/python -m demo

dev: $(READY) ## Run everything, with engines of its own, data under .fairlead/
	$(BIN)/fairlead dev

test: $(READY) $(COUNTERPARTS) ## Run every test on real engines
	requirements/sandbox
	$(BIN)/pytest $(AT_ONCE) --dist loadfile

check: lint ## Lint, types, import arrows, dependencies, unit tests
	$(BIN)/pytest -q -n 2 tests/unit

lint: $(READY) ## Lint, types, import arrows, dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry platform tenants connectors

bench: $(READY) ## Measure throughput, latency, lag, rebuild and export
	$(BIN)/python -m benchmarks

reference: $(READY) ## Write the generated pages under docs/reference/
	$(BIN)/python -m fairlead.settings_reference > docs/reference/configuration.md
	$(BIN)/python -m fairlead.events_reference > docs/reference/events.md
	$(BIN)/python -m fairlead.access_reference > docs/reference/permissions.md
	$(BIN)/python -m fairlead.api.problems_reference > docs/reference/problems.md
	$(BIN)/python -m fairlead.api.openapi > docs/reference/openapi.json
	$(BIN)/python -m fairlead.api.timeline_schema > docs/reference/timeline.schema.json
	$(BIN)/python -m fairlead.api.bundle_schema > docs/reference/bundle.schema.json
	$(BIN)/python -m fairlead.cli_reference > docs/reference/cli.md

sbom: $(READY) ## Write what ships in which version to dist/sbom.json (CycloneDX)
	@mkdir -p $(dir $(SBOM))
	$(BIN)/cyclonedx-py requirements requirements/embedded.txt --pyproject pyproject.toml --output-reproducible \
		$(SBOM_CHECK) --output-format JSON --output-file $(SBOM)

audit: $(READY) ## Ask which known weaknesses are in what ships; fails where nobody could be asked
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --vulnerability-service osv -r requirements/embedded.txt

prices: $(READY) ## Make the price table that ships anew, from the data of genai-prices
	$(BIN)/python -m tests.support.price_data

interleavings: $(READY) ## Try budgets with ten thousand histories of workers that race, crash and repeat themselves
	FAIRLEAD_INTERLEAVINGS=10000 $(BIN)/pytest -q -o faulthandler_timeout=0 tests/unit/budgets/test_budget_machine.py

lock: $(READY) ## Resolve the dependencies anew into requirements/*.txt
	requirements/lock

clean: ## Remove the environment and the caches; data under .fairlead/ stays
	rm -rf .venv tests/support/*/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml requirements/dev.txt requirements/install
	requirements/install
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json | $(READY)
	$(BIN)/python -m tests.support.node $*

.PHONY: help demo dev test check lint bench reference prices interleavings sbom audit lock clean
