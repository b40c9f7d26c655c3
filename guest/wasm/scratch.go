package wasm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// scratch is where modules are compiled into, beneath a directory that several
// kernels share. Each kernel holds a lock for as long as it lives, and what it
// makes carries its name, so that the next one can tell what a dead kernel left.
type scratch struct {
	dir  string
	id   string
	lock *os.File
	own  bool // the directory is this kernel's alone and goes with it
}

// The names in the directory.
const (
	scratchPrefix = "tmp-" // tmp-ID-…: being filled by kernel ID
	lockDir       = "locks"
	kernelPrefix  = "kernel-" // locks/kernel-ID: locked while kernel ID lives
)

// openScratch prepares dir, takes a name in it, and clears what dead kernels
// left.
func openScratch(dir string) (*scratch, error) {
	if err := os.MkdirAll(filepath.Join(dir, lockDir), 0o700); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, lockDir)} {
		if err := private(d); err != nil {
			return nil, err
		}
	}
	s := &scratch{dir: dir}
	if err := s.claim(); err != nil {
		return nil, err
	}
	s.sweep()
	return s, nil
}

// temporary is scratch where nothing is kept: a directory of the user's in the
// place for temporary files or, where somebody else has taken its name, a new one.
func temporary() (*scratch, error) {
	if s, err := openScratch(filepath.Join(os.TempDir(), fmt.Sprintf("agentos-wasm-%d", os.Geteuid()))); err == nil {
		return s, nil
	}
	dir, err := os.MkdirTemp("", "agentos-wasm-")
	if err != nil {
		return nil, err
	}
	s, err := openScratch(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.own = true
	return s, nil
}

// claims bounds how often claim tries another name: one attempt fails only if a
// sweep looks at the new lock within microseconds.
const claims = 32

func (s *scratch) claim() error {
	for range claims {
		var raw [8]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return err
		}
		s.id = hex.EncodeToString(raw[:])
		f, err := os.OpenFile(s.lockPath(s.id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		err = tryLock(f)
		if err == nil && named(f, s.lockPath(s.id)) {
			s.lock = f
			return nil
		}
		if err := errors.Join(f.Close(), unless(err, errLocked)); err != nil {
			return err
		}
	}
	return fmt.Errorf("no name was free in %d attempts", claims)
}

// named reports whether f still has its name: a sweep may have taken the lock in
// the instant before we did, and removed it.
func named(f *os.File, path string) bool {
	at, err := os.Lstat(path)
	if err != nil {
		return false
	}
	is, err := f.Stat()
	return err == nil && os.SameFile(at, is)
}

// unless returns err unless it is expected.
func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func (s *scratch) lockPath(id string) string {
	return filepath.Join(s.dir, lockDir, kernelPrefix+id)
}

// make makes a private directory to fill.
func (s *scratch) make() (string, error) {
	return os.MkdirTemp(s.dir, scratchPrefix+s.id+"-")
}

// sweep removes what kernels left that are dead: those whose lock can be taken,
// or is gone. What cannot be removed stays for the next sweep.
func (s *scratch) sweep() {
	left, err := filepath.Glob(filepath.Join(s.dir, scratchPrefix+"*"))
	if err != nil {
		return
	}
	dead := map[string]bool{s.id: false}
	for _, dir := range left {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), scratchPrefix), "-")
		if _, known := dead[id]; !known {
			dead[id] = s.bury(id)
		}
		if dead[id] {
			_ = os.RemoveAll(dir)
		}
	}
	locks, err := filepath.Glob(s.lockPath("*"))
	if err != nil {
		return
	}
	for _, l := range locks {
		if id := strings.TrimPrefix(filepath.Base(l), kernelPrefix); id != s.id {
			s.bury(id)
		}
	}
}

// bury reports whether kernel id is dead, and then removes its lock. Nobody can
// take the name up again: names are not used twice.
func (s *scratch) bury(id string) bool {
	f, err := os.OpenFile(s.lockPath(id), os.O_RDWR, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	dead := tryLock(f) == nil && os.Remove(f.Name()) == nil
	return f.Close() == nil && dead
}

// close gives the name back. Nothing may be in the making any more.
func (s *scratch) close() error {
	err := errors.Join(os.Remove(s.lock.Name()), s.lock.Close())
	if s.own {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}
