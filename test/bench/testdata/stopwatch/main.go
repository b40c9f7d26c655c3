// Stopwatch runs a program to its end, with nothing on its streams, and prints how
// many nanoseconds that took: inside a sandbox, without the sandbox's own start.
//
//	stopwatch PROGRAM [ARG…]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

func main() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stderr = os.Stderr
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stopwatch:", err)
		os.Exit(1)
	}
	fmt.Println(took.Nanoseconds())
}
