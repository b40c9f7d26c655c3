package program

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links the kernel of the host follows for a path.
const maxLinks = 40

// place is where a guest path leads.
type place struct {
	guest string      // canonical
	host  string      // "" for what the view made
	info  fs.FileInfo // nil for what the view made
}

// blocked says why a guest path leads nowhere.
type blocked struct {
	at   string // the canonical guest path at which it ends
	link string // the link followed last, as the guest sees it, "" if none was
	host string // the host path that was looked at, "" if the view shows none there
	why  string // the view's own reason
	err  error  // of the host, or ELOOP; nil if the view has nothing there
}

// walk follows a guest path as the kernel would for the guest: symbolic links,
// the host's included, are followed inside the view.
func walk(v View, p string) (place, *blocked) {
	todo := components(p)
	cur := place{guest: "/"}
	if e := v.Look("/"); e.Kind == OnHost {
		cur.host = e.Host
	}
	link, links := "", 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		next := path.Join(cur.guest, name)
		e := v.Look(next)
		stop := &blocked{at: next, link: link, host: e.Host, why: e.Why}
		target := ""
		switch e.Kind {
		case Absent:
			return place{}, stop
		case Folder, Other:
			cur = place{guest: next}
			if e.Kind == Other && len(todo) > 0 {
				stop.err = syscall.ENOTDIR
				return place{}, stop
			}
			continue
		case Symlink:
			target = e.Target
		case OnHost:
			info, err := os.Lstat(e.Host)
			if err != nil {
				stop.err = err
				return place{}, stop
			}
			if info.Mode()&fs.ModeSymlink == 0 {
				if len(todo) > 0 && !info.IsDir() {
					stop.err = syscall.ENOTDIR
					return place{}, stop
				}
				cur = place{guest: next, host: e.Host, info: info}
				continue
			}
			if target, err = os.Readlink(e.Host); err != nil {
				stop.err = err
				return place{}, stop
			}
		}
		if links++; links > maxLinks {
			stop.err = syscall.ELOOP
			return place{}, stop
		}
		link = next
		if path.IsAbs(target) {
			cur = place{guest: "/"}
		}
		todo = append(components(target), todo...)
	}
	return cur, nil
}

// components splits a path. "." goes; ".." stays, since it means the parent of
// where a link has led.
func components(p string) []string {
	var out []string
	for c := range strings.SplitSeq(p, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	return out
}

// chain follows the symbolic links at the end of an absolute host path and
// returns every name that the file has on the way, the last being the real one.
// In each the directory is real already, but in the first, which is p.
func chain(p string) ([]string, error) {
	names := []string{p}
	for range maxLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(p))
		if err != nil {
			return names, err
		}
		real := filepath.Join(dir, filepath.Base(p))
		if real != names[len(names)-1] {
			names = append(names, real)
		}
		target, err := os.Readlink(real)
		if err != nil {
			if _, lerr := os.Lstat(real); lerr != nil {
				return names, lerr
			}
			return names, nil // not a link
		}
		if !filepath.IsAbs(target) {
			target = dir + string(filepath.Separator) + target // not cleaned: .. is the parent of where a link leads
		}
		if base := filepath.Base(target); base == ".." || base == "." || strings.HasSuffix(target, "/") {
			if p, err = filepath.EvalSymlinks(target); err != nil {
				return names, err
			}
			continue
		}
		parent, err := filepath.EvalSymlinks(target[:len(target)-len(filepath.Base(target))])
		p = filepath.Join(parent, filepath.Base(target))
		if err != nil {
			return append(names, filepath.Clean(target)), err
		}
	}
	return names, &fs.PathError{Op: "follow", Path: p, Err: syscall.ELOOP}
}

// hostError turns an error of looking at a host file into one of ours.
func hostError(named, at string, err error) *Error {
	e := &Error{Path: named, Real: at, Err: err}
	switch {
	case errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links"):
		e.Kind, e.Problem, e.Fix = NotRunnable, "is a symbolic link that leads round in a circle", "point it at the program"
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		e.Kind, e.Problem, e.Fix = NotFound, "no such file", "check the path"
		if at != named {
			e.Problem, e.Fix = "is a symbolic link to "+at+", which does not exist", "point it at the program, or install what is missing"
		}
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Problem, e.Fix = Unreadable, "permission denied", "check its permissions and those of the directories above it"
		if at != named {
			e.Problem = "is " + at + ", which you may not read"
		}
	default:
		e.Kind, e.Problem = Unreadable, cause(err).Error()
	}
	return e
}

// cause strips the operation and path that the message names already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
