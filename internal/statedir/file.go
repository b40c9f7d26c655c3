package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// tmpPrefix marks a file that is being written and has not been renamed yet.
const tmpPrefix = ".tmp-"

// Size limits of what is read back, in bytes. The directory is the user's own, but
// a damaged file must not exhaust the reader.
const (
	maxSmall   = 64 << 10
	maxReport  = 64 << 20
	maxDenials = 4 << 20
)

// writeNew writes a file that does not exist yet. Readers may see it half-written,
// so it is for directories that nobody reads yet.
func writeNew(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// writeAtomic replaces a file: readers see the old content or the new one. With
// durable, the content is on the disk before it gets its name, so that after a
// power failure a file is whole or absent.
func writeAtomic(root *os.Root, name string, data []byte, durable bool) error {
	tmp := randomName(tmpPrefix)
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		if rerr := root.Remove(tmp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	fi, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // opening a FIFO would wait for ever
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b, nil
}

// readVersion reads a version file: one decimal number and a newline.
func readVersion(root *os.Root, name string) (int, error) {
	b, err := readBounded(root, name, maxSmall)
	if err != nil {
		return 0, err
	}
	v, err := strconv.Atoi(strings.TrimSuffix(string(b), "\n"))
	if err != nil || v < 1 {
		return 0, fmt.Errorf("%s holds no version number: %.20q", name, b)
	}
	return v, nil
}

// names lists a directory, in no order.
func names(root *os.Root) ([]string, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	list, err := f.Readdirnames(-1)
	return list, errors.Join(err, f.Close())
}

// ignoreMissing turns "does not exist" into success.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
