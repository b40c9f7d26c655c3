package hostfs

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// TestErrnoTable holds the table against the host's own list of names: every
// number that has one is mapped, and to the number of the same name if the
// kernel has it.
func TestErrnoTable(t *testing.T) {
	named := 0
	for i := syscall.Errno(1); i < 200; i++ {
		name := unix.ErrnoName(i)
		if name == "" {
			continue
		}
		named++
		if int(i) >= len(errnos) || errnos[i] == abi.OK {
			t.Errorf("%s (%d) is not mapped", name, i)
			continue
		}
		if own, ok := abi.ParseErrno(name); ok && errnos[i] != own {
			t.Errorf("%s is mapped to %v", name, errnos[i])
		}
	}
	if named < 120 {
		t.Errorf("only %d names known: the list is not what this test takes it for", named)
	}
}
