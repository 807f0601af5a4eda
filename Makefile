# What each target does is in scripts/. `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# From anywhere (make -C, make -f), and from a folder with a space in its name.
here := $(shell dirname '$(strip $(MAKEFILE_LIST))')/

.PHONY: help up down reload build test lint format bench faults fuzz install

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' '$(here)Makefile' | expand -t 16

up: ## Build, start everything on this machine's loopback, and print what to open (PORT=8443)
	@'$(here)scripts/up'

down: ## Stop what make up started; state and keys stay in .up
	@'$(here)scripts/down'

reload: ## Take up changed configuration without losing a request
	@'$(here)scripts/reload'

build: ## The release binary
	@'$(here)scripts/build'

test: ## Every test: Swift, lint, end to end
	@'$(here)scripts/test'

lint: ## Formats, shell scripts, nginx and unit checks
	@'$(here)scripts/lint'

format: ## Bring the Swift sources into the format that lint asks for
	@cd '$(here)' && git ls-files '*.swift' | xargs -d '\n' swift format -i --parallel

bench: ## The table of docs/BENCHMARKS.md, measured here
	@'$(here)scripts/needs' run build bench
	@'$(here)scripts/build'
	@'$(here)scripts/build' --product bench-seed
	@'$(here)bench/run'

faults: ## What docs/FAULTS.md promises of crashes, disks and networks (ONLY="F20 F37", SOAK=minutes, FULL=1)
	@'$(here)scripts/faults'

fuzz: ## The parsers under libFuzzer, a while each (ONLY="json form", SECONDS_EACH=30)
	@'$(here)scripts/fuzz'

install: ## Binary, units, nginx site and pages to where Debian has them (DESTDIR=)
	@'$(here)scripts/install'
