//go:build !windows

// Command agentos runs programs that nobody has reason to trust as processes of
// a userspace kernel. docs/CLI.md describes its command line.
package main

import (
	"os"
	"runtime/debug"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/ui/cli"
)

func main() {
	agentos.Helper()
	if os.Getenv("GOGC") == "" {
		// What the guests use is not on Go's heap, and ours is small: collecting
		// it less often makes a warm start a fifth quicker.
		debug.SetGCPercent(400)
	}
	os.Exit(cli.Main(cli.Caller{
		Args:   os.Args[1:],
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}))
}
