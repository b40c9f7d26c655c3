package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos/guest/native/cgroup"
)

func TestDead(t *testing.T) {
	ns, me, began := PIDNamespace(), os.Getpid(), Started(os.Getpid())
	if began == 0 {
		t.Fatal("this process has no start")
	}
	for _, c := range []struct {
		name string
		want bool
	}{
		{fmt.Sprintf("%s-%d-%d", ns, me, began), false},
		{fmt.Sprintf("%s-%d-%d-abcd-1", ns, me, began), false},
		{fmt.Sprintf("%s-%d-%d", ns, me, began+1), true},
		{fmt.Sprintf("%s-%d-%d-abcd", ns, me, began+1), true},
		{fmt.Sprintf("%s-%d-%d", ns, 1<<30, began), true},
		{fmt.Sprintf("1%s-%d-%d", ns, me, began+1), false}, // another namespace's
		{fmt.Sprintf("%s-%d", ns, me), false},
		{fmt.Sprintf("%s-x-%d", ns, began), false},
		{fmt.Sprintf("%s-%d-0", ns, me), false},
		{fmt.Sprintf("%s--5-7", ns), false},
		{"", false},
	} {
		if got := dead(c.name); got != c.want {
			t.Errorf("%q: dead %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSweepScratch(t *testing.T) {
	dir := t.TempDir()
	ns, me, began := PIDNamespace(), os.Getpid(), Started(os.Getpid())
	kept := []string{fmt.Sprintf("agentos-%s-%d-%d-1", ns, me, began), "agentos-mine", "other"}
	gone := fmt.Sprintf("agentos-%s-%d-%d-1", ns, me, began+1)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(kept, gone) {
		if err := os.MkdirAll(filepath.Join(dir, name, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, gone, "sub", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, gone, "sub"), 0); err != nil {
		t.Fatal(err)
	}
	l := &Launcher{o: Options{Scratch: dir}, groups: cgroup.Probe("")}
	if err := l.sweep(); err != nil {
		t.Error(err)
	}
	for _, name := range kept {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, gone)); !os.IsNotExist(err) {
		t.Errorf("%s: %v", gone, err)
	}
	if _, err := os.Stat(filepath.Join(outside, "f")); err != nil {
		t.Errorf("the sweep followed a link: %v", err)
	}
}
