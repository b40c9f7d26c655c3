//go:build !unix

package wasm

import (
	"errors"
	"os"
	"os/exec"
)

// Nothing runs on these systems; the package only has to build.

var errLocked = errors.New("locked")

func ownGroup(*exec.Cmd)     {}
func confine(Limits) error   { return errors.ErrUnsupported }
func outOfMemory(error) bool { return false }
func outOfTime(error) bool   { return false }
func tryLock(*os.File) error { return errors.ErrUnsupported }
func private(dir string) error {
	return &os.PathError{Op: "use", Path: dir, Err: errors.ErrUnsupported}
}
