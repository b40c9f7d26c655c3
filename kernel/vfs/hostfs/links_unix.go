//go:build unix

package hostfs

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links the host follows in one path.
const maxLinks = 40

// linksOn returns the identities of the symbolic links that resolving abs
// crosses.
func linksOn(abs string) (links []ID, err error) {
	rest := strings.Split(path.Clean(abs), "/")
	at := "/"
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		if c == "" || c == "." {
			continue
		}
		at = path.Join(at, c) // ".." is right lexically: what precedes it has been resolved
		fi, err := os.Lstat(at)
		if err != nil {
			return nil, err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if len(links) == maxLinks {
			return nil, syscall.ELOOP
		}
		dev, ino := devIno(fi)
		links = append(links, ID{Dev: dev, Ino: ino})
		target, err := os.Readlink(at)
		if err != nil {
			return nil, err
		}
		at = path.Dir(at)
		if strings.HasPrefix(target, "/") {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return links, nil
}

func devIno(fi fs.FileInfo) (dev, ino uint64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return uint64(st.Dev), uint64(st.Ino) //nolint:unconvert // their types differ from system to system
}
