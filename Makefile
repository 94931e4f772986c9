# labwire's front door: `make help` lists what there is. Everything runs from .venv, which `make setup` builds.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test check bench chaos soak
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STAMP := .venv/.labwire-set-up
# Our own modules are compiled once, not in each of the hundreds of processes that the tests start.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment with the locked dependencies (first time: downloads 420 MB, 1.3 GB on disk)

$(STAMP): uv.lock pyproject.toml .ci/setup .ci/find-python api/imaging/ohif_files.py
	@.ci/setup
	@touch $@

demo: setup ## everything at once in a throw-away folder: run the main job, print what came of it, clean up
	@$(BIN)/labwire demo

up: setup ## start the hub and stay; Ctrl-C stops it, the data stays in LABWIRE_STATE_DIR (./.labwire)
	@$(BIN)/labwire up

test: setup ## the tests (SLOW=1 with the slow ones, ONLY=tests/launcher one folder)
	@$(PYTEST) -q -n 2 --dist loadfile --no-loadscope-reorder $(if $(SLOW),,-m "not slow and not chaos") $(ONLY)

check: setup ## style, types, import contracts, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python .ci/sizes.py
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

bench: setup ## measure the promised speeds (ONLY=instruments one area); writes benchmarks/results.json
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

chaos: setup ## the tests that kill processes at every step
	@$(PYTEST) -q -m chaos

soak: setup ## work for MINUTES (30) while instruments fail and parts are killed; judge leaks and losses at the end
	@$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))
