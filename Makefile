# Thin targets only: what they do is in tests/*.sh and in cargo.
SHELL := /bin/bash
.DEFAULT_GOAL := build
.PHONY: build lint test chat cluster bench docs torture

# Debug build of everything native.
build:
	@tests/setup.sh build
	cargo build --workspace --all-targets

# Formatting and clippy, warnings being errors.
lint:
	@tests/setup.sh build
	@tests/run.sh lint

# Everything that CI runs; ends with the counts.
test:
	@tests/setup.sh test
	@tests/run.sh all

# A running system with the sample objects, in the foreground. CHAT_ARGS="--watch" and the like reach `wasmverse dev`.
chat:
	@tests/setup.sh build
	@exec cargo run --package wasmverse-cli --bin wasmverse -- dev $(dir $(wildcard objects/*/Cargo.toml)) $(CHAT_ARGS)

# A whole cluster as processes of their own, in the foreground: etcd, PostgreSQL, three nodes, two gates, the chat.
cluster:
	@tests/setup.sh cluster
	cargo build --package wasmverse-node --package wasmverse-gate --package wasmverse-cli --bins
	@exec cargo run --package wasmverse-tests --example cluster

# Benchmarks (release build), of parts and of the programs. `wasmverse bench` drives a running system.
bench:
	@tests/setup.sh build
	cargo build --release --workspace --bins
	cargo bench --workspace $(BENCH_ARGS)

# The API documentation, warnings being errors.
docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The long forms of the random campaigns: hours.
torture:
	@tests/setup.sh test
	@tests/run.sh torture
