package fstest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// player is one file system that a sequence of operations is played on.
type player struct {
	t      testing.TB
	name   string
	ns     *vfs.Namespace
	prefix string // where in ns it is mounted: "", or "/m0"
	next   string // where the next player is mounted
	acc    *Open
	root   *vfs.File
	from   time.Time // when it began
	agreed traits    // what need not be the same is not looked at
	open   [slots]opened
}

// opened is a file that stays open from one operation to the next.
type opened struct {
	*vfs.File
	list *listing
}

// listing is a directory being read in pieces.
type listing struct {
	cookie  uint64
	start   map[string]uint64 // what was there when it began: name → inode
	seen    map[string]int
	touched map[string]bool // names that operations were about since
	done    bool
}

// traits are what POSIX leaves to a file system. They are tried out.
type traits struct {
	dirLinks string // the links of a directory with a directory in it
	atime    string // what a read does to the time of access
	farFiles bool   // whether a file may be 2^62 bytes long
}

func newPlayer(t testing.TB, name string, ns *vfs.Namespace, prefix string) *player {
	t.Helper()
	p := &player{t: t, name: name, ns: ns, prefix: prefix, next: prefix, acc: NewOpen(), from: time.Now()}
	var errno abi.Errno
	if p.root, errno = ns.OpenDir("/"); errno != abi.OK {
		t.Fatalf("open root: %s", errno)
	}
	return p
}

func (p *player) close() {
	for _, f := range p.open {
		if f.File != nil {
			_ = f.Unref() // compared already, or not reached
		}
	}
	_ = p.root.Unref() // read-only
}

// try finds out the traits, and leaves nothing behind.
func (p *player) try() (tr traits) {
	p.t.Helper()
	ok := func(errno abi.Errno) {
		p.t.Helper()
		if errno != abi.OK {
			p.t.Fatalf("trying out %s: %s", p.name, errno)
		}
	}
	base := p.root.Base()
	dir, file := p.prefix+"/try", p.prefix+"/try/f"
	ok(p.ns.Mkdir(p.acc, base, dir, 0o755))
	ok(p.ns.Mkdir(p.acc, base, dir+"/d", 0o755))
	st, errno := p.ns.Stat(p.acc, base, dir, false)
	ok(errno)
	tr.dirLinks = fmt.Sprint(st.Nlink)
	f, errno := p.ns.Open(p.acc, base, file, abi.ORead|abi.OWrite|abi.OCreate, 0o644)
	ok(errno)
	_, errno = f.Write([][]byte{[]byte("x")})
	ok(errno)
	five, three := int64(5), int64(3)
	ok(f.SetTimes(p.acc, &five, &three))
	_, errno = f.Pread([][]byte{make([]byte, 1)}, 0)
	ok(errno)
	st, errno = f.Stat()
	ok(errno)
	tr.atime = p.when(st.Atime)
	tr.farFiles = f.Truncate(1<<62) == abi.OK
	ok(f.Unref())
	ok(p.ns.Unlink(p.acc, base, file))
	ok(p.ns.Rmdir(p.acc, base, dir+"/d"))
	ok(p.ns.Rmdir(p.acc, base, dir))
	return tr
}

// when renders a time: one that an operation set as it is, and what the file
// system took from the clock as such.
func (p *player) when(ns int64) string {
	if t := time.Unix(0, ns); t.After(p.from.Add(-time.Minute)) && t.Before(p.from.Add(24*time.Hour)) {
		return "now"
	}
	return fmt.Sprint(ns)
}

// base returns where a path of an operation begins and how it begins.
func (p *player) base(slot int, path string) (*vfs.Base, string) {
	if slot >= 0 && p.open[slot].File != nil && p.open[slot].Base() != nil {
		return p.open[slot].Base(), path
	}
	return p.root.Base(), p.absolute(p.prefix, path)
}

// absolute moves a path from the root of the player to that of the namespace.
func (p *player) absolute(prefix, path string) string {
	switch {
	case prefix == "" || path == "":
		return path
	case path[0] == '/':
		return prefix + path
	}
	return prefix + "/" + path
}

// play performs op and renders everything of the result that must be the same.
func (p *player) play(op operation) string {
	if op.isFar() && !p.agreed.farFiles {
		return "left out"
	}
	for i := range p.open {
		if l := p.open[i].list; l != nil && changes[op.kind] {
			l.touched[lastOf(op.path)], l.touched[lastOf(op.to)] = true, true
		}
	}
	base, path := p.base(op.base, op.path)
	toBase, to := p.base(op.toBase, op.to)
	switch op.kind {
	case "open":
		return p.openFile(op, base, path)
	case "mkdir":
		return p.ns.Mkdir(p.acc, base, path, op.mode).String()
	case "rmdir":
		return p.ns.Rmdir(p.acc, base, path).String()
	case "unlink":
		return p.ns.Unlink(p.acc, base, path).String()
	case "rename":
		return p.ns.Rename(p.acc, base, path, toBase, to).String()
	case "link":
		return p.ns.Link(p.acc, base, path, op.follow, toBase, to).String()
	case "across": // nothing may come of it
		there := p.absolute(p.next, op.to)
		if op.follow {
			return p.ns.Link(p.acc, base, path, true, p.root.Base(), there).String()
		}
		return p.ns.Rename(p.acc, base, path, p.root.Base(), there).String()
	case "symlink":
		target := op.to
		if target != "" && target[0] == '/' {
			target = p.prefix + target
		}
		return p.ns.Symlink(p.acc, target, base, path).String()
	case "readlink":
		s, errno := p.ns.Readlink(p.acc, base, path)
		return errno.String() + " " + p.plain(s)
	case "stat":
		st, errno := p.ns.Stat(p.acc, base, path, op.follow)
		return errno.String() + " " + p.render(st, errno)
	case "times":
		return p.ns.SetTimes(p.acc, base, path, op.follow, op.atime, op.mtime).String()
	}
	f := &p.open[op.slot]
	if f.File == nil {
		return "no file"
	}
	return p.playOpen(op, f)
}

// changes are the operations that give or take names.
var changes = map[string]bool{"open": true, "mkdir": true, "rmdir": true, "unlink": true, "rename": true, "link": true, "symlink": true}

func lastOf(path string) string {
	path = strings.TrimRight(strings.TrimSuffix(path, "/."), "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// plain takes the player's own place out of a path.
func (p *player) plain(path string) string {
	if p.prefix == "" || path == "/" {
		return path
	}
	return strings.TrimPrefix(path, p.prefix)
}

func (p *player) openFile(op operation, base *vfs.Base, path string) string {
	g, errno := p.ns.Open(p.acc, base, path, op.flags, op.mode)
	if errno != abi.OK {
		return errno.String()
	}
	if f := p.open[op.slot]; f.File != nil {
		_ = f.Unref() // only the opening is compared
	}
	p.open[op.slot] = opened{File: g}
	return fmt.Sprint("ok ", g.Type(), " ", p.plain(g.Path()))
}

func (p *player) playOpen(op operation, f *opened) string {
	switch op.kind {
	case "close":
		g := f.File
		*f = opened{}
		return g.Unref().String()
	case "read":
		buf := make([]byte, op.n)
		n, errno := f.Read([][]byte{buf[:op.n/3], nil, buf[op.n/3:]})
		return fmt.Sprint(errno, n, " ", digest(buf[:n]))
	case "pread":
		buf := make([]byte, op.n)
		n, errno := f.Pread([][]byte{buf[:op.n/3], buf[op.n/3:]}, op.off)
		return fmt.Sprint(errno, n, " ", digest(buf[:n]))
	case "write":
		n, errno := f.Write(data(op))
		return fmt.Sprint(errno, n)
	case "pwrite":
		n, errno := f.Pwrite(data(op), op.off)
		return fmt.Sprint(errno, n)
	case "seek":
		n, errno := f.SeekTo(op.off, uint32(op.n%4))
		if errno == abi.OK && n > far && !(p.agreed.farFiles && n > 1<<61) {
			// Not where one file system is at its end and another is not.
			_, errno = f.SeekTo(0, abi.SeekSet)
			return "far " + errno.String()
		}
		return fmt.Sprint(errno, n)
	case "truncate":
		return f.Truncate(op.off).String()
	case "allocate":
		return f.Allocate(op.off, op.n).String()
	case "sync":
		return f.Sync(op.n%2 == 0).String()
	case "setflags":
		errno := f.SetFlags(op.flags &^ (abi.OExcl | abi.ODirectory | abi.ONofollow))
		return fmt.Sprint(errno, " ", f.Flags())
	case "ftimes":
		return f.SetTimes(p.acc, op.atime, op.mtime).String()
	case "fstat":
		st, errno := f.Stat()
		return errno.String() + " " + p.render(st, errno)
	case "list":
		all, errno := p.list(f.File, 1+int(op.n)%5)
		var names []string
		for _, e := range all {
			names = append(names, fmt.Sprintf("%q %s", e.Name, e.Type))
		}
		slices.Sort(names)
		return errno.String() + " " + strings.Join(names, ",")
	case "piece":
		return p.piece(f, 1+int(op.n)%3)
	}
	return "?"
}

// data is what an operation writes, in three buffers.
func data(op operation) [][]byte {
	b := []byte(strings.Repeat(fmt.Sprintf("%x", op.code), 1+int(op.n)/(2*record)))[:op.n]
	return [][]byte{b[:op.n/4], nil, b[op.n/4:]}
}

// digest renders data in few bytes.
func digest(b []byte) string {
	if len(b) < 40 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// render is what of a Stat must be the same. How large a directory is is each
// file system's own business.
func (p *player) render(st abi.Stat, errno abi.Errno) string {
	if errno != abi.OK {
		return ""
	}
	out := fmt.Sprintf("%s %o mtime %s", st.Type, st.Mode&^0o77, p.when(st.Mtime)) // the host's umask may take the rest
	switch {
	case st.Type != abi.TypeDirectory:
		size := st.Size
		if st.Type == abi.TypeSymlink {
			size = 0 // counts the player's own place
		}
		out += fmt.Sprintf(" size %d links %d", size, st.Nlink)
		if p.agreed.atime != "" {
			out += " atime " + p.when(st.Atime)
		}
	case p.agreed.dirLinks != "":
		out += fmt.Sprintf(" links %d", st.Nlink)
	}
	if c := p.when(st.Ctime); c != "now" {
		out += " ctime " + c // never anything but the clock's
	}
	return out
}

// list reads a directory from its beginning.
func (p *player) list(f *vfs.File, max int) ([]abi.Dirent, abi.Errno) {
	var all []abi.Dirent
	cookie := uint64(0)
	for {
		ents, errno := f.Readdir(p.acc, cookie, max)
		if errno != abi.OK || len(ents) == 0 {
			return all, errno
		}
		if len(ents) > max || len(all) > 1000 {
			return all, abi.EIO
		}
		all = append(all, ents...)
		cookie = ents[len(ents)-1].Next
	}
}

// piece goes on with a listing that other operations come between. Orders and
// pieces may differ; what must hold is that an entry that stays is seen once.
func (p *player) piece(f *opened, max int) string {
	if f.list == nil || f.list.done {
		all, errno := p.list(f.File, 100)
		if errno != abi.OK {
			return errno.String()
		}
		f.list = &listing{start: inodes(all), seen: map[string]int{}, touched: map[string]bool{}}
	}
	l := f.list
	ents, errno := f.Readdir(p.acc, l.cookie, max)
	if errno != abi.OK {
		f.list = nil
		return errno.String()
	}
	if len(ents) > max {
		return fmt.Sprintf("%s: BROKEN: %d entries for %d", p.name, len(ents), max)
	}
	for _, e := range ents {
		l.seen[e.Name]++
		l.cookie = e.Next
	}
	if len(ents) > 0 {
		return "ok"
	}
	l.done = true
	all, errno := p.list(f.File, 100)
	if errno != abi.OK {
		return errno.String()
	}
	end := inodes(all)
	for name, ino := range l.start {
		if end[name] == ino && !l.touched[name] && l.seen[name] != 1 {
			return fmt.Sprintf("%s: BROKEN: %q was listed %d times", p.name, name, l.seen[name])
		}
	}
	return "ok"
}

func inodes(ents []abi.Dirent) map[string]uint64 {
	m := make(map[string]uint64, len(ents))
	for _, e := range ents {
		m[e.Name] = e.Ino
	}
	return m
}

// tree renders everything beneath dir, and which names are one object.
func (p *player) tree(dir string, objects map[uint64]string) string {
	f, errno := p.ns.Open(p.acc, p.root.Base(), dir, abi.ORead|abi.ODirectory|abi.ONofollow, 0)
	if errno != abi.OK {
		return dir + ": " + errno.String() + "\n"
	}
	defer func() { _ = f.Unref() }() // read-only
	ents, errno := p.list(f, 100)
	if errno != abi.OK {
		return dir + ": " + errno.String() + "\n"
	}
	slices.SortFunc(ents, func(a, b abi.Dirent) int { return strings.Compare(a.Name, b.Name) })
	var out strings.Builder
	for _, e := range ents {
		at := strings.TrimSuffix(dir, "/") + "/" + e.Name
		st, errno := p.ns.Stat(p.acc, p.root.Base(), at, false)
		fmt.Fprintf(&out, "%s %s %s\n", p.plain(at), errno, p.render(st, errno))
		if first, known := objects[st.Ino]; known {
			fmt.Fprintf(&out, "  = %s\n", first)
			continue
		}
		objects[st.Ino] = p.plain(at)
		if st.Ino != e.Ino || st.Type != e.Type {
			fmt.Fprintf(&out, "  %s: BROKEN: listed as inode %d, %s, is %d\n", p.name, e.Ino, e.Type, st.Ino)
		}
		switch e.Type {
		case abi.TypeDirectory:
			out.WriteString(p.tree(at, objects))
		case abi.TypeSymlink:
			l, errno := p.ns.Readlink(p.acc, p.root.Base(), at)
			fmt.Fprintf(&out, "  -> %s %s\n", p.plain(l), errno)
		case abi.TypeRegular:
			out.WriteString(p.contents(at, st.Size))
		}
	}
	return out.String()
}

// contents renders a file: all of a small one, of a large one the parts that
// operations write to.
func (p *player) contents(at string, size int64) string {
	f, errno := p.ns.Open(p.acc, p.root.Base(), at, abi.ORead, 0)
	if errno != abi.OK {
		return "  " + errno.String() + "\n"
	}
	defer func() { _ = f.Unref() }() // read-only
	var out strings.Builder
	buf := make([]byte, 96<<10)
	for _, off := range []int64{0, 1 << 20, 1 << 21, 1<<31 - 1, 1<<32 - 1, 1 << 33, 1 << 40, size - int64(len(buf))} {
		if off < 0 || off > size {
			continue
		}
		n, errno := f.Pread([][]byte{buf}, off)
		fmt.Fprintf(&out, "  %d: %s %d %s\n", off, errno, n, digest(buf[:n]))
	}
	return out.String()
}
