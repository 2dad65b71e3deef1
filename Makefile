# Everything a contributor needs. `make test` and `make bench` install the servers first.

.DEFAULT_GOAL := help
.PHONY: help demo test lint deny bench torture explore fuzz mutants servers

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## three workers, a few cron jobs, no server needed
	cargo run --example cron

servers: ## install the servers that the tests start, protoc, and other projects' clients
	@tests/servers.sh
	@tests/peers.sh

test: servers ## everything, on every store that is installed
	cargo test --workspace --all-features --no-fail-fast
	cargo test --package locks-runtime --lib connect # with the stores compiled out

# The features of the published package, read from its manifest.
features := $(shell sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z-]*\) = .*/\1/p' Cargo.toml)

# The targets of the fuzzer, without libFuzzer, which is in C++. With --target, the flags are not for build scripts.
fuzzing = RUSTFLAGS="--cfg fuzzing -D warnings" cargo check --target-dir target/fuzzing \
	--target $$(rustc -vV | sed -n 's/^host: //p')

lint: servers ## format, clippy, documentation, and each feature alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	$(fuzzing) --package locks-runtime
	$(fuzzing) --manifest-path fuzz/Cargo.toml --package locks-macros-source
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
	@for feature in $(features); do \
		echo "cargo clippy --features $$feature"; \
		cargo clippy --quiet --package distributed-locks --no-default-features --features $$feature \
			-- -D warnings || exit 1; \
	done
	cargo clippy --quiet --package locks-cli --all-targets -- -D warnings

deny: ## licences, sources and known vulnerabilities of all dependencies
	@.ci/deny

bench: servers ## against the floor of the same store: ROUNDS=3 STORES=etcd-1,redis CASE=pair (or compile) KEEP=1 (in the docs)
	cargo bench --package locks-benches --bench $(if $(filter compile,$(CASE)),compile,locks)

torture: servers ## faults that try to break it: MINUTES=3 STORE=etcd-3.5 (redis, postgres, mysql, file, …) SEED=1 BROKEN=each
	cargo run --quiet --package locks-torture --bin torture

explore: servers ## models of servers under the real stores: STORE=etcd (kubernetes, redis-replicated, …) SEEDS=3000 PARTS="+least -bad" SHOW=7 FAULTS=each
	@$(if $(FAULTS),tests/models/faults.sh $(FAULTS),\
		cargo run --quiet $(if $(RELEASE),--release) --package locks-models --bin explore $(or $(STORE),etcd))

fuzz: servers ## random bytes for every parser, for a minute each: TARGET=url SECONDS_EACH=600 KEEP=1
	fuzz/run

mutants: ## which changes of decisions in FILES, such as stores/etcd, no test notices; ASK="--servers=etcd-3.7"
	cargo run --package locks-mutants -- $(ASK) $(or $(FILES),engine)
