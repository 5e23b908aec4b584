# One command per chore; the CI runs the same ones. Needs Python 3.11 with pip and venv, git and make; nothing else.
PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
SOSIE := .venv/bin/sosie
HOURS ?= 2
# The registries' certificates: the system's store where it has one, else the ones that uv carries.
UV_SYNC = $(UV) sync --frozen --all-extras --quiet --python $(PYTHON)

.PHONY: setup demo test soak kills faults hostile fresh check bench fmt proto clean help

help:            ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

setup: .venv/.ready  ## install everything into .venv, .venv-model and the model cache
	@.venv/bin/python -m deploy.model_server.environment --uv $(UV)
	@.venv/bin/python -m model_plugins.recipes.build
	@.venv/bin/python -m deploy.jars.maven

.tools/.ready: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "sosie needs Python 3.11; name one: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x .tools/bin/python || $(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.ready: .tools/.ready pyproject.toml uv.lock
	@echo "installing the Python environment (1.2 GB, half a minute)"
	@$(UV_SYNC) --system-certs || $(UV_SYNC)
	@touch $@

demo: setup      ## real media with attacked copies through the whole job; then open out/demo/report.html
	@$(SOSIE) demo --out out/demo

test: setup      ## all tests but the fresh-clone one, against the real stack
	@.venv/bin/python -m pytest -n 2 --dist loadfile -m "not fresh and not soak"

soak: setup      ## the long variants of the tests (ten minutes), then HOURS of random faults under load -> out/soak/summary.json
	@.venv/bin/python -m pytest -m soak
	@PYTHONPATH=.:tests/support .venv/bin/python -m fault_matrix.soak --out out/soak --hours $(HOURS)

kills: .venv/.ready  ## kill -9 of the index service at 200 moments under load -> out/kills/summary.json
	@PYTHONPATH=.:tests/support .venv/bin/python -m index_kills --out out/kills

faults: setup    ## kill -9 and a bad network for each part under load on Kafka -> out/faults/summary.json (half an hour)
	@PYTHONPATH=.:tests/support .venv/bin/python -m fault_matrix --source kafka --out out/faults

hostile: setup   ## 500 hostile inputs through the real job -> out/hostile/summary.json
	@PYTHONPATH=.:tests/support .venv/bin/python -m hostile --out out/hostile

fresh: setup     ## clone this commit into an empty folder and run the README's commands there
	@.venv/bin/python -m pytest -m fresh -s

check: .venv/.ready  ## lint, types, import contracts
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fmt: .venv/.ready
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

bench: setup     ## throughput against a bare loop
	@.venv/bin/python benchmarks/throughput.py

proto: .venv/.ready  ## generate vector_index/proto again
	@.venv/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. vector_index/proto/index.proto

clean:           ## remove environments and outputs; the cache outside the tree stays
	@rm -rf .venv .venv-model .venv-model.lock .venv-model-mlserver .tools out build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
