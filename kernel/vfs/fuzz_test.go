package vfs_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// model is a naive file system: what is at each absolute path. "/" ends a
// directory's entry, anything else is the target of a link, "" a file.
type model map[string]string

const isDir = "/"

// resolve finds path from base by splitting strings and starting over at every
// link, which is what a walk on handles must agree with.
func (m model) resolve(base, p string, follow bool, denied func(string) bool) (string, abi.Errno) {
	switch {
	case p == "":
		return "", abi.ENOENT
	case len(p) > 4096:
		return "", abi.ENAMETOOLONG
	case strings.Contains(p, "\x00"):
		return "", abi.EINVAL
	}
	at := base
	todo := strings.Split(p, "/")
	if p[0] == '/' {
		if base != "/" {
			return "", abi.EPERM
		}
		at = "/"
	}
	links := 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if m[at] != isDir {
			return "", abi.ENOTDIR // whatever follows, a slash included
		}
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			if at == base {
				return "", abi.EPERM
			}
			at = path.Dir(at)
			continue
		case len(name) > 255:
			return "", abi.ENAMETOOLONG
		}
		next := path.Join(at, name)
		if denied(next) {
			return "", abi.ENOENT
		}
		what, ok := m[next]
		if !ok {
			return "", abi.ENOENT
		}
		last := len(todo) == 0
		if what == isDir || what == "" || last && !follow {
			at = next
			continue
		}
		if links++; links > 40 {
			return "", abi.ELOOP
		}
		if what[0] == '/' {
			if base != "/" {
				return "", abi.EPERM
			}
			at = "/"
		}
		todo = append(strings.Split(what, "/"), todo...)
	}
	return at, abi.OK
}

// FuzzWalk builds a tree from the first argument and compares where a path leads
// in it with the model. The tree's lines are "+dir", "=file", and "@link>target"
// with names of one letter.
func FuzzWalk(f *testing.F) {
	f.Add("+a +a/b =a/b/c @l>a/b @a/u>../l @x>/a @o>o", "l/../u/c", "", false, true)
	f.Add("+a @a/e>../.. =f", "a/e", "a", true, true)
	f.Add("+a +a/b +a/b/c =a/b/c/d @a/b/s>c/../../b/c/d", "a/b/s", "", false, true)
	f.Add("+a +a/b @a/b/s>../x =a/x", "a/b/s", "", true, true)
	f.Add("@a>b @b>c/ +c =c/d", "a/d/", "", false, false)
	f.Add("+s =s/x @l>s/x", "l", "", false, true)
	f.Add("+a +a/s", "a/s/../s", "a", true, false)
	f.Fuzz(func(t *testing.T, tree, p, from string, mounted, follow bool) {
		if len(tree) > 400 {
			return
		}
		ns := vfs.NewNamespace(vfs.Options{})
		tracked := fstest.Track(memfs.New(nil, memfs.Options{}))
		defer func() {
			if err := ns.Close(); err != nil {
				t.Error(err)
			}
			if n, faults := tracked.Live(), tracked.Faults(); n != 0 || len(faults) > 0 {
				t.Errorf("%d handles were not closed; %v", n, faults)
			}
		}()
		if err := ns.Mount("/", tracked); err != nil {
			t.Fatal(err)
		}
		m := model{"/": isDir}
		if mounted { // the same tree, with a mount in it and so without short cuts
			if err := ns.Mount("/a", memfs.New(nil, memfs.Options{})); err != nil {
				t.Fatal(err)
			}
			m["/a"] = isDir
		}
		root, errno := ns.OpenDir("/")
		if errno != abi.OK {
			t.Fatal(errno)
		}
		defer func() { _ = root.Unref() }() // read-only
		acc := fstest.NewOpen()
		for _, line := range strings.Fields(tree) {
			if len(line) < 2 {
				continue
			}
			name, target, _ := strings.Cut(line[1:], ">")
			full := path.Join("/", name)
			if _, exists := m[full]; exists || m[path.Dir(full)] != isDir || path.Join("/", name) != "/"+name || strings.ContainsAny(name, "\x00") || len(path.Base(name)) > 255 {
				continue
			}
			switch line[0] {
			case '+':
				errno, m[full] = ns.Mkdir(acc, root.Base(), name, 0o755), isDir
			case '=':
				var g *vfs.File
				if g, errno = ns.Open(acc, root.Base(), name, abi.OWrite|abi.OCreate|abi.OExcl, 0o644); errno == abi.OK {
					_ = g.Unref() // empty
				}
				m[full] = ""
			case '@':
				if target == "" || target == isDir || strings.ContainsAny(target, "\x00") {
					continue
				}
				errno, m[full] = ns.Symlink(acc, target, root.Base(), name), target
			default:
				continue
			}
			if errno != abi.OK {
				t.Fatalf("%s: %s", line, errno)
			}
		}
		base := path.Join("/", from)
		if m[base] != isDir {
			return
		}
		start, errno := ns.OpenDir(base)
		if errno != abi.OK {
			t.Fatalf("open %s: %s", base, errno)
		}
		defer func() { _ = start.Unref() }() // read-only
		denied := func(p string) bool { return p == "/s" || strings.HasPrefix(p, "/s/") }
		deny := fstest.NewOpen(perm.PathRule{Guest: "/", Right: perm.Write}, perm.PathRule{Guest: "/s", Right: perm.None})
		never := func(string) bool { return false }
		for _, way := range []struct {
			acc    *fstest.Open
			denied func(string) bool
		}{{acc, never}, {deny, denied}} {
			if way.denied(base) {
				continue
			}
			where, want := m.resolve(base, p, follow, way.denied)
			st, got := ns.Stat(way.acc, start.Base(), p, follow)
			if got != want {
				t.Fatalf("tree %q, %q from %s, follow %v: %s, the model says %s %s", tree, p, base, follow, got, want, where)
			}
			if got != abi.OK {
				continue
			}
			// The same object as by its canonical path.
			direct, errno := ns.Stat(acc, root.Base(), where, false)
			if errno != abi.OK || direct.Ino != st.Ino || direct.Dev != st.Dev {
				t.Fatalf("tree %q, %q from %s is inode %d, not %s (%d, %s)", tree, p, base, st.Ino, where, direct.Ino, errno)
			}
			g, errno := ns.Open(way.acc, start.Base(), p, abi.ORead, 0)
			if errno == abi.OK {
				if follow && g.Path() != where {
					t.Errorf("%q opened as %s, not %s", p, g.Path(), where)
				}
				_ = g.Unref() // read-only
			}
		}
		if slices.ContainsFunc(deny.Denied, func(d string) bool { return !strings.Contains(d, "/s") }) {
			t.Errorf("denied: %v", deny.Denied)
		}
	})
}
