// Package native runs programs that people use, as they are installed on this host,
// in the native domain with the grants that they need. It holds no product code.
//
//	go test ./test/native                    # some of them, in seconds
//	go test -v ./test/native -native         # all: languages, a browser, CPython's own tests, stress-ng
//	bash .ci/run native                      # make native: the same, and installs what is missing
//
// Invariants: a program says the same as without AgentOS; with reading in place of
// writing it does not work and changes nothing; after it there is no process, mount,
// control group, or scratch of it. Started by root, all of it is done for root and for
// an ordinary user. What this host lacks is said, with NOT CHECKED.
//
// Locks: none.
//
// Imports: the root package and golang.org/x/sys, for terminals; in tests only.
package native
