# The targets a developer uses. Each is a step of .ci/run, which needs no make.
#
#   make fuzz FUZZTIME=10m      make bench BENCH=Emit BENCHCOUNT=10

export FUZZTIME BENCH BENCHCOUNT STRESS

.PHONY: build test race lint fuzz bench bench-native bench-peers conformance programs native generate check clean

build: ## the binary, in bin/agentos
	@bash .ci/run build
test: ## what the README says
	go test ./...
race: ## the race detector, with the invariants tag
	@bash .ci/run race
lint: ## formatting, vet, staticcheck, errcheck
	@bash .ci/run format vet staticcheck errcheck
fuzz: ## every fuzz target, FUZZTIME each (5s)
	@bash .ci/run fuzz
bench: ## benchmarks matching BENCH, into bin/bench.txt
	@bash .ci/run bench
bench-native: ## native programs against other sandboxes, BENCHCOUNT times, into bin/bench-native.txt
	@bash .ci/run bench_native
bench-peers: ## those sandboxes, as far as they can be installed here
	@bash .ci/run bench_peers
conformance: ## Go's own tests, all of them, and every suite of a contract
	@bash .ci/run conformance
programs: ## third-party programs, unchanged, with only the grants they need
	@bash .ci/run programs
native: ## programs of this host in the native domain, STRESS=5s each of stress-ng
	@bash .ci/run native
generate: ## generated pages and embedded programs
	go generate ./...
	go run ./examples/build
check: ## everything that CI checks
	@bash .ci/run
clean:
	rm -rf bin dist
