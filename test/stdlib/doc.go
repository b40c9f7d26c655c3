// Package stdlib runs Go's own standard library tests, compiled for wasip1, with
// agentos as the program that executes them: the way Go's wrapper scripts in
// GOROOT/lib/wasm have other runtimes run them. It holds no product code.
//
//	go test ./test/stdlib                        # a few packages, as a smoke test
//	go test -v ./test/stdlib -stdlib subset      # what CI runs
//	go test -v ./test/stdlib -stdlib all         # make conformance
//	go test -v ./test/stdlib -stdlib os,io/fs    # some
//
// Invariants: the tests are those of the Go toolchain that builds this package,
// unchanged; every package has the grants of its row and no others; each test
// that does not pass and is not skipped by Go itself stands in
// testdata/known.txt with the reason, and one that stands there and passes is a
// failure.
//
// Locks: none.
//
// Imports: the standard library only.
package stdlib
