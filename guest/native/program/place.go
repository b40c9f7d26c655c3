package program

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sees reports whether a guest path leads, in the view, to the file info is of.
func (r *resolver) sees(guest string, info fs.FileInfo) (place, *blocked, bool) {
	at, b := walk(r.view, guest)
	return at, b, b == nil && at.info != nil && os.SameFile(at.info, info)
}

// place finds the guest path under which the guest executes the file that has the
// given names on the host.
func (r *resolver) place(names []string, im *image) *Error {
	base := filepath.Base(names[0])
	var stopped *blocked
	shadowed := ""
	for i, name := range names {
		if i > 0 && (filepath.Base(name) != base || r.leaves(names, i)) {
			break
		}
		tries := []string{filepath.ToSlash(name)}
		if g, ok := r.view.Guest(name); ok && g != tries[0] {
			tries = append(tries, g)
		}
		for _, g := range tries {
			at, b, ok := r.sees(g, im.info)
			switch {
			case ok:
				if i > 0 && filepath.Dir(name) != dirOf(names[0]) {
					r.note(names[0] + " " + outside + "; it leads to " + name + ", which is run by that name")
				}
				r.x.Guest = g
				return r.environment(names[:i+1], at)
			case b == nil && at.host != "" && shadowed == "":
				shadowed = at.host
			case b != nil && stopped == nil:
				stopped = b
			}
		}
	}
	real := names[len(names)-1]
	e := &Error{Kind: NotVisible, Path: r.named, Real: real, Problem: "is " + real + ", which " + outside}
	switch lost := r.lost(names); {
	case real == names[0]:
		e.Problem = outside
	case lost != "" && lost != real && lost != names[0]:
		e.Problem = "is " + real + " by way of " + lost + ", which " + outside
	case lost == names[0]:
		e.Problem = "is " + real + ", but the name " + lost + " " + outside
	}
	if v := venvOf(names); v != "" {
		e.Problem = "belongs to the virtual environment " + v + "; it " + e.Problem
	}
	if stopped != nil && stopped.why != "" {
		e.Problem += " (" + stopped.why + ")"
	}
	e.Grants = r.lacking(names)
	if len(e.Grants) == 0 && shadowed != "" {
		e.Problem = "is another file to the guest, which finds " + shadowed + " there"
		e.Fix = "grant its directory at a guest path of its own: --read HOST:GUEST"
		return e
	}
	if len(e.Grants) == 0 && stopped != nil {
		e.Grants = []string{stopped.at}
	}
	e.Fix = r.add(e.Grants)
	return e
}

// lost returns the last of the names that the guest does not see, "" if it sees all.
func (r *resolver) lost(names []string) string {
	for _, n := range slices.Backward(names) {
		if _, ok := r.view.Guest(n); ok {
			continue
		}
		if _, b := walk(r.view, filepath.ToSlash(n)); b != nil {
			return n
		}
	}
	return ""
}

// dirOf is the real directory that a name is in.
func dirOf(name string) string {
	d, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		return filepath.Dir(name)
	}
	return d
}

// leaves reports whether going on to the i-th name leaves a virtual environment:
// its interpreter, started by another name, is another interpreter.
func (r *resolver) leaves(names []string, i int) bool {
	v := venvOf(names[:i])
	return v != "" && !beneath(names[i], v)
}

// venvOf returns the virtual environment that one of the names is in, "" if none.
func venvOf(names []string) string {
	for _, n := range names {
		d := filepath.Dir(dirOf(n))
		if exists(filepath.Join(d, "pyvenv.cfg")) {
			return d
		}
	}
	return ""
}

// lacking returns the smallest grants that would show every name of a file.
func (r *resolver) lacking(names []string) []string {
	var out []string
	add := func(p string) {
		if !slices.ContainsFunc(out, func(have string) bool { return beneath(p, have) }) {
			out = append(out, p)
		}
	}
	if v := venvOf(names); v != "" {
		if _, ok := r.view.Guest(filepath.Join(v, "pyvenv.cfg")); !ok {
			add(v)
		}
		if home := venvHome(v); home != "" {
			if _, b := walk(r.view, filepath.ToSlash(home)); b != nil {
				add(installation(filepath.Join(home, "python3"), home))
			}
		}
	}
	for i, n := range names {
		if i == 0 && len(names) > 1 && filepath.Base(n) == filepath.Base(names[1]) && n != names[1] && dirOf(n) == filepath.Dir(names[1]) {
			continue // the same entry by its real directory comes next
		}
		if _, ok := r.view.Guest(n); !ok {
			if _, b := walk(r.view, filepath.ToSlash(n)); b != nil {
				add(installation(n, n))
			}
		}
	}
	return out
}

// installation is the prefix that a program belongs to, else the given path.
func installation(p, otherwise string) string {
	if d, ok := Prefix(p); ok && beneath(p, d) {
		return d
	}
	return otherwise
}

// add says which flags would help.
func (r *resolver) add(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	fix := "add " + grants(paths)
	for _, p := range paths {
		if !isDir(p) || unfit(p) || private(p) {
			return fix // --toolchain would not grant it
		}
	}
	return fix + ", or --toolchain"
}

// environment checks what a program finds by its own name: the settings and the
// base of a virtual environment, the rest of its installation.
func (r *resolver) environment(names []string, at place) *Error {
	v := venvOf(names)
	if v == "" {
		if d, ok := Prefix(at.host); ok && beneath(at.host, d) {
			if g, seen := r.view.Guest(d); !seen {
				r.note("of its installation in " + d + " the guest sees only a part; --read " + quote(d) + " shows the rest")
			} else if _, b := walk(r.view, g); b != nil {
				r.note("of its installation in " + d + " the guest sees only a part; --read " + quote(d) + " shows the rest")
			}
		}
		return nil
	}
	e := &Error{Kind: NotVisible, Path: r.named, Real: at.host}
	cfg := filepath.Join(v, "pyvenv.cfg")
	if _, ok := r.view.Guest(cfg); !ok {
		e.Problem = "belongs to the virtual environment " + v + ", whose pyvenv.cfg " + outside
		e.Grants = r.lacking(names)
		e.Fix = r.add(e.Grants)
		return e
	}
	home := venvHome(v)
	if home == "" {
		return nil // not a file that venv writes; the interpreter will say
	}
	info, err := os.Stat(home)
	if err != nil {
		e.Kind, e.Real, e.Err = NoInterpreter, home, err
		e.Problem = "belongs to the virtual environment " + v + ", which was made by the Python in " + home + ", and that is not there"
		e.Fix = "make it anew: python3 -m venv " + quote(v)
		return e
	}
	if _, _, ok := r.sees(filepath.ToSlash(home), info); !ok {
		e.Real = home
		e.Problem = "belongs to the virtual environment " + v + ", whose Python in " + home + " " + outside
		e.Grants = r.lacking(names)
		if len(e.Grants) == 0 {
			e.Grants = []string{home}
		}
		e.Fix = r.add(e.Grants)
		return e
	}
	return nil
}

// venvHome returns what pyvenv.cfg says about where the base interpreter is.
func venvHome(v string) string {
	text, ok := readSmall(filepath.Join(v, "pyvenv.cfg"))
	if !ok {
		return ""
	}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if home := strings.TrimSpace(value); ok && strings.EqualFold(strings.TrimSpace(key), "home") && filepath.IsAbs(home) {
			return filepath.Clean(home)
		}
	}
	return ""
}
