package program

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

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
