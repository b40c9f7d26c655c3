package overlayfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// ops makes a frame.
func ops(parts ...[]byte) []byte {
	b := make([]byte, headSize)
	for _, p := range parts {
		b = append(b, p...)
	}
	return frame(b)
}

func dirRecord(num uint64, merged bool) []byte {
	return putNode(nil, &record{num: num, typ: abi.TypeDirectory, mode: 0o755, merged: merged})
}

// handmade writes a store of a few changes and returns its directory.
func handmade(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, objectsName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, objectsName, "7"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	was := func(typ abi.FileType) *Base {
		return &Base{Type: typ, Mode: 0o755, Nlink: 2, Size: 3, Mtime: 5, Ctime: 6}
	}
	journal := slices.Concat(
		ops(putHeader(nil, map[string]string{"host": "/h"}, []string{"host"}), dirRecord(rootNum, true)),
		// sub/new is added, with another name sub/other.
		ops(dirRecord(2, true), putName(nil, rootNum, "sub", 2),
			putNode(nil, &record{num: 3, typ: abi.TypeRegular, mode: 0o600, object: 7}), putName(nil, 2, "new", 3)),
		ops(putName(nil, 2, "other", 3)),
		// gone and gone/in are deleted.
		ops(dirRecord(4, true), putName(nil, rootNum, "gone", 4), putBase(nil, "gone/in", was(abi.TypeRegular))),
		ops(putBase(nil, "gone", was(abi.TypeDirectory)), putName(nil, rootNum, "gone", 0)),
		// turn, a directory with turn/in, becomes a symbolic link.
		ops(dirRecord(5, true), putName(nil, rootNum, "turn", 5), putBase(nil, "turn/in", was(abi.TypeRegular))),
		ops(putBase(nil, "turn", was(abi.TypeDirectory)), putName(nil, rootNum, "turn", 0)),
		ops(putNode(nil, &record{num: 6, typ: abi.TypeSymlink, mode: 0o777, target: "x", mtime: 1}), putName(nil, rootNum, "turn", 6)),
		// temp came and went.
		ops(putNode(nil, &record{num: 8, typ: abi.TypeRegular, object: 99}), putName(nil, rootNum, "temp", 8)),
		ops(putName(nil, rootNum, "temp", 0)),
	)
	if err := os.WriteFile(filepath.Join(dir, journalName), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t *testing.T, dir string) *Layer {
	t.Helper()
	l, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// brief renders changes, one a line.
func brief(changes []Change) (out []string) {
	for _, c := range changes {
		s := fmt.Sprintf("%s %s %s", c.Kind, c.Type, c.Path)
		if c.Link != "" {
			s += " = " + c.Link
		}
		if c.From != "" {
			s += " < " + c.From
		}
		if c.Type == abi.TypeSymlink {
			s += " -> " + c.Target
		}
		out = append(out, s)
	}
	return out
}

func sameList(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got  %q\n want %q", what, got, want)
	}
}

func TestChangesInOrder(t *testing.T) {
	dir := handmade(t)
	l := load(t, dir)
	if l.Labels()["host"] != "/h" || l.Cut() != 0 {
		t.Errorf("labels %v, cut %d", l.Labels(), l.Cut())
	}
	want := []string{
		"deleted regular gone/in", "deleted directory gone",
		"added regular sub/new", "added regular sub/other = sub/new",
		"deleted regular turn/in", "modified symlink turn -> x",
	}
	sameList(t, "changes", brief(l.Changes()), want)
	for _, c := range l.Changes() {
		if (c.Was == nil) != (c.Kind == Added) {
			t.Errorf("%s was %v", c.Path, c.Was)
		}
		f, err := l.Open(&c)
		if c.Type != abi.TypeRegular || c.Kind == Deleted {
			if err == nil {
				t.Errorf("%s has content", c.Path)
				_ = f.Close() // only read
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		b := make([]byte, 10)
		if n, _ := f.Read(b); string(b[:n]) != "hello" || c.Size != 5 || c.Mtime == 0 {
			t.Errorf("%+v holds %q", c, b[:n])
		}
		_ = f.Close() // only read
	}
	bad := Change{Path: "x", Object: "../journal"}
	if f, err := l.Open(&bad); err == nil {
		t.Error("a way out of the objects")
		_ = f.Close() // only read
	}
}

// What is done is no change any more, also for who loads the store later, and
// after a torn tail.
func TestDone(t *testing.T) {
	dir := handmade(t)
	f, err := os.OpenFile(filepath.Join(dir, journalName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("torn"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l := load(t, dir)
	if l.Cut() != 4 {
		t.Errorf("cut %d", l.Cut())
	}
	all := brief(l.Changes())
	if err := l.Done("nothing"); err == nil {
		t.Error("done with what is no change")
	}
	for i, c := range l.Changes() {
		for range 2 {
			if err := l.Done(c.Path); err != nil {
				t.Fatal(err)
			}
		}
		sameList(t, c.Path+" done", brief(l.Changes()), all[i+1:])
		sameList(t, c.Path+" done, loaded", brief(load(t, dir).Changes()), all[i+1:])
	}
}

// Several that are done are done together.
func TestDoneTogether(t *testing.T) {
	dir := handmade(t)
	l := load(t, dir)
	if err := l.Done("gone", "nothing"); err == nil {
		t.Error("done with what is no change")
	}
	all := brief(l.Changes())
	if err := l.Done("gone/in", "gone", "sub/new"); err != nil {
		t.Fatal(err)
	}
	sameList(t, "done", brief(load(t, dir).Changes()), all[3:])
	if len(all) != 6 {
		t.Errorf("a refused Done left %q", all)
	}
}

func TestNotAStore(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("loaded nothing")
	}
	dir := t.TempDir()
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, journalName), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	head := ops(putHeader(nil, nil, nil), dirRecord(rootNum, true))
	for what, b := range map[string][]byte{
		"no header":     ops(dirRecord(rootNum, true)),
		"two headers":   slices.Concat(head, head),
		"a loop":        slices.Concat(head, ops(dirRecord(2, false), putName(nil, rootNum, "a", 2), putName(nil, 2, "b", 2))),
		"a lost node":   slices.Concat(head, ops(putName(nil, rootNum, "a", 9))),
		"a bad name":    slices.Concat(head, ops(dirRecord(2, false), putName(nil, rootNum, "..", 2))),
		"a bad path":    slices.Concat(head, ops(putBase(nil, "a/../b", &Base{Type: abi.TypeRegular}))),
		"an absolute":   slices.Concat(head, ops(putDone(nil, "/a"))),
		"a set-uid bit": slices.Concat(head, ops(putNode(nil, &record{num: 2, typ: abi.TypeRegular, mode: 0o4755}))),
		"another type":  slices.Concat(head, ops(putNode(nil, &record{num: rootNum, typ: abi.TypeRegular}))),
		"garbage":       slices.Concat(head, ops([]byte{77})),
		"a new version": ops([]byte{opHeader, version + 1, 0}),
	} {
		write(b)
		if l, err := Load(dir); err == nil {
			t.Errorf("%s: loaded %v", what, l.Changes())
			_ = l.Close() // only read
		}
	}
	write(nil)
	if l := load(t, dir); l.Labels() != nil || len(l.Changes()) != 0 {
		t.Errorf("an empty journal says %v", l.Changes())
	}
}
