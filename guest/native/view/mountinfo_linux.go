package view

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted is one line of mountinfo.
type mounted struct {
	id     uint64
	path   string // from the root of the thread that reads
	fstype string
}

// mountID returns the number by which mountinfo names the mount that fd lies on.
func mountID(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, hint("statx", err)
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, fmt.Errorf("statx tells no mount: %w", unix.ENOSYS)
	}
	return st.Mnt_id, nil
}

// mountsOf reads a mountinfo.
func mountsOf(dir int, name string) ([]mounted, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, hint("open "+name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	b, err := io.ReadAll(f)
	if err := closing(f, err); err != nil {
		return nil, err
	}
	return parseMountinfo(string(b))
}

// closing closes f and returns the first of the two errors.
func closing(f io.Closer, err error) error {
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// parseMountinfo reads the lines that proc(5) describes:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// A line that does not look like that is an error: what it would have said may be
// what must be hidden.
func parseMountinfo(text string) ([]mounted, error) {
	var list []mounted
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := 6
		for dash < len(f) && f[dash] != "-" {
			dash++
		}
		if dash+1 >= len(f) {
			return nil, fmt.Errorf("mountinfo: %q is not understood", line)
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %q: %w", line, err)
		}
		list = append(list, mounted{id: id, path: unescape(f[4]), fstype: f[dash+1]})
	}
	return list, nil
}

// unescape undoes the octal escapes of blanks and backslashes in a mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
