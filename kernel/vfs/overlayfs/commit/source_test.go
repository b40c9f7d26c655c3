//go:build unix

package commit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

const testRun = "01testrun"

// tree is a Source that owes nothing to the overlay: the changes are found by
// comparing a directory with a copy of it that was changed.
type tree struct {
	Merged string // the changed copy
	Log    string // the journal of what is done
	List   []overlayfs.Change
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *tree) finished() map[string]bool {
	done := map[string]bool{}
	b, err := os.ReadFile(s.Log)
	if errors.Is(err, fs.ErrNotExist) {
		return done
	}
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(b)) {
		if p, whole := strings.CutSuffix(line, "\n"); whole {
			done[p] = true
		}
	}
	return done
}

func (s *tree) Changes() []overlayfs.Change {
	done := s.finished()
	return slices.DeleteFunc(slices.Clone(s.List), func(c overlayfs.Change) bool { return done[c.Path] })
}

func (s *tree) Open(c *overlayfs.Change) (*os.File, error) {
	return os.Open(filepath.Join(s.Merged, c.Object))
}

func (s *tree) Done(paths ...string) error {
	f, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(paths, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// save and load carry a source to another process.
func (s *tree) save(t testing.TB, path string) {
	b, err := json.Marshal(s)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o600))
}

func loadTree(path string) (*tree, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(tree)
	return s, json.Unmarshal(b, s)
}

// capture copies host, lets change work on the copy, and says what differs.
func capture(t testing.TB, host string, change func(dir string)) *tree {
	t.Helper()
	dir := t.TempDir()
	s := &tree{Merged: filepath.Join(dir, "merged"), Log: filepath.Join(dir, "done")}
	before := scan(t, host)
	must(t, os.CopyFS(s.Merged, copied(host)))
	for _, e := range before { // CopyFS keeps neither times nor, with a umask, modes
		p := filepath.Join(s.Merged, e.path)
		if e.st.Type != abi.TypeSymlink {
			must(t, os.Chmod(p, fs.FileMode(e.st.Mode)))
		}
		setTime(t, p, e.st.Mtime)
	}
	change(s.Merged)
	after := scan(t, s.Merged)
	links := map[uint64]string{}
	for _, p := range paths(before, after) {
		was, is := before[p], after[p]
		c := overlayfs.Change{Path: p}
		if was != nil {
			c.Was = &overlayfs.Base{Type: was.st.Type, Mode: was.st.Mode, Nlink: was.st.Nlink, Size: was.st.Size, Mtime: was.st.Mtime, Ctime: was.st.Ctime, Target: was.target}
		}
		if is == nil {
			c.Kind, c.Type = overlayfs.Deleted, was.st.Type
			s.List = append(s.List, c)
			continue
		}
		c.Type, c.Mode, c.Mtime, c.Size, c.Target = is.st.Type, is.st.Mode, is.st.Mtime, is.st.Size, is.target
		switch {
		case was == nil:
			c.Kind = overlayfs.Added
		case was.st.Type != is.st.Type || was.target != is.target || was.text != is.text:
			c.Kind = overlayfs.Modified
		case was.st.Mode != is.st.Mode || was.st.Mtime != is.st.Mtime && is.st.Type == abi.TypeRegular:
			c.Kind = overlayfs.Mode
		default:
			continue
		}
		if c.Type == abi.TypeRegular && c.Kind != overlayfs.Mode {
			c.Object = p
			if first, ok := links[is.st.Ino]; ok {
				c.Link = first
			} else if is.st.Nlink > 1 {
				links[is.st.Ino] = p
			}
		}
		s.List = append(s.List, c)
	}
	return s
}

// copied hides what CopyFS refuses.
func copied(dir string) fs.FS { return os.DirFS(dir) }

type entry struct {
	path   string
	st     abi.Stat
	target string
	text   string
}

// scan describes a tree as the lower layer of an overlay sees it.
func scan(t testing.TB, dir string) map[string]*entry {
	t.Helper()
	f := openHost(t, dir, false)
	out := map[string]*entry{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		parts := components(rel)
		parent, errno := directory(f, parts[:len(parts)-1])
		if errno != abi.OK {
			return errno
		}
		defer parent.Close()
		pr, errno := lookAt(parent, parts[len(parts)-1])
		if errno != abi.OK {
			return errno
		}
		defer pr.close()
		e := &entry{path: rel, st: pr.st, target: pr.target}
		if pr.st.Type == abi.TypeRegular {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			e.text = string(b)
		}
		out[rel] = e
		return nil
	}))
	return out
}

func paths(maps ...map[string]*entry) []string {
	var all []string
	for _, m := range maps {
		for p := range m {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func setTime(t testing.TB, path string, ns int64) {
	t.Helper()
	f := openHost(t, filepath.Dir(path), true)
	d, errno := directory(f, nil)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer d.Close()
	n, errno := d.Lookup(filepath.Base(path))
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer n.Close()
	if errno := n.SetTimes(nil, &ns); errno != abi.OK && errno != abi.ENOTSUP {
		t.Fatal(errno)
	}
}

func openHost(t testing.TB, dir string, write bool, hidden ...hostfs.ID) vfs.FileSystem {
	t.Helper()
	f, err := hostfs.Open(dir, hostfs.Options{Write: write, Hidden: hidden})
	must(t, err)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// umask is the process's, which the file systems of the test apply too.
func umask() uint32 {
	old := syscall.Umask(0o022)
	syscall.Umask(old)
	return uint32(old) //nolint:unconvert // its type differs from system to system
}

// apply commits and returns the outcomes by path.
func apply(t testing.TB, host string, s Source, o Options) map[string]Result {
	t.Helper()
	return collect(t, host, s, o, Apply)
}

func inspect(t testing.TB, host string, s Source, o Options) map[string]Result {
	t.Helper()
	return collect(t, host, s, o, Inspect)
}

func collect(t testing.TB, host string, s Source, o Options, do func(context.Context, vfs.FileSystem, Source, Options) ([]Result, error)) map[string]Result {
	t.Helper()
	o.Run, o.Root, o.Umask = testRun, host, umask()
	list, err := do(context.Background(), openHost(t, host, true), s, o)
	must(t, err)
	out := map[string]Result{}
	for _, r := range list {
		if _, twice := out[r.Change.Path]; twice {
			t.Errorf("%s has two results", r.Change.Path)
		}
		out[r.Change.Path] = r
	}
	return out
}

// want compares outcomes with "PATH OUTCOME" lines.
func want(t testing.TB, got map[string]Result, lines ...string) {
	t.Helper()
	var have []string
	for p, r := range got {
		have = append(have, p+" "+r.Outcome.String())
	}
	slices.Sort(have)
	slices.Sort(lines)
	if !slices.Equal(have, lines) {
		t.Errorf("outcomes\n%q\nwant\n%q", have, lines)
		for p, r := range got {
			t.Logf("%s: %s %s", p, r.Outcome, r.Why)
		}
	}
}

// same compares two trees: types, modes, contents, targets.
func same(t testing.TB, host, merged string) {
	t.Helper()
	a, b := scan(t, host), scan(t, merged)
	for _, p := range paths(a, b) {
		x, y := a[p], b[p]
		switch {
		case x == nil || y == nil:
			t.Errorf("%s: on the host %t, after the run %t", p, x != nil, y != nil)
		case x.st.Type != y.st.Type || x.st.Mode != y.st.Mode || x.target != y.target || x.text != y.text:
			t.Errorf("%s: host %v %o %q %.40q, want %v %o %q %.40q", p, x.st.Type, x.st.Mode, x.target, x.text, y.st.Type, y.st.Mode, y.target, y.text)
		case x.st.Type == abi.TypeRegular && x.st.Mtime != y.st.Mtime:
			t.Errorf("%s: modified at %d, want %d", p, x.st.Mtime, y.st.Mtime)
		}
	}
}

// lay makes files: "dir/", "name=content", "name->target".
func lay(t testing.TB, dir string, specs ...string) {
	t.Helper()
	for _, s := range specs {
		if d, ok := strings.CutSuffix(s, "/"); ok {
			must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
			continue
		}
		name, target, isLink := strings.Cut(s, "->")
		text := ""
		if !isLink {
			name, text, _ = strings.Cut(s, "=")
		}
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if isLink {
			must(t, os.Symlink(target, p))
			continue
		}
		must(t, os.WriteFile(p, []byte(text), 0o644))
	}
}

func remove(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		must(t, os.RemoveAll(filepath.Join(dir, n)))
	}
}

// temporaries counts what a commit would have left.
func temporaries(t testing.TB, dir string) (list []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(p), ".agentos-") {
			list = append(list, p)
		}
		return err
	}))
	return list
}

// readLine waits for a child to say something.
func readLine(f *os.File) (string, error) { return bufio.NewReader(f).ReadString('\n') }
