//go:build unix

package hostfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// opener opens a grant with one set of host features.
type opener func(t *testing.T, path string, opts Options) *FS

func mustRoot(t testing.TB, fs *FS) vfs.Dir {
	t.Helper()
	n, e := fs.Root()
	if e != abi.OK {
		t.Fatalf("root: %v", e)
	}
	t.Cleanup(n.Close)
	d, ok := n.(vfs.Dir)
	if !ok {
		t.Fatalf("root %T is no Dir", n)
	}
	return d
}

// walk looks up the components of rel one after another.
func walk(t testing.TB, from vfs.Node, rel string) (vfs.Node, abi.Errno) {
	t.Helper()
	n := from
	for _, c := range strings.Split(rel, "/") {
		next, e := n.Lookup(c)
		if n != from {
			n.Close()
		}
		if e != abi.OK {
			return nil, e
		}
		n = next
	}
	return n, abi.OK
}

func mustWalk(t testing.TB, from vfs.Node, rel string) vfs.Node {
	t.Helper()
	n, e := walk(t, from, rel)
	if e != abi.OK {
		t.Fatalf("walk %q: %v", rel, e)
	}
	t.Cleanup(n.Close)
	return n
}

func mustOpen(t testing.TB, n vfs.Node, flags abi.OpenFlags) vfs.Handle {
	t.Helper()
	h, e := n.Open(flags)
	if e != abi.OK {
		t.Fatalf("open: %v", e)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func want(t testing.TB, what string, got, want abi.Errno) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func contents(t testing.TB, h vfs.Handle) string {
	t.Helper()
	var out []byte
	buf := make([]byte, 4096)
	for {
		n, e := h.ReadAt([][]byte{buf}, int64(len(out)))
		if e != abi.OK {
			t.Fatalf("read: %v", e)
		}
		if n == 0 {
			return string(out)
		}
		out = append(out, buf[:n]...)
	}
}

func readNode(t testing.TB, n vfs.Node) string {
	t.Helper()
	h, e := n.Open(abi.ORead)
	if e != abi.OK {
		t.Fatalf("open: %v", e)
	}
	defer h.Close()
	return contents(t, h)
}

// list returns all entries, fetched page at a time.
func list(t testing.TB, n vfs.Node, page int) map[string]abi.Dirent {
	t.Helper()
	h, e := n.Open(abi.ORead)
	if e != abi.OK {
		t.Fatalf("open directory: %v", e)
	}
	defer h.Close()
	out := map[string]abi.Dirent{}
	for cookie := uint64(0); ; {
		ents, e := h.Readdir(cookie, page)
		if e != abi.OK {
			t.Fatalf("readdir: %v", e)
		}
		if len(ents) > page {
			t.Fatalf("readdir gave %d entries, asked for %d", len(ents), page)
		}
		if len(ents) == 0 {
			return out
		}
		for _, ent := range ents {
			if _, twice := out[ent.Name]; twice {
				t.Fatalf("entry %q listed twice", ent.Name)
			}
			out[ent.Name] = ent
		}
		cookie = ents[len(ents)-1].Next
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
