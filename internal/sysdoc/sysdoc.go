// Package sysdoc writes the page of the syscall table, docs/SYSCALLS.md, from
// the table itself, so that the page can say nothing that the kernel does not do.
//
// Invariants: the page is a function of [abi.Rows] and of nothing else; a test
// compares the file with it.
//
// Locks: none.
//
// Imports: kernel/abi.
package sysdoc

//go:generate go test . -update

import (
	"fmt"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

const intro = `# System calls

<!-- Written by "go generate ./internal/sysdoc" from the table in kernel/abi/rows.go. Do not edit. -->

Every operation that a process can ask of the kernel is one row of one table. The row drives the dispatch, the
capability that is asked first, the name in events and denials, the verb that a policy sees, and this page;
` + "`agentos syscalls`" + ` prints the same. The operations are the kernel's own: a guest's ABI maps its calls onto them,
and an event carries both names (` + "`kind`" + ` is ours, ` + "`via`" + ` is theirs).

- **capability** must be held before an operation is considered at all. *none* means that the process acts on what it
  already holds. Paths are decided afterwards, on the handle that was reached.
- **action** is the verb of the operation in a policy. ` + "`open`" + ` is refined by its flags: an open for writing is decided
  as a write, one that creates as a creation.
- **touches** is the kind of thing that the operation acts on.
- **waits**: the call may suspend its caller. The virtual processor runs other processes meanwhile.

`

// Markdown returns the page.
func Markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("## Operations\n\n| operation | what it does | category | capability | action | touches | waits |\n|---|---|---|---|---|---|---|\n")
	for _, r := range abi.Rows() {
		waits := ""
		if r.Waits {
			waits = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", r.Name, strings.ReplaceAll(r.Doc, "|", `\|`),
			r.Category, r.Capability, r.Action, strings.ReplaceAll(r.Touches.String(), "_", " "), waits)
	}
	b.WriteString("\n## Capabilities\n\n| capability | operations that need it |\n|---|---|\n")
	for c := range abi.NumCapabilities {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c, needing(c))
	}
	return b.String()
}

// needing lists the operations whose row names c.
func needing(c abi.Capability) string {
	var names []string
	for _, r := range abi.Rows() {
		if r.Capability == c {
			names = append(names, "`"+r.Name+"`")
		}
	}
	if names == nil {
		return "none yet"
	}
	return strings.Join(names, ", ")
}
