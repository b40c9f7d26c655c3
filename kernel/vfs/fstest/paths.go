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
	n := 0
	play := func(ops ...operation) {
		t.Helper()
		d := &difference{makers: makers, results: make([]string, len(players))}
		for ; d.at < len(ops); d.at++ {
			for i, p := range players {
				d.results[i] = p.play(ops[d.at])
			}
			if d.differ() {
				t.Errorf("the last of %v:\n%s", ops[:d.at+1], d)
			}
		}
	}
	// stage makes a place with what links lead to, and returns its path.
	stage := func() string {
		at := fmt.Sprintf("g%d/c%d/", n/200, n%200)
		if n%200 == 0 {
			play(operation{kind: "mkdir", path: at[:strings.IndexByte(at, '/')], base: -1, mode: 0o755})
		}
		n++
		play(rooted([]operation{{kind: "mkdir", path: at, mode: 0o755}, file(at + "file"), {kind: "mkdir", path: at + "dir", mode: 0o755}, file(at + "dir/in")})...)
		if !caps.NoSymlinks {
			play(rooted([]operation{{kind: "symlink", path: at + "hop", to: "dir"}})...)
		}
		return at
	}
	time := int64(1_000_000_007)
	for _, x := range kinds {
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
				at := stage()
				op.path = at + form
				play(rooted(append(x.make(at+"x"), op))...)
			}
		}
	}
	for _, x := range kinds {
		for _, y := range kinds {
			for _, op := range []operation{{kind: "rename"}, {kind: "link"}, {kind: "link", follow: true}} {
				if caps.NoLinks && op.kind == "link" {
					continue
				}
				for _, slash := range []string{"x y", "x/ y", "x y/", "x/ y/", "x x", "x x/y", "x/y x", "x/. y", "x/in y/in"} {
					at := stage()
					from, to, _ := strings.Cut(slash, " ")
					op.path, op.to = at+from, at+to
					play(rooted(append(append(x.make(at+"x"), y.make(at+"y")...), op))...)
				}
			}
		}
	}
	d := &difference{makers: makers, results: make([]string, len(players))}
	for i, p := range players {
		d.results[i] = p.tree(p.prefix+"/", map[uint64]string{})
	}
	if d.differ() {
		t.Errorf("the trees differ after %d cases:\n%s", n, d.where())
	}
	t.Logf("%d cases", n)
}

// rooted gives operations the root for their base.
func rooted(ops []operation) []operation {
	for i := range ops {
		ops[i].base, ops[i].toBase = -1, -1
	}
	return ops
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
