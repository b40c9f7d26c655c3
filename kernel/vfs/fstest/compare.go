package fstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Open is an [vfs.Access] that a subject decides and that counts refusals.
type Open struct {
	Subj    *perm.Subject
	Denied  []string // "action path", in order
	Unfound []string // what Hidden was told
}

// NewOpen makes an access with the given rules, or, without any, one that may do
// everything.
func NewOpen(rules ...perm.PathRule) *Open {
	if len(rules) == 0 {
		rules = []perm.PathRule{{Guest: "/", Right: perm.Write}}
	}
	return &Open{Subj: perm.NewSubject(perm.SubjectSpec{
		Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: rules,
	})}
}

// Subject implements [vfs.Access].
func (o *Open) Subject() *perm.Subject { return o.Subj }

// Decide implements [vfs.Access].
func (o *Open) Decide(act abi.Action, canonical string) abi.Errno {
	d := o.Subj.Path(act, canonical)
	if !d.Allow {
		o.Denied = append(o.Denied, act.String()+" "+canonical)
	}
	return d.Errno
}

// Hidden implements [vfs.Access].
func (o *Open) Hidden(canonical string) { o.Unfound = append(o.Unfound, canonical) }

// Compare does the same random operations, chosen by seed, on two empty file
// systems, through a namespace each, and fails at the first result that differs.
// It closes both.
func Compare(t *testing.T, seed uint64, ops int, caps Caps, a, b vfs.FileSystem) {
	t.Helper()
	x, y := newPlayer(t, a), newPlayer(t, b)
	defer x.close()
	defer y.close()
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range ops {
		op := choose(rng, caps)
		got, want := x.play(op), y.play(op)
		if got != want {
			t.Fatalf("seed %d, operation %d, %s:\n  first:  %s\n  second: %s", seed, i, op, got, want)
		}
	}
	if got, want := x.tree("/"), y.tree("/"); got != want {
		t.Fatalf("seed %d: the trees differ\nfirst:\n%s\nsecond:\n%s", seed, got, want)
	}
}

// operation is one step, with all its randomness in it.
type operation struct {
	kind     string
	path, to string
	flags    abi.OpenFlags
	off, n   int64
	slot     int
	follow   bool
	atime    int64
}

func (o operation) String() string {
	return fmt.Sprintf("%s %q %q flags %b off %d n %d slot %d follow %v", o.kind, o.path, o.to, o.flags, o.off, o.n, o.slot, o.follow)
}

const slots = 4

// choose makes an operation. Few names and a small depth make collisions likely.
func choose(rng *rand.Rand, caps Caps) operation {
	names := []string{"a", "b", "c", "d", ".", ".."}
	randomPath := func() string {
		var parts []string
		for range 1 + rng.IntN(4) {
			n := names[rng.IntN(4)]
			if rng.IntN(8) == 0 {
				n = names[rng.IntN(len(names))]
			}
			parts = append(parts, n)
		}
		p := strings.Join(parts, "/")
		switch rng.IntN(12) {
		case 0:
			p += "/"
		case 1:
			p = strings.Replace(p, "/", "//", 1)
		}
		return p
	}
	kinds := []string{"open", "open", "open", "close", "read", "write", "write", "truncate", "mkdir", "mkdir", "mkdir", "rmdir", "unlink",
		"rename", "rename", "stat", "readdir", "times", "fstat", "seek"}
	if !caps.NoSymlinks {
		kinds = append(kinds, "symlink", "symlink", "readlink")
	}
	if !caps.NoLinks {
		kinds = append(kinds, "link")
	}
	op := operation{
		kind: kinds[rng.IntN(len(kinds))], path: randomPath(), to: randomPath(), slot: rng.IntN(slots),
		off: rng.Int64N(9000), n: rng.Int64N(6000), follow: rng.IntN(2) == 0, atime: rng.Int64N(1 << 40),
	}
	op.flags = []abi.OpenFlags{abi.ORead, abi.OWrite, abi.ORead | abi.OWrite}[rng.IntN(3)]
	for _, f := range []abi.OpenFlags{abi.OCreate, abi.OCreate, abi.OExcl, abi.OTrunc, abi.OAppend, abi.ODirectory, abi.ONofollow} {
		if rng.IntN(4) == 0 {
			op.flags |= f
		}
	}
	if op.flags&abi.OCreate == 0 {
		op.flags &^= abi.OExcl // has no meaning alone
	}
	return op
}

// player is one file system under Compare.
type player struct {
	t    *testing.T
	ns   *vfs.Namespace
	acc  *Open
	root *vfs.File
	open [slots]*vfs.File
}

func newPlayer(t *testing.T, fs vfs.FileSystem) *player {
	t.Helper()
	p := &player{t: t, ns: vfs.NewNamespace(vfs.Options{}), acc: NewOpen()}
	if err := p.ns.Mount("/", fs); err != nil {
		t.Fatal(err)
	}
	var errno abi.Errno
	if p.root, errno = p.ns.OpenDir("/"); errno != abi.OK {
		t.Fatalf("open root: %s", errno)
	}
	return p
}

func (p *player) close() {
	for _, f := range p.open {
		if f != nil {
			_ = f.Unref() // compared already, or not reached
		}
	}
	_ = p.root.Unref() // read-only
	if err := p.ns.Close(); err != nil {
		p.t.Errorf("close: %v", err)
	}
}

// play performs op and renders everything of the result that must be the same.
func (p *player) play(op operation) string {
	base := p.root.Base()
	f := p.open[op.slot]
	switch op.kind {
	case "open":
		g, errno := p.ns.Open(p.acc, base, op.path, op.flags, 0o644)
		if errno != abi.OK {
			return errno.String()
		}
		if f != nil {
			_ = f.Unref() // only the opening is compared
		}
		p.open[op.slot] = g
		return fmt.Sprint("ok ", g.Type(), " ", g.Path())
	case "mkdir":
		return p.ns.Mkdir(p.acc, base, op.path, 0o755).String()
	case "rmdir":
		return p.ns.Rmdir(p.acc, base, op.path).String()
	case "unlink":
		return p.ns.Unlink(p.acc, base, op.path).String()
	case "rename":
		return p.ns.Rename(p.acc, base, op.path, base, op.to).String()
	case "link":
		return p.ns.Link(p.acc, base, op.path, op.follow, base, op.to).String()
	case "symlink":
		return p.ns.Symlink(p.acc, op.to, base, op.path).String()
	case "readlink":
		s, errno := p.ns.Readlink(p.acc, base, op.path)
		return errno.String() + " " + s
	case "stat":
		st, errno := p.ns.Stat(p.acc, base, op.path, op.follow)
		return errno.String() + " " + render(st)
	case "times":
		return p.ns.SetTimes(p.acc, base, op.path, op.follow, &op.atime, &op.off).String()
	}
	if f == nil {
		return "no file"
	}
	switch op.kind {
	case "close":
		p.open[op.slot] = nil
		return f.Unref().String()
	case "read":
		buf := make([]byte, op.n)
		n, errno := f.Read([][]byte{buf[:op.n/3], buf[op.n/3:]})
		return fmt.Sprint(errno, n, " ", string(buf[:n]))
	case "write":
		n, errno := f.Write([][]byte{[]byte(strings.Repeat(op.path, 1+int(op.n)/(2*len(op.path))))})
		return fmt.Sprint(errno, n)
	case "seek":
		n, errno := f.SeekTo(op.off, uint32(op.n%2))
		return fmt.Sprint(errno, n)
	case "truncate":
		return f.Truncate(op.off).String()
	case "fstat":
		st, errno := f.Stat()
		return errno.String() + " " + render(st)
	case "readdir":
		var all []string
		cookie := uint64(0)
		for {
			ents, errno := f.Readdir(p.acc, cookie, 3)
			if errno != abi.OK {
				return errno.String()
			}
			if len(ents) == 0 {
				break
			}
			for _, e := range ents {
				all = append(all, e.Name+" "+e.Type.String())
			}
			cookie = ents[len(ents)-1].Next
		}
		slices.Sort(all)
		return strings.Join(all, ",")
	}
	return "?"
}

// render is what of a Stat must be the same. How large a directory is, and how
// many links it has, is each file system's own business.
func render(st abi.Stat) string {
	if st.Type == abi.TypeDirectory {
		return st.Type.String()
	}
	return fmt.Sprint(st.Type, " ", st.Size, " ", st.Nlink)
}

// tree renders everything beneath dir.
func (p *player) tree(dir string) string {
	f, errno := p.ns.Open(p.acc, p.root.Base(), dir, abi.ORead|abi.ODirectory|abi.ONofollow, 0)
	if errno != abi.OK {
		return dir + ": " + errno.String() + "\n"
	}
	defer func() { _ = f.Unref() }() // read-only
	ents, errno := f.Readdir(p.acc, 0, 1000)
	if errno != abi.OK {
		return dir + ": " + errno.String() + "\n"
	}
	slices.SortFunc(ents, func(a, b abi.Dirent) int { return strings.Compare(a.Name, b.Name) })
	var out strings.Builder
	for _, e := range ents {
		at := strings.TrimSuffix(dir, "/") + "/" + e.Name
		st, errno := p.ns.Stat(p.acc, p.root.Base(), at, false)
		fmt.Fprintf(&out, "%s %s %s\n", at, errno, render(st))
		switch e.Type {
		case abi.TypeDirectory:
			out.WriteString(p.tree(at))
		case abi.TypeSymlink:
			l, errno := p.ns.Readlink(p.acc, p.root.Base(), at)
			fmt.Fprintf(&out, "  -> %s %s\n", l, errno)
		case abi.TypeRegular:
			g, errno := p.ns.Open(p.acc, p.root.Base(), at, abi.ORead, 0)
			if errno != abi.OK {
				fmt.Fprintf(&out, "  %s\n", errno)
				continue
			}
			buf := make([]byte, 1<<16)
			n, errno := g.Read([][]byte{buf})
			fmt.Fprintf(&out, "  %s %x\n", errno, buf[:n])
			_ = g.Unref() // read-only
		}
	}
	return out.String()
}
