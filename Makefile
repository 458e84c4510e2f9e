# `make demo` and `make test` do their own set-up; both can be run first, twice, and after a failure.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
TARGET := $(shell scripts/target.sh $(VENV) 2>/dev/null)
STAMP  := $(VENV)/.starwatt-set-up-$(TARGET)
UV     ?= uv

.PHONY: rehearse-gpu demo setup browser check docs screenshots test test-engines test-all-else test-long bench lock sandbox slurm clean
.DEFAULT_GOAL := help

help:            ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP)  ## the virtual environment with everything in it

$(STAMP): requirements/app.in requirements/cpu.txt requirements/gpu.txt requirements/dev.txt requirements/torch-cpu.txt pyproject.toml scripts/setup.sh scripts/target.sh
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@touch $@

sandbox:         # bubblewrap, in which generated code is graded; without it pass@1 is missing
	@scripts/apt-install.sh "generated code is not graded, pass@1 is missing" bwrap bubblewrap

browser:         # Chromium and Prometheus, for the tests of what people see
	@scripts/apt-install.sh "the report is not tested in a browser" chromium chromium
	@scripts/apt-install.sh "the dashboard is not tested" prometheus prometheus

slurm:           # a real Slurm for the tests of `executor: slurm`
	@scripts/apt-install.sh "the tests of executor: slurm cannot run" "slurmctld slurmd munged sbatch" "slurmctld slurmd slurm-client munge"

demo: $(STAMP) sandbox  ## five variants of a tiny StarCoder2 in real vLLM, measured, graded, reported
	$(BIN)/starwatt run configs/studies/demo.yaml || [ $$? -eq 3 ]  # 3: measured; it has said which cells are invalid

check: $(STAMP)  ## lint, format, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs: $(STAMP)   ## the reference pages, made from the code, and the site in build/site
	$(BIN)/python -m scripts.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

screenshots: $(STAMP) browser  ## docs/images again: the report and the comparison, of simulated runs
	$(BIN)/python -m scripts.screenshots

test: $(STAMP) sandbox slurm browser  ## everything that must never break, real vLLM included
	@$(MAKE) --no-print-directory -j2 test-engines test-all-else  # a starting engine leaves a CPU to the others

test-engines:    # of a real engine, one after another: each takes gigabytes; and what else imports torch
	$(BIN)/python -m pytest tests/live tests/server/build -m "not long"

test-all-else:   # they wait more than they compute
	$(BIN)/python -m pytest --ignore=tests/live --ignore=tests/server/build -m "not long" -n 6 --dist worksteal

test-long: $(STAMP) sandbox slurm browser  ## full counts
	$(BIN)/python -m pytest

bench: $(STAMP) sandbox  ## load generator, meter, grader, attribution and runner beside limits and peers (needs cc and two CPUs)
	$(BIN)/python -m benchmarks.loadgen
	$(BIN)/python -m benchmarks.energy
	$(BIN)/python -m benchmarks.grading
	$(BIN)/python -m benchmarks.attribution
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.statistics
	$(BIN)/python -m benchmarks.runner

rehearse-gpu: $(STAMP)  ## the GPU environment without a GPU: every variant through vLLM as far as the board (10 GB)
	$(BIN)/python -m benchmarks.rehearsal

lock:            ## compile requirements/*.in again (needs uv)
	UV=$(UV) scripts/lock.sh

clean:           ## everything that set-up and tools made; runs/ and the checkpoint store stay
	rm -rf $(VENV) .gpu .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
