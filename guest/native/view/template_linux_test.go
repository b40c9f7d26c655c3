package view

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
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
}
