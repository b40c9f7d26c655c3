package cli

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// need is a grant that a program needed, and why.
type need struct {
	write       bool
	host, guest string
	why         string // the first call that took it
	calls       int
}

// manyFiles is how many files of one directory a program may read before the directory
// is granted: a list of more says less.
const manyFiles = 3

// learned collects what a program did to files. It is used by one goroutine at a time.
type learned struct {
	uses  []agentos.Access // the first of each kind
	count map[agentos.Access]int
}

func (l *learned) add(x agentos.Access) {
	if x.Host == "" {
		return // private to the program: needs no grant
	}
	if l.count == nil {
		l.count = map[agentos.Access]int{}
	}
	if l.count[x]++; l.count[x] == 1 {
		l.uses = append(l.uses, x)
	}
}

// needs folds what was done into grants, none of which reaches beyond one of tops, the
// host paths of the bound. Making and removing a name takes its directory; changing a
// file that is there takes the file; a directory that is listed, or of which several
// files are read, is granted as a whole. So a temporary name, which is another each time,
// becomes its directory.
func (l *learned) needs(tops []string) []need {
	var out []need
	within := func(p string) bool {
		return slices.ContainsFunc(tops, func(top string) bool { return p == top || strings.HasPrefix(p, strings.TrimSuffix(top, "/")+"/") })
	}
	add := func(write bool, x agentos.Access, up bool) {
		host, guest := x.Host, x.Path
		if dir := filepath.Dir(host); up && within(dir) {
			host, guest = dir, path.Dir(guest)
		}
		for i := range out {
			if n := &out[i]; n.host == host && n.guest == guest {
				n.calls += l.count[x]
				if write && !n.write {
					n.write, n.why = true, reasonOf(x)
				}
				return
			}
		}
		out = append(out, need{write, host, guest, reasonOf(x), l.count[x]})
	}
	readIn := map[string]map[string]bool{} // files that are read, by their directories
	for _, x := range l.uses {
		if x.Action == abi.ActRead {
			d := path.Dir(x.Path)
			if readIn[d] == nil {
				readIn[d] = map[string]bool{}
			}
			readIn[d][x.Path] = true
		}
	}
	for _, x := range l.uses {
		switch x.Action {
		case abi.ActCreate, abi.ActDelete:
			add(true, x, true)
		case abi.ActWrite:
			add(true, x, false)
		case abi.ActList:
			add(false, x, false)
		default:
			add(false, x, len(readIn[path.Dir(x.Path)]) >= manyFiles)
		}
	}
	return slices.DeleteFunc(out, func(n need) bool {
		return slices.ContainsFunc(out, func(o need) bool {
			return o.guest != n.guest && strings.HasPrefix(n.guest, strings.TrimSuffix(o.guest, "/")+"/") && (o.write || !n.write)
		})
	})
}

func reasonOf(x agentos.Access) string { return fmt.Sprintf("%s (%s) %s", x.Syscall, x.Via, x.Path) }

// writeManifest renders a manifest.
func writeManifest(program string, args []string, needs []need, deny, env, allow, unprotect []string, head []string) string {
	var b strings.Builder
	for _, h := range head {
		b.WriteString("# " + printable(h) + "\n")
	}
	b.WriteString("version = 1\nprogram = " + tomlString(program) + "\n")
	list := func(key string, items []string) {
		if len(items) == 0 {
			return
		}
		b.WriteString(key + " = [\n")
		for _, i := range items {
			b.WriteString(i)
		}
		b.WriteString("]\n")
	}
	quoted := func(items []string) (out []string) {
		for _, i := range items {
			out = append(out, "  "+tomlString(i)+",\n")
		}
		return out
	}
	list("args", quoted(args))
	for _, write := range []bool{false, true} {
		var items []string
		for _, n := range needs {
			if n.write != write {
				continue
			}
			item := ""
			if n.why != "" {
				item = "  # " + printable(n.why)
				if n.calls > 1 {
					item += fmt.Sprintf(", %d times", n.calls)
				}
				item += "\n"
			}
			items = append(items, item+"  "+tomlString(mapping(n.host, n.guest))+",\n")
		}
		list(map[bool]string{false: "read", true: "write"}[write], items)
	}
	list("deny", quoted(deny))
	list("allow", quoted(allow))
	list("unprotect", quoted(unprotect))
	list("inherit_env", quoted(env))
	return b.String()
}

// mapping writes HOST or HOST:GUEST as manifests take it.
func mapping(host, guest string) string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace
	if guest == "" || host == guest {
		return escape(host)
	}
	return escape(host) + ":" + escape(guest)
}

// tomlString quotes s as a basic string of TOML.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
