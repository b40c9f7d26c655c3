package program

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxFiles bounds how many files one start may take, commands of env included.
const maxFiles = 16

// outside is how a file is described that the guest would not find.
const outside = "lies outside what the guest can see"

// resolver is one question.
type resolver struct {
	view  View
	s     Surroundings
	named string
	x     *Executable
}

// image is a file that was looked into.
type image struct {
	host string // real path
	info fs.FileInfo
	form form
	head []byte
	elf  elfFile
}

func (r *resolver) resolve() (*Executable, *Error) {
	abs, err := absolute(r.named)
	if err != nil {
		return nil, hostError(r.named, r.named, err)
	}
	names, err := chain(abs)
	real := names[len(names)-1]
	if err != nil {
		if real == abs {
			real = r.named
		}
		return nil, hostError(r.named, real, err)
	}
	im, e := examine(real)
	if e != nil {
		if e.Real = real; real != abs && e.Kind != Unreadable {
			e.Problem = "is " + real + ", which " + e.Problem
		}
		return nil, r.blame(e)
	}
	r.x = &Executable{Host: real, ID: identify(im.info)}
	if e := r.unshim(names); e != nil {
		return nil, e
	}
	if e := r.place(names, im); e != nil {
		return nil, e
	}
	if p := privileged(real, im.info); p != "" {
		r.note(real + " has " + p + " on the host, which has no effect here")
	}
	if e := r.needs(im); e != nil {
		return nil, e
	}
	return r.x, nil
}

// blame completes an error about the program itself.
func (r *resolver) blame(e *Error) *Error {
	e.Path = r.named
	return e
}

func (r *resolver) note(s string) { r.x.Notes = append(r.x.Notes, s) }

// examine looks into a real file and says whether the kernel would start it,
// leaving aside what else it needs.
func examine(real string) (*image, *Error) {
	f, info, err := open(real)
	if info != nil && !info.Mode().IsRegular() {
		fix := "write the program to a file first"
		if info.IsDir() {
			fix = "name a program file in it"
		}
		return nil, &Error{Kind: NotRunnable, Problem: irregular(info.Mode()), Fix: fix}
	}
	if err != nil {
		return nil, hostError(real, real, err)
	}
	defer func() { _ = f.Close() }() // only read from
	im := &image{host: real, info: info, head: make([]byte, headSize)}
	n, err := f.ReadAt(im.head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, hostError(real, real, err)
	}
	im.head = im.head[:n]
	var e *Error
	if im.form, e = classify(real, im.head); e != nil {
		return nil, e
	}
	if im.form == formELF {
		var problem string
		if im.elf, problem = parseELF(f, info.Size()); problem != "" {
			return nil, &Error{Kind: NotRunnable, Problem: problem, Fix: "build or copy it again"}
		}
		if e := im.elf.runs(""); e != nil {
			return nil, e
		}
	}
	if e := mayExecute(f, real, info); e != nil {
		return nil, e
	}
	return im, nil
}

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

// needs follows what the start of a file takes: interpreters, commands of env, the
// dynamic loader.
func (r *resolver) needs(im *image) *Error {
	depth := 0
	for range maxFiles {
		if im.form == formELF {
			return r.loader(im)
		}
		if depth == maxDepth {
			return r.blame(&Error{Kind: NotRunnable, Real: im.host, Err: syscall.ELOOP,
				Problem: "is a script whose interpreter is a script, and so on, deeper than the kernel follows", Fix: "name a program in the #! line of " + im.host})
		}
		line, problem, fix := parseShebang(im.head)
		if problem != "" {
			return r.blame(&Error{Kind: NotRunnable, Real: im.host, Problem: r.subject(im) + problem, Fix: fix})
		}
		next, e := r.need(im, line.interp, Interpreter)
		if e != nil {
			return e
		}
		depth++
		if line.isEnv() && next.form == formELF {
			if e := r.loader(next); e != nil {
				return e
			}
			if next, e = r.command(im, line.arg); e != nil {
				return e
			}
			depth = 0 // env executes it anew
		}
		im = next
	}
	return r.blame(&Error{Kind: NotRunnable, Real: im.host, Problem: "takes more than 16 files to start", Fix: "name a program in the #! line of " + im.host})
}

// subject begins a sentence about a file other than the program.
func (r *resolver) subject(im *image) string {
	if im.host == r.x.Host {
		return ""
	}
	return "needs " + im.host + ", which "
}

// need checks a file that another names by a guest path, and records it.
func (r *resolver) need(by *image, guest string, role Role) (*image, *Error) {
	subject := r.subject(by)
	e := &Error{Kind: NoInterpreter, Path: r.named, Real: guest}
	if strings.HasSuffix(guest, "\r") {
		e.Problem = subject + "has Windows line ends: its #! line asks for \"" + strings.TrimSuffix(guest, "\r") + `\r", and there is no such file`
		e.Fix = "convert it: sed -i 's/\\r$//' " + quote(by.host)
		e.Real = by.host
		return nil, e
	}
	what := "is run by " + guest
	if role == Loader {
		what = "needs the dynamic loader " + guest
	}
	if !path.IsAbs(guest) {
		e.Kind, e.Problem, e.Fix = NotRunnable, subject+what+", which is relative to wherever it is started", "write its whole path, or #!/usr/bin/env "+quote(guest)
		if role == Loader {
			e.Fix = "link it again with an absolute path"
		}
		return nil, e
	}
	names, herr := chain(guest)
	at, b := walk(r.view, guest)
	if b != nil {
		if herr == nil && exists(guest) { // the host has it
			e.Kind, e.Real, e.Grants = NotVisible, names[len(names)-1], r.lacking(names)
			e.Problem = subject + what + ", which " + outside
			if e.Real != guest {
				e.Problem = subject + what + " (" + e.Real + "), which " + outside
			}
			if sh := findShim(names, &r.s); sh != nil && sh.real != "" {
				e.Real, e.Grants = sh.real, []string{installation(sh.real, sh.real)}
				e.Problem = subject + what + ", a shim of " + sh.tool + " for " + sh.real + ", which " + outside
				e.Fix = "name " + sh.real + " in its #! line and add " + grants(e.Grants)
				return nil, e
			}
			if len(e.Grants) == 0 {
				e.Grants = []string{b.at}
			}
			e.Fix = r.add(e.Grants)
			return nil, e
		}
		e.Problem, e.Fix, e.Err = subject+what+", which is not installed", missingFix(guest, role), herr
		return nil, e
	}
	if at.info == nil || !at.info.Mode().IsRegular() {
		e.Kind, e.Problem, e.Fix = NotRunnable, subject+what+", which is not a program", "name one in its #! line"
		return nil, e
	}
	if herr == nil {
		if e := r.unshim(names); e != nil {
			e.Problem = subject + what + ", which " + e.Problem
			return nil, e
		}
		if v := venvOf(names); v != "" && role != Loader {
			if e := r.environment(names, at); e != nil {
				e.Problem = subject + what + ", which " + e.Problem
				return nil, e
			}
		}
	}
	im, e := examine(at.host)
	if e != nil {
		e.Path, e.Real, e.Problem = r.named, at.host, subject+what+", which "+e.Problem
		return nil, e
	}
	r.x.Needs = append(r.x.Needs, Need{Role: role, Guest: guest, Host: at.host})
	return im, nil
}

// missingFix says what to do about an interpreter or loader that the host lacks.
func missingFix(guest string, role Role) string {
	base := path.Base(guest)
	switch {
	case strings.HasPrefix(guest, "/nix/store/"):
		return "install its Nix package again: the store no longer has it"
	case role == Loader && strings.HasPrefix(base, "ld-musl"):
		return "install musl, or take a build for glibc or a static one"
	case role == Loader && strings.HasPrefix(base, "ld-linux"):
		return "install glibc's loader (gcompat on Alpine, nix-ld on NixOS), or take a static build"
	case role == Loader:
		return "install it, or take a static build"
	}
	return "install " + base + ", or name another interpreter in its #! line"
}

// loader checks the dynamic loader of an ELF file.
func (r *resolver) loader(im *image) *Error {
	if im.elf.interp == "" {
		return nil
	}
	next, e := r.need(im, im.elf.interp, Loader)
	if e != nil {
		return e
	}
	if next.form != formELF {
		return r.blame(&Error{Kind: NoInterpreter, Real: next.host, Problem: r.subject(im) + "needs the dynamic loader " + im.elf.interp + ", which is a script"})
	}
	return nil
}

// command finds what env runs for a #! line, as env itself does in the guest.
func (r *resolver) command(by *image, arg string) (*image, *Error) {
	subject := r.subject(by)
	name, search, problem := envCommand(arg)
	if problem != "" {
		e := &Error{Kind: NotRunnable, Path: r.named, Real: by.host, Problem: subject + problem, Fix: "write #!/usr/bin/env COMMAND"}
		if strings.ContainsAny(arg, " \t") {
			e.Fix = "write #!/usr/bin/env -S " + arg
		}
		return nil, e
	}
	if strings.HasSuffix(name, "\r") {
		return r.need(by, name, Command)
	}
	if strings.Contains(name, "/") {
		return r.need(by, name, Command)
	}
	if search == "" {
		search = r.s.path()
	}
	elsewhere, shown := r.callers(name)
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) {
			continue // the working directory is not known here, and no place to find interpreters
		}
		g := path.Join(dir, name)
		at, b := walk(r.view, g)
		if b != nil || at.info == nil || !at.info.Mode().IsRegular() || at.info.Mode()&0o111 == 0 {
			continue
		}
		if info, err := os.Stat(elsewhere); err == nil && !os.SameFile(info, at.info) {
			r.note(name + " of its #! line is " + g + " to the guest; on your PATH it is " + shown)
		}
		return r.need(by, g, Command)
	}
	e := &Error{Kind: NoInterpreter, Path: r.named, Real: name}
	e.Problem = subject + "is run by " + name + " (through env), which is in no directory of the guest's PATH"
	e.Fix = "install " + name + ", or name another interpreter in its #! line"
	if elsewhere != "" {
		names, err := chain(elsewhere)
		if err != nil {
			return nil, e
		}
		e.Kind, e.Real, e.Grants = NotVisible, names[len(names)-1], r.lacking(names)
		e.Problem += "; on yours it is " + shown
		e.Fix = "add "
		if len(e.Grants) > 0 {
			e.Fix += grants(e.Grants) + " "
		}
		e.Fix += "--env PATH=" + quote(filepath.Dir(elsewhere)+":"+search)
	}
	return nil, e
}

// callers finds a command on the caller's PATH: the file that it is in the end, a
// shim's target included, and how to speak of it.
func (r *resolver) callers(name string) (real, shown string) {
	for _, dir := range filepath.SplitList(r.s.env("PATH")) {
		p := filepath.Join(dir, name)
		info, err := os.Stat(p)
		if !filepath.IsAbs(dir) || err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		names, err := chain(p)
		if err != nil {
			continue
		}
		if sh := findShim(names, &r.s); sh != nil && sh.real != "" {
			return sh.real, sh.real + " (by " + sh.tool + ")"
		}
		return p, p
	}
	return "", ""
}

// unshim refuses a version manager's shim whose real program the guest would not
// find, or that needs a service of the host.
func (r *resolver) unshim(names []string) *Error {
	sh := findShim(names, &r.s)
	if sh == nil {
		return nil
	}
	e := &Error{Kind: NotVisible, Path: r.named, Real: sh.real}
	if sh.real == "" {
		e.Kind = NoInterpreter
		if sh.service {
			e.Kind = NotRunnable
		}
		e.Real, e.Problem, e.Fix = names[len(names)-1], "is "+sh.what()+": "+sh.problem, sh.fix
		return e
	}
	info, err := os.Stat(sh.real)
	if err != nil {
		return hostError(r.named, sh.real, err)
	}
	_, b := walk(r.view, filepath.ToSlash(names[0]))
	_, _, seen := r.sees(filepath.ToSlash(sh.real), info)
	if b == nil && seen {
		return nil // everything is granted: it may find its own way
	}
	e.Problem = "is " + sh.what() + " for " + sh.real + " (" + sh.by + ")"
	if seen {
		e.Problem += "; the shim itself " + outside
		e.Fix = "name " + sh.real + " instead, or add --toolchain"
		return e
	}
	e.Problem += ", which " + outside
	e.Grants = []string{installation(sh.real, sh.real)}
	e.Fix = "add --toolchain, or name " + sh.real + " and add " + grants(e.Grants)
	return e
}
