package attack

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bare makes the calls of an attempt on the host itself, with directories of the
// host in the place of pre-opened ones. It is what the guest would see if nothing
// protected.
type bare struct {
	fds    map[int]int // of the guest, to the host's
	opened []int       // of the guest, by number of the call
	next   int
}

// naked runs calls without protection and returns what they answered.
func naked(t testing.TB, dirs, calls []string) []string {
	t.Helper()
	b := &bare{fds: map[int]int{}, next: 3}
	defer func() {
		for _, fd := range b.fds {
			_ = unix.Close(fd) // whatever it was
		}
	}()
	for _, d := range dirs {
		fd, err := unix.Open(d, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		b.fds[b.next] = fd
		b.next++
	}
	var out []string
	for i, line := range calls {
		text, err := b.call(t, words(t, line))
		if len(b.opened) == i {
			b.opened = append(b.opened, -1)
		}
		out = append(out, fmt.Sprintf("%v %q", err, text))
	}
	return out
}

// words splits a line as the guest does.
func words(t testing.TB, line string) (w []string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if q, err := strconv.QuotedPrefix(line); err == nil {
			s, err := strconv.Unquote(q)
			must(t, err)
			w, line = append(w, s), line[len(q):]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		w, line = append(w, word), rest
	}
	return w
}

func (b *bare) num(s string) int {
	if n, ok := strings.CutPrefix(s, "$"); ok {
		i, err := strconv.Atoi(n)
		if err != nil {
			panic(err)
		}
		return b.opened[i]
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// fd is the host's descriptor for one of the guest's; the missing one is -1, which
// is never AT_FDCWD.
func (b *bare) fd(s string) int {
	if fd, ok := b.fds[b.num(s)]; ok {
		return fd
	}
	return -1
}

var errNoCall = errors.New("no such call here")

func (b *bare) call(t testing.TB, w []string) (string, error) {
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	nofollow := func(i int) int {
		if arg(i) == "n" {
			return unix.AT_SYMLINK_NOFOLLOW
		}
		return 0
	}
	switch w[0] {
	case "open":
		fd, err := unix.Openat(b.fd(w[1]), w[2], hostFlags(w[3]), 0o666)
		if err == nil {
			b.fds[b.next] = fd
			b.opened = append(b.opened, b.next)
			b.next++
		}
		return "", err
	case "read", "pread":
		buf := make([]byte, 4096)
		n, err := unix.Pread(b.fd(w[1]), buf, 0)
		return string(buf[:max(n, 0)]), err
	case "write":
		_, err := unix.Write(b.fd(w[1]), []byte(w[2]))
		return "", err
	case "close":
		err := unix.Close(b.fd(w[1]))
		delete(b.fds, b.num(w[1]))
		return "", err
	case "ls":
		return b.list(w[1])
	case "stat":
		var st unix.Stat_t
		err := unix.Fstatat(b.fd(w[1]), w[2], &st, nofollow(3))
		return fmt.Sprintf("%o %d %d", st.Mode, st.Nlink, st.Size), err
	case "fstat":
		var st unix.Stat_t
		err := unix.Fstat(b.fd(w[1]), &st)
		return fmt.Sprintf("%o %d %d", st.Mode, st.Nlink, st.Size), err
	case "mkdir":
		return "", unix.Mkdirat(b.fd(w[1]), w[2], 0o777)
	case "rmdir":
		return "", unix.Unlinkat(b.fd(w[1]), w[2], unix.AT_REMOVEDIR)
	case "unlink":
		return "", unix.Unlinkat(b.fd(w[1]), w[2], 0)
	case "rename":
		return "", unix.Renameat(b.fd(w[1]), w[2], b.fd(w[3]), w[4])
	case "link":
		flags := unix.AT_SYMLINK_FOLLOW
		if arg(5) == "n" {
			flags = 0
		}
		return "", unix.Linkat(b.fd(w[1]), w[2], b.fd(w[3]), w[4], flags)
	case "symlink":
		return "", unix.Symlinkat(w[1], b.fd(w[2]), w[3])
	case "readlink":
		buf := make([]byte, 4096)
		n, err := unix.Readlinkat(b.fd(w[1]), w[2], buf)
		return string(buf[:max(n, 0)]), err
	case "times":
		ts := []unix.Timespec{{Sec: 1}, {Sec: 1}}
		return "", unix.UtimesNanoAt(b.fd(w[1]), w[2], ts, nofollow(3))
	case "ftimes":
		ts := [2]unix.Timespec{{Sec: 1}, {Sec: 1}}
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(b.fd(w[1])), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		if errno != 0 {
			return "", errno
		}
		return "", nil
	case "resize":
		return "", unix.Ftruncate(b.fd(w[1]), int64(b.num(w[2])))
	case "renumber":
		from, to := b.num(w[1]), b.num(w[2])
		if old, ok := b.fds[to]; ok && from != to {
			_ = unix.Close(old) // as dup2 does
		}
		b.fds[to] = b.fds[from]
		delete(b.fds, from)
		return "", nil
	}
	return "", errNoCall
}

func (b *bare) list(fd string) (string, error) {
	at, err := unix.Openat(b.fd(fd), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(at), "directory")
	defer func() { _ = f.Close() }() // only read
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return strings.Join(names, " "), err
}

func hostFlags(s string) int {
	f := unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	has := func(c string) bool { return strings.Contains(s, c) }
	switch {
	case has("w") && has("r"), has("*"):
		f |= unix.O_RDWR
	case has("w"):
		f |= unix.O_WRONLY
	}
	for c, flag := range map[string]int{"c": unix.O_CREAT, "d": unix.O_DIRECTORY, "x": unix.O_EXCL, "t": unix.O_TRUNC, "a": unix.O_APPEND, "n": unix.O_NOFOLLOW} {
		if has(c) {
			f |= flag
		}
	}
	return f
}
