# Each target makes the environment it needs: only Python, make and a C library have to
# be there. A second call finds the stamp and starts at once.
PYTHON ?= python3
JOBS ?= 2
PYTEST_ARGS ?=

DEV := .venv
DEMO := .venv-demo
PEERS := .venv-peers
SETUP := setup.py pyproject.toml

# Parallel tests must not each start a thread per core; Numba keeps two, so that its
# parallel loops are tested as such.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	NUMBA_NUM_THREADS=2 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false $(XLA_FLAGS)"

.PHONY: help demo test test-slow lint peers clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(DEMO)/installed ## kernels on real digits: a table, and a picture in out/
	@$(DEMO)/bin/python -m tangency demo

test: $(DEV)/installed ## the test suite, on two cores
	@$(THREADS) $(DEV)/bin/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-slow: $(DEV)/installed ## the tests that take minutes
	@$(DEV)/bin/python -m pytest -m slow $(PYTEST_ARGS)

lint: $(DEV)/installed ## layout and style of the code
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/ruff check .

peers: $(PEERS)/installed ## the environment of neural-tangents, for benchmarks

clean: ## remove what the other targets made
	rm -rf $(DEV) $(DEMO) $(PEERS) build dist out src/*.egg-info
	rm -rf .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# say: one line on the error stream, then failure.
say = { echo "tangency: $(1)" >&2; exit 1; }

# environment: a virtual environment ($(1)) of an interpreter ($(2)).
define environment
	@command -v $(2) >/dev/null 2>&1 || $(call say,$(2) was not found: install \
		Python 3.11 or newer$(comma) or name one by adding PYTHON=python3.12)
	@$(2) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || $(call say,$(2) is \
		$$($(2) -V 2>&1)$(comma) expected 3.11 or newer: name one by adding \
		PYTHON=python3.12)
	@$(2) -c 'import ensurepip, venv' 2>/dev/null || $(call say,$(2) cannot \
		make virtual environments: install its venv module$(comma) on Debian and \
		Ubuntu 'apt-get install python3-venv')
	@$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(2) -m venv --clear $(1) || \
		$(call say,$(1) could not be made$(comma) see above: is the disk full or the \
		folder read-only?)
endef

# requirements: the pinned packages of a file ($(2)) into an environment ($(1)).
define requirements
	@echo "tangency: installing $(2) into $(1) (a minute or more)"
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check -r $(2) || \
		$(call say,installing $(2) failed$(comma) see above: check the network and \
		the package index ('pip config list')$(comma) then run make again)
endef

# package: tangency itself into an environment ($(1)), read from this checkout.
define package
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable . || $(call say,installing tangency itself \
		failed$(comma) see above)
endef

comma := ,

$(DEV)/installed: requirements-dev.txt requirements-demo.txt $(SETUP)
	$(call environment,$(DEV),$(PYTHON))
	$(call requirements,$(DEV),requirements-dev.txt)
	$(call package,$(DEV))
	@touch $@

$(DEMO)/installed: requirements-demo.txt $(SETUP)
	$(call environment,$(DEMO),$(PYTHON))
	$(call requirements,$(DEMO),requirements-demo.txt)
	$(call package,$(DEMO))
	@touch $@

# neural-tangents imports nothing newer than jax 0.4.23, which stops at Python 3.12 and
# whose tensorflow stops at 3.11.
$(PEERS)/installed: benchmarks/peers/requirements.txt
	@python3.11 -V >/dev/null 2>&1 || $(call say,python3.11 was not found: the peers \
		run on no other version)
	$(call environment,$(PEERS),python3.11)
	$(call requirements,$(PEERS),benchmarks/peers/requirements.txt)
	@touch $@
