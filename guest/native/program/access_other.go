//go:build !linux

package program

import (
	"io/fs"
	"os"
	"syscall"
)

// open opens a regular file of the host.
func open(p string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, syscall.EINVAL
	}
	f, err := os.Open(p)
	return f, info, err
}

// identify knows no file here: native programs run on Linux only.
func identify(fs.FileInfo) ID { return ID{} }

// mayExecute knows the mode bits only.
func mayExecute(_ *os.File, p string, info fs.FileInfo) *Error {
	if info.Mode()&0o111 == 0 {
		return &Error{Kind: NotExecutable, Problem: "is not executable", Fix: "make it executable: chmod +x " + quote(p)}
	}
	return nil
}

// privileged knows the mode bits only.
func privileged(_ string, info fs.FileInfo) string {
	if info.Mode()&fs.ModeSetuid != 0 {
		return "set-user-id"
	}
	return ""
}
