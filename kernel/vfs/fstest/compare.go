package fstest

import (
	"bytes"
	"fmt"
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

// Maker makes one kind of file system.
type Maker struct {
	Name string
	// Make returns an empty file system that can change. It is called again for
	// every attempt to shorten a sequence.
	Make func(t testing.TB) vfs.FileSystem
}

// Compare does the same random operations, chosen by seed, on two empty file
// systems, and fails at the first result that differs. It closes both. Unlike
// [Agree] it cannot begin again, and so does not shorten what it shows.
func Compare(t *testing.T, seed uint64, ops int, caps Caps, a, b vfs.FileSystem) {
	t.Helper()
	once := func(name string, fs vfs.FileSystem) Maker {
		return Maker{name, func(testing.TB) vfs.FileSystem { return fs }}
	}
	list := decode(random(seed, ops), caps)
	if d := round(t, list, false, []Maker{once("first", a), once("second", b)}); d != nil {
		t.Fatalf("seed %d: %s", seed, d)
	}
}

// Agree does the same random operations, chosen by seed, on an empty file system
// of each maker: each in a namespace of its own, and then mounted beside each
// other in one. At the first result that differs, or a tree that does, it fails
// with the shortest sequence that it can find.
func Agree(t testing.TB, seed uint64, ops int, caps Caps, makers ...Maker) {
	t.Helper()
	agree(t, fmt.Sprintf("seed %d", seed), random(seed, ops), caps, makers)
}

// Replay is [Agree] for operations encoded in any bytes, 16 each: what a fuzzer
// brings, or what a failure printed. More than 64 operations are left out.
func Replay(t testing.TB, code []byte, caps Caps, makers ...Maker) {
	t.Helper()
	agree(t, "replay", code[:min(len(code), 64*record)], caps, makers)
}

func agree(t testing.TB, what string, code []byte, caps Caps, makers []Maker) {
	t.Helper()
	ops := decode(code, caps)
	for _, shared := range []bool{false, true} {
		d := round(t, ops, shared, makers)
		if d == nil {
			continue
		}
		ops, d = shorten(t, ops, d, shared, makers)
		var b strings.Builder
		var again []byte
		for _, op := range ops {
			fmt.Fprintf(&b, "  %s\n", op)
			again = append(again, op.code...)
		}
		t.Fatalf("%s, in one namespace: %v: the last of\n%s%s\nagain: Replay %q", what, shared, b.String(), d, again)
	}
}

// shorten leaves out operations as long as the rest still differs. After every
// success it ends where the difference shows.
func shorten(t testing.TB, ops []operation, d *difference, shared bool, makers []Maker) ([]operation, *difference) {
	t.Helper()
	ops = ops[:min(d.at+1, len(ops))]
	tries := 0
	for size := len(ops) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(ops) && tries < 1000; tries++ {
			less := slices.Delete(slices.Clone(ops), from, from+size)
			if e := round(t, less, shared, makers); e != nil {
				ops, d = less[:min(e.at+1, len(less))], e
				continue
			}
			from += size
		}
	}
	return ops, d
}

// difference is where players came to different results.
type difference struct {
	at      int // which operation; the number of operations for the trees
	makers  []Maker
	results []string
}

func (d *difference) String() string {
	var b strings.Builder
	for i, r := range d.results {
		fmt.Fprintf(&b, "%s:\n    %s\n", d.makers[i].Name, strings.ReplaceAll(r, "\n", "\n    "))
	}
	return b.String()
}

// round plays a sequence once. It returns nil if all players agree.
func round(t testing.TB, ops []operation, shared bool, makers []Maker) *difference {
	t.Helper()
	players, end := seat(t, shared, makers)
	defer end()
	d := &difference{makers: makers, results: make([]string, len(players))}
	for ; d.at < len(ops); d.at++ {
		for i, p := range players {
			d.results[i] = p.play(ops[d.at])
		}
		if d.differ() {
			return d
		}
	}
	for i, p := range players {
		d.results[i] = p.tree(p.prefix+"/", map[uint64]string{})
	}
	if d.differ() {
		return d
	}
	return nil
}

func (d *difference) differ() bool {
	for _, r := range d.results {
		if r != d.results[0] || strings.Contains(r, "BROKEN") {
			return true
		}
	}
	return false
}

// seat makes the players, and finds out what they need not agree in.
func seat(t testing.TB, shared bool, makers []Maker) ([]*player, func()) {
	t.Helper()
	var players []*player
	var spaces []*vfs.Namespace
	mount := func(ns *vfs.Namespace, at string, m Maker) {
		t.Helper()
		if err := ns.Mount(at, m.Make(t)); err != nil {
			t.Fatal(err)
		}
	}
	if shared {
		ns := vfs.NewNamespace(vfs.Options{})
		spaces = append(spaces, ns)
		for i, m := range makers {
			mount(ns, fmt.Sprintf("/m%d", i), m)
		}
		for i, m := range makers {
			p := newPlayer(t, m.Name, ns, fmt.Sprintf("/m%d", i))
			p.next = fmt.Sprintf("/m%d", (i+1)%len(makers))
			players = append(players, p)
		}
	} else {
		for _, m := range makers {
			ns := vfs.NewNamespace(vfs.Options{})
			spaces = append(spaces, ns)
			mount(ns, "/", m)
			players = append(players, newPlayer(t, m.Name, ns, ""))
		}
	}
	agreed := players[0].try()
	for _, p := range players[1:] {
		tr := p.try()
		if tr.dirLinks != agreed.dirLinks {
			agreed.dirLinks = ""
		}
		if tr.atime != agreed.atime {
			agreed.atime = ""
		}
		tr.farFiles = tr.farFiles || agreed.farFiles
		agreed.farFiles = tr.farFiles
	}
	agreed.farFiles = !agreed.farFiles // all refuse
	for _, p := range players {
		p.agreed = agreed
	}
	return players, func() {
		for _, p := range players {
			p.close()
		}
		for _, ns := range spaces {
			if err := ns.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
}

// Seeds are sequences for a fuzzer to begin with.
func Seeds() [][]byte {
	var out [][]byte
	for seed := range uint64(20) {
		out = append(out, bytes.Clone(random(seed, 24)))
	}
	return out
}
