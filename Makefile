# Two commands are all there is to type: `make run` and `make test`.
# Everything else is for those who work on Apus.

SHELL := /bin/bash
SWIFT ?= swift
# Release builds have a folder of their own, so that they and the tests never wait for one another.
RELEASE := -c release --scratch-path .build-release --static-swift-stdlib
PREFIX ?= /usr/local
# What is installed, without symbols: a third of its size. The one that was built keeps them, for debuggers and backtraces.
PROGRAM ?= .build-release/release/apus

.PHONY: run install test setup setup-tests build release unit integration simulate soak bench fmt lint generate help

help:            ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:           ## Install what Apus stands on (Debian packages; kubectl and helm where missing). Safe to repeat.
	@Scripts/setup

setup-tests: setup ## Install the clients and peers that tests and benchmarks use, too.
	@Scripts/setup tests

build: setup     ## Build everything for debugging.
	@echo "==> building (debug)"
	@$(SWIFT) build --build-tests

release: setup   ## Build the apus command, optimised: .build-release/release/apus
	@echo "==> building apus (release; the first time takes some minutes)"
	@$(SWIFT) build $(RELEASE) --product apus

run: release     ## Start Apus, deploy the example application and print its URL.
	@Scripts/run

install: release ## Put apus below PREFIX (/usr/local) and install its systemd units; DESTDIR for packages.
	@install -D -s -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/apus
	@install -d $(DESTDIR)/etc/systemd/system
	@sed 's|/usr/local|$(PREFIX)|' Scripts/apus.service >$(DESTDIR)/etc/systemd/system/apus.service
	@install -m 644 Scripts/apus.socket Scripts/apus-registry.socket $(DESTDIR)/etc/systemd/system/
	@echo "==> installed $(DESTDIR)$(PREFIX)/bin/apus; start it now and after each boot: systemctl enable --now apus"

unit: build      ## Pure and simulated tests: no root, no network.
	@echo "==> unit tests"
	@Scripts/unit

integration: build setup-tests ## Kernel and client tests: root, in a network and mount namespace of their own.
	@echo "==> integration tests"
	@Scripts/integration

test: unit integration ## Everything.

SEEDS ?= 1-2000
simulate: setup  ## The whole cluster on one virtual clock with faults, optimised, once for each of SEEDS=1-2000.
	@echo "==> building the simulation (optimised, in a folder of its own)"
	@ROOMS=Simulation $(SWIFT) build --build-tests -c release -Xswiftc -enable-testing --scratch-path .build-simulation
	@SWIFT_DETERMINISTIC_HASHING=1 SIMULATION_SEEDS=$(SEEDS) ROOMS=Simulation $(SWIFT) test --skip-build -c release \
	  -Xswiftc -enable-testing --scratch-path .build-simulation --filter ClusterTests

soak: build setup-tests ## Ten minutes of random kills, damaged files and hostile requests; SOAK_SEED repeats one. Tests on an etcd.
	@Scripts/soak
	@Scripts/etcd

bench: release setup-tests ## Print the table of docs/benchmarks.md for this machine.
	@Scripts/bench

generate:        ## Write the generated sources anew from Schemas/.
	@ROOMS=schemac $(SWIFT) build --product schemac
	@.build/debug/schemac embed && ROOMS=schemac $(SWIFT) build --product schemac && .build/debug/schemac generate

fmt:             ## Format the sources.
	@swift format --in-place --parallel --recursive Sources Tests Package.swift

lint:            ## Check the format.
	@swift format lint --strict --parallel --recursive Sources Tests Package.swift
