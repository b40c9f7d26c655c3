// Command agentos runs programs that nobody has reason to trust as processes of
// a userspace kernel. docs/CLI.md describes its command line.
package main

import "os"

// main refuses: neither domain exists on Windows.
func main() {
	const refusal = "agentos: Windows is not supported; run it on Linux or macOS, or inside the Windows Subsystem for Linux [AGENTOS-NO-WINDOWS]\n"
	_, _ = os.Stderr.WriteString(refusal) // nobody to tell if this fails
	os.Exit(125)
}
