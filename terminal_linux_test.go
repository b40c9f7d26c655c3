package agentos_test

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos"
)

// terminal returns both ends of a new pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("a pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.FormatUint(uint64(n), 10), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestTerminal: a program reads a terminal line by line, as they are typed, until
// the end is typed; one that is killed while it waits takes nothing that is typed
// after.
func TestTerminal(t *testing.T) {
	k := open(t, nil)
	master, slave := terminal(t)
	out, w := io.Pipe()
	start := func() *agentos.Process {
		p, err := k.Start(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"copy"}, Stdin: slave, Stdout: w})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	lines := bufio.NewReader(out)
	typed := func(line string) {
		t.Helper()
		if _, err := master.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); got != line || err != nil {
			t.Errorf("typed %q, got %q %v", line, got, err)
		}
	}
	first := start()
	typed("one\n")
	typed("two\n")
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := start()
	typed("three\n")
	if _, err := master.Write([]byte{4}); err != nil { // the end, as a terminal has it
		t.Fatal(err)
	}
	r, err := second.Wait(t.Context())
	if err != nil || r.Cause != "exited" || r.ExitCode != 0 {
		t.Errorf("%v %+v", err, r)
	}
}
