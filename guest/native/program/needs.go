package program

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// maxFiles bounds how many files one start may take, commands of env included.
const maxFiles = 16

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
