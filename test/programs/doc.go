// Package programs runs third-party Go programs that people use, compiled to
// wasip1 unchanged, as processes of AgentOS. It holds no product code. What is
// run stands in the table of table_test.go; the sources come through the module
// proxy at the versions that examples/programs/go.mod pins.
//
//	go test ./test/programs                      # the table only
//	go test -v ./test/programs -programs         # make programs: build and run
//	go test ./test/programs -programs -update    # write the expected output
//
// Invariants: each program says and writes the same as when it is compiled for
// the host and runs without AgentOS; without any one of its grants, or with
// reading in place of writing, it does not, and the denial names the flag.
//
// Locks: none.
//
// Imports: the standard library only.
package programs
