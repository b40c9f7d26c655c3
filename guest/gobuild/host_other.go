//go:build !unix

package gobuild

import (
	"errors"
	"io/fs"
	"os"
)

func fileID(fs.FileInfo) string { return "" }

func foreign(_, _ fs.FileInfo) bool { return false }

func tryLock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }
