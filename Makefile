# A thin front for people; CMakePresets.json holds what is built how. `make help` lists the targets.
# Variables: JOBS (parallel jobs), FUZZ_SECONDS (per fuzz target), CSL_SKIP_DEPS=1 (do not look for packages).
SHELL := /bin/bash
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
PRESETS := release dev bench asan tsan fuzz coverage analyze minimal

define build
	@echo "== configuring and building build/$(1)"
	@cmake --preset $(1) $(2) >build/$(1).log 2>&1 || { tail -30 build/$(1).log; exit 1; }
	@cmake --build build/$(1) -j $(JOBS) $(3)
endef

.PHONY: help build test demo bench asan tsan fuzz coverage analyze lint format clean deps deps-tests
.DEFAULT_GOAL := build

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: # packages to build
	@echo "== looking for the packages it takes to build"
	@tools/install-deps.sh
	@mkdir -p build

deps-tests: # packages to build and test
	@echo "== looking for the packages it takes to build and test"
	@tools/install-deps.sh --tests
	@mkdir -p build

build: deps ## Install what is missing and build the programs into build/release/bin
	$(call build,release)
	@echo "== programs:"; ls build/release/bin 2>/dev/null || true

test: deps-tests ## Build everything and run every test but the long ones (under ten minutes)
	$(call build,dev)
	@echo "== testing"
	@ctest --preset dev -j $(JOBS)

demo: deps ## Run a federation of synthetic hospitals and show what comes out
	$(call build,release)
	@tools/demo.sh

bench: deps-tests ## Run the benchmarks
	$(call build,bench)
	@ctest --preset bench

asan: deps-tests ## Test under the address and undefined-behaviour sanitizers
	$(call build,asan)
	@ctest --preset asan -j $(JOBS)

tsan: deps-tests ## Test under the thread sanitizer
	$(call build,tsan)
	@ctest --preset tsan -j $(JOBS)

fuzz: deps-tests ## Fuzz every decoder for FUZZ_SECONDS each
	$(call build,fuzz,-DCSL_FUZZ_SECONDS=$(FUZZ_SECONDS),--target csl_fuzzers)
	@ctest --preset fuzz -j $(JOBS)

coverage: deps-tests ## Test with gcov and print the line coverage of each folder
	$(call build,coverage)
	@find build/coverage -name '*.gcda' -delete
	@ctest --preset coverage -j $(JOBS)
	@python3 -B tools/coverage.py build/coverage

analyze: deps-tests ## Build under clang-tidy, warnings as errors
	$(call build,analyze)

lint: deps-tests ## Check includes, sizes, banned calls and formatting
	@python3 -B tests/lint/test_lint.py
	@python3 -B tests/lint/lint.py
	@python3 -B tests/lint/lint.py --format

format: ## Format every source file with clang-format
	@git ls-files -z '*.c' '*.h' '*.cu' '*.cuh' | xargs -0 clang-format -i
	@echo "formatted; git diff shows what changed"

clean: ## Remove what the presets built
	rm -rf $(foreach p,$(PRESETS),build/$(p) build/$(p).log) out
