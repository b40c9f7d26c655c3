package view

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// A file of the host that another takes the place of makes a template old.
func TestFresh(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: needs root")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	for i, change := range []func() error{
		func() error { return os.Remove(file) },
		func() error { return os.Rename(filepath.Join(dir, "other"), file) },
	} {
		tree(t, dir, somebody, "file", "other")
		d, err := Draft([]guest.Mount{{Guest: "/etc/file", Kind: guest.Bind, Host: file, Source: sourceDefault}}, somebody)
		if err != nil {
			t.Fatal(err)
		}
		was := d.Fresh()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if !was || d.Fresh() {
			t.Errorf("change %d: fresh %v before, %v after", i, was, d.Fresh())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	// What is mounted elsewhere on the host changes nothing; what lies over a source does.
	for _, d := range []string{"in", "beside"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in, beside := filepath.Join(dir, "in"), filepath.Join(dir, "beside")
	d, err := Draft([]guest.Mount{{Guest: "/etc/in", Kind: guest.Bind, Host: in, Dir: true, Source: sourceDefault}}, somebody)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at    string
		fresh bool
	}{{beside, true}, {in, false}} {
		if err := unix.Mount("tmpfs", c.at, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(err)
		}
		got := d.Fresh()
		if err := unix.Unmount(c.at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if got != c.fresh {
			t.Errorf("with a mount at %s: fresh is %v", c.at, got)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
