package overlayfs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

const roleVar = "OVERLAYFS_TEST_HOST"

// TestMain plays the kernel that is killed, if it is told to.
func TestMain(m *testing.M) {
	if host := os.Getenv(roleVar); host != "" {
		os.Exit(churn(host))
	}
	os.Exit(m.Run())
}

// churn changes an overlay over host until it is killed. It says so on standard
// output from time to time.
func churn(host string) int {
	lower, err := hostfs.Open(filepath.Join(host, "lower"), hostfs.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fs, err := New(lower, filepath.Join(host, "store"), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rng := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	for i := 0; ; i++ {
		step(new(testing.B), fs, rng)
		if i%10 == 0 {
			fmt.Println(i)
		}
	}
}

// A store that was being written when the kernel was killed loads, and its
// changes can be applied.
func TestKill(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		dir := t.TempDir()
		lower := filepath.Join(dir, "lower")
		if err := os.Mkdir(lower, 0o755); err != nil {
			t.Fatal(err)
		}
		hostTree(t, lower)
		before := tree(t, lower)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), roleVar+"="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for range 1 + round*4 {
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, lines) // what it had said
		_ = cmd.Wait()                    // killed
		sameList(t, "the lower layer", tree(t, lower), before)
		l := load(t, filepath.Join(dir, "store"))
		changes := l.Changes()
		if len(changes) == 0 && round > 3 {
			t.Errorf("round %d: no change", round)
		}
		apply(t, l, changes, lower)
	}
}

// descriptors lists what this process has open.
func descriptors(t *testing.T) (out []string) {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		if l, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(l, "anon_inode") {
			out = append(out, l)
		}
	}
	return out
}

// Whatever was done, closing the file system closes every descriptor, and what
// nobody holds keeps none open before.
func TestNoDescriptorIsLeft(t *testing.T) {
	host := t.TempDir()
	hostTree(t, host)
	count := len(descriptors(t))
	fs, _ := over(t, host, account(t, 1<<30))
	idle := len(descriptors(t))
	rng := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		step(t, fs, rng)
	}
	if got := descriptors(t); len(got) != idle {
		t.Errorf("%d descriptors, then %d: %q", idle, len(got), got)
	}
	root, _ := fs.Root()
	if n, errno := root.Lookup("a"); errno == abi.OK {
		defer n.Close() // after the file system
	}
	root.Close()
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	if got := descriptors(t); len(got) > count+2 {
		t.Errorf("%d descriptors, then %d: %q", count, len(got), got)
	}
}

// Everything that was charged for what is gone again is returned, except for the
// journal.
func TestSpaceIsReturned(t *testing.T) {
	b := newBench(t, 64<<20)
	_, heap := b.fs.Used()
	for range 50 {
		b.ok("mkdir", b.top.Mkdir("new", 0o755))
		b.ok("symlink", b.top.Symlink("l", "target"))
		b.ok("unlink", b.top.Remove("l", false))
		d := b.dir("new")
		n, h, errno := d.Create("f", 0o600, abi.OWrite)
		b.ok("create", errno)
		_, _, errno = h.WriteAt([][]byte{make([]byte, 100_000)}, 1000)
		b.ok("write", errno)
		b.ok("close", h.Close())
		n.Close()
		b.ok("rename", d.Rename("f", b.top, "g"))
		d.Close()
		b.ok("rmdir", b.top.Remove("new", true))
		b.ok("unlink", b.top.Remove("g", false))
	}
	disk, now := b.fs.Used()
	if now != heap {
		t.Errorf("%d bytes of memory are left", now-heap)
	}
	if disk > 50*1000 {
		t.Errorf("%d bytes of disk are left", disk)
	}
	if ents, err := os.ReadDir(filepath.Join(b.store, objectsName)); err != nil || len(ents) > 0 {
		t.Errorf("objects are left: %v, %v", ents, err)
	}
}
