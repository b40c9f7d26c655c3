package fstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// objects are what a path can lead to, each made under a name by operations.
var objects = []struct {
	name string
	make func(at string) []operation
}{
	{"nothing", func(string) []operation { return nil }},
	{"file", func(at string) []operation { return []operation{file(at)} }},
	{"empty", func(at string) []operation { return []operation{{kind: "mkdir", path: at, mode: 0o755}} }},
	{"full", func(at string) []operation {
		return []operation{{kind: "mkdir", path: at, mode: 0o755}, file(at + "/in"), {kind: "mkdir", path: at + "/sub", mode: 0o755}}
	}},
	{"to a file", linkTo("file")},
	{"to a directory", linkTo("dir")},
	{"to a directory/", linkTo("dir/")},
	{"to a file/", linkTo("file/")},
	{"to nothing", linkTo("none")},
	{"to itself", func(at string) []operation {
		return []operation{{kind: "symlink", path: at, to: at[strings.LastIndexByte(at, '/')+1:]}}
	}},
	{"out", linkTo("../../../../..")},
	{"to the root", linkTo("/")},
	{"through a link", linkTo("hop/in")},
}

func file(at string) operation {
	return operation{kind: "open", path: at, flags: abi.OCreate | abi.OWrite, mode: 0o644}
}

func linkTo(target string) func(string) []operation {
	return func(at string) []operation { return []operation{{kind: "symlink", path: at, to: target}} }
}

// forms are ways to write a path to x.
var forms = []string{"x", "x/", "x/.", "x/..", "./x//", "x/in", "x/none/", "dir/../x", "hop/../x/"}

// Paths does every operation that takes a path on every kind of object, under
// every way to write its path, and those that take two on every pair of objects
// with and without a slash, on a file system of each maker, mounted beside each
// other in one namespace. All must answer alike and leave the same trees.
func Paths(t testing.TB, caps Caps, makers ...Maker) {
	t.Helper()
	kinds := objects
	if caps.NoSymlinks {
		kinds = kinds[:4]
	}
	players, end := seat(t, true, makers)
	defer end()
	cases, places := 0, 0
	play := func(ops ...operation) string {
		t.Helper()
		d := &difference{makers: makers, results: make([]string, len(players))}
		for at, op := range ops {
			op.base, op.toBase = -1, -1
			for i, p := range players {
				d.results[i] = p.play(op)
			}
			if d.differ() {
				t.Errorf("the last of %v:\n%s", ops[:at+1], d)
			}
		}
		return d.results[0]
	}
	// place makes a directory with what links lead to, and the objects x and y.
	place := func(x, y int) string {
		at := fmt.Sprintf("g%d/c%d/", places/200, places%200)
		if places%200 == 0 {
			play(operation{kind: "mkdir", path: at[:strings.IndexByte(at, '/')], mode: 0o755})
		}
		places++
		play(operation{kind: "mkdir", path: at, mode: 0o755}, file(at+"file"), operation{kind: "mkdir", path: at + "dir", mode: 0o755}, file(at+"dir/in"))
		if !caps.NoSymlinks {
			play(operation{kind: "symlink", path: at + "hop", to: "dir"})
		}
		play(kinds[x].make(at + "x")...)
		play(kinds[y].make(at + "y")...)
		return at
	}
	// try does an operation in a place that no other has changed. What is refused
	// changes nothing, so that the place serves the next.
	at := ""
	try := func(op operation, from, to string, x, y int) {
		t.Helper()
		cases++
		if at == "" {
			at = place(x, y)
		}
		op.path = at + from
		if op.kind == "rename" || op.kind == "link" {
			op.to = at + to
		}
		done := play(op)
		if changes[op.kind] && (op.kind != "open" || op.flags&abi.OCreate != 0) && (strings.HasPrefix(done, "success") || strings.HasPrefix(done, "ok")) {
			at = ""
		}
	}
	time := int64(1_000_000_007)
	for x := range kinds {
		at = ""
		for _, form := range forms {
			for _, op := range []operation{
				{kind: "stat", follow: true}, {kind: "stat"}, {kind: "readlink"}, {kind: "mkdir", mode: 0o755}, {kind: "rmdir"}, {kind: "unlink"},
				{kind: "symlink", to: "target"}, {kind: "times", follow: true, mtime: &time}, {kind: "times", mtime: &time},
				{kind: "open", flags: abi.ORead}, {kind: "open"}, {kind: "open", flags: abi.ORead | abi.OWrite},
				{kind: "open", flags: abi.ORead | abi.ONofollow}, {kind: "open", flags: abi.ORead | abi.ODirectory},
				{kind: "open", flags: abi.ORead | abi.ODirectory | abi.ONofollow}, {kind: "open", flags: abi.OWrite | abi.OCreate, mode: 0o644},
				{kind: "open", flags: abi.OWrite | abi.OCreate | abi.OExcl, mode: 0o644}, {kind: "open", flags: abi.OWrite | abi.OCreate | abi.ONofollow, mode: 0o644},
				{kind: "open", flags: abi.OWrite | abi.OTrunc}, {kind: "open", flags: abi.ORead | abi.OTrunc},
			} {
				if caps.NoSymlinks && (op.kind == "symlink" || strings.HasPrefix(form, "hop")) {
					continue
				}
				try(op, form, "", x, 0)
			}
		}
	}
	for x := range kinds {
		for y := range kinds {
			at = ""
			for _, op := range []operation{{kind: "rename"}, {kind: "link"}, {kind: "link", follow: true}} {
				if caps.NoLinks && op.kind == "link" {
					continue
				}
				for _, slash := range []string{"x y", "x/ y", "x y/", "x/ y/", "x x", "x x/y", "x/y x", "x/. y", "x/in y/in"} {
					from, to, _ := strings.Cut(slash, " ")
					try(op, from, to, x, y)
				}
			}
		}
	}
	d := &difference{makers: makers, results: make([]string, len(players))}
	for i, p := range players {
		d.results[i] = p.tree(p.prefix+"/", map[uint64]string{})
	}
	if d.differ() {
		t.Errorf("the trees differ after %d cases:\n%s", cases, d.where())
	}
	t.Logf("%d cases in %d places", cases, places)
}

// where returns the first line in which two trees differ.
func (d *difference) where() string {
	lines := make([][]string, len(d.results))
	for i, r := range d.results {
		lines[i] = strings.Split(r, "\n")
	}
	for at, line := range lines[0] {
		for i := range lines {
			if at >= len(lines[i]) || lines[i][at] != line || strings.Contains(lines[i][at], "BROKEN") {
				other := "nothing"
				if at < len(lines[i]) {
					other = lines[i][at]
				}
				return fmt.Sprintf("%s: %s\n%s: %s", d.makers[0].Name, line, d.makers[i].Name, other)
			}
		}
	}
	return "one has more than the others"
}
