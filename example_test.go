package agentos_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/agentos-kernel/agentos"
)

// A program that nobody trusts is run with one granted directory and a time
// limit. Everything it asked for beyond that is in the report, with the flag that
// would grant it.
func ExampleKernel_Run() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	k, err := agentos.Open(agentos.Config{State: filepath.Join(dir, "state")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = k.Close() }()
	report, err := k.Run(context.Background(), agentos.Spec{
		Program: "reader.wasm",
		Image:   guests, // or leave it out to read the file
		Args:    []string{"cat", "/etc/hostname"},
		Limits:  agentos.Limits{Timeout: time.Minute}, // compiling counts
		Stdout:  os.Stdout,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Cause, report.ExitCode)
	for _, d := range report.Denials {
		fmt.Println(d.Syscall, d.Canonical, "needs", d.Grant)
	}
	// Output:
	// exited 1
	// open /etc/hostname needs --read /etc/hostname
}

// Start gives a handle on a run, to wait for, signal, or kill.
func ExampleKernel_Start() {
	k, err := agentos.Open(agentos.Config{NoState: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = k.Close() }()
	p, err := k.Start(context.Background(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"spin"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Kill(); err != nil {
		fmt.Println(err)
		return
	}
	report, err := p.Wait(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Cause, report.ExitCode)
	// Output: killed 137
}
