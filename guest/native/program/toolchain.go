package program

import (
	"path/filepath"
	"slices"
)

// Install is what --toolchain adds to a run.
type Install struct {
	Program string   // the program to run: that of a shim, else the one that was named
	Dirs    []string // the installations it belongs to, to be read
}

// Toolchain finds the installations that a program needs: its own, that of its
// interpreter, and the base of a virtual environment. What every guest sees
// without asking is not among them. Interpreters and bases are named by files that
// the caller may not have written; of theirs only a known runtime counts, so that
// no #! line picks a directory to be read. Errors are *[Error]s.
func Toolchain(host string, s Surroundings) (*Install, error) {
	in := &Install{Program: host}
	abs, err := absolute(host)
	if err != nil {
		return nil, hostError(host, host, err)
	}
	for depth := range maxDepth {
		names, err := chain(abs)
		if err != nil {
			if depth > 0 {
				break // an interpreter that is not there is for Resolve to name
			}
			return nil, hostError(host, names[len(names)-1], err)
		}
		if sh := findShim(names, &s); sh != nil {
			if sh.real == "" {
				return nil, &Error{Kind: NoInterpreter, Path: host, Real: names[len(names)-1], Problem: "is " + sh.what() + ": " + sh.problem, Fix: sh.fix}
			}
			abs = sh.real
			if depth == 0 {
				in.Program = sh.real
			}
			if names, err = chain(abs); err != nil {
				return nil, hostError(host, sh.real, err)
			}
		}
		in.add(names, depth > 0)
		im, e := examine(names[len(names)-1])
		if e != nil || im.form != formScript {
			break // what does not start is for Resolve to say
		}
		line, problem, _ := parseShebang(im.head)
		if problem != "" || !filepath.IsAbs(line.interp) || line.isEnv() {
			break // env looks in the guest's PATH
		}
		abs = line.interp
	}
	return in, nil
}

// add records the installations that the names of a program lie in.
func (in *Install) add(names []string, runtime bool) {
	put := func(d string) {
		for _, top := range [...]string{"/usr", "/nix/store"} {
			if beneath(d, top) {
				return
			}
		}
		if !slices.Contains(in.Dirs, d) {
			in.Dirs = append(in.Dirs, d)
		}
	}
	if v := venvOf(names); v != "" && !unfit(v) && !private(v) {
		put(v)
		if home := venvHome(v); home != "" {
			for _, n := range [...]string{"python3", "python", "pypy3"} {
				if d, ok := prefix(filepath.Join(home, n), true); ok {
					put(d)
					break
				}
			}
		}
	}
	// Only the real file's: a link into an installation is followed by the guest
	// as well, and where it stands is no installation.
	if d, ok := prefix(names[len(names)-1], runtime); ok {
		put(d)
	}
}
