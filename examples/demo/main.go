// Command demo is four small programs in one module, which `agentos demo` runs
// as four processes: honest, secret, endless, and hungry. The first argument
// chooses. They are ordinary Go and know nothing of AgentOS.
//
// Build it by hand and run one of them:
//
//	GOOS=wasip1 GOARCH=wasm go build -o demo.wasm ./examples/demo
//	agentos run --read ./notes:/notes --write ./report:/report demo.wasm honest /notes /report
//
// Invariants: nothing here depends on the clock or on randomness, so that a run
// can be repeated; the module built from these files is embedded in package
// examples and must be rebuilt (go run ./examples/build) when they change.
//
// Locks: none.
//
// Imports: the standard library only.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	if runtime.GOOS != "wasip1" {
		// Two of the four would take this machine's processor or memory
		// for good, and a third looks for its keys.
		fmt.Fprintln(os.Stderr, "demo: these programs are meant for a sandbox; run `agentos demo`, or build with GOOS=wasip1 GOARCH=wasm")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		return usage()
	}
	switch args[0] {
	case "honest":
		if len(args) != 3 {
			return usage()
		}
		if err := honest(args[1], args[2], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "honest:", err)
			return 1
		}
		return 0
	case "secret":
		if len(args) != 2 {
			return usage()
		}
		return secret(args[1], os.Stdout)
	case "endless":
		return endless()
	case "hungry":
		return hungry()
	}
	return usage()
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: demo honest NOTES REPORT | secret PROJECT | endless | hungry")
	return 2
}
