//go:build linux && !hostfs_portable

package hostfs

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/internal/pseudofs"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxMounts bounds the cache. A host whose mounts come and go (automounts,
// containers) would otherwise grow it for as long as the kernel runs.
const maxMounts = 1024

// mounts remembers verdicts about mounts. A verdict is pure: a mount's file
// system and root never change, and a unique number is never given again. Where
// numbers are reused the file system is asked at every lookup.
type mounts struct {
	mu sync.RWMutex
	ok map[mountKey]bool // whether it is visible
}

type mountKey struct {
	id     uint64
	unique bool
}

func keyOf(in *info) mountKey { return mountKey{in.mount, in.mountKind == mountUnique} }

func (m *mounts) get(k mountKey) (ok, known bool) {
	m.mu.RLock()
	ok, known = m.ok[k]
	m.mu.RUnlock()
	return ok, known
}

func (m *mounts) put(k mountKey, ok bool) {
	m.mu.Lock()
	if m.ok == nil || len(m.ok) >= maxMounts {
		m.ok = make(map[mountKey]bool)
	}
	m.ok[k] = ok
	m.mu.Unlock()
}

// known reports whether mountVisible needs no descriptor.
func (m *mounts) known(in *info) bool {
	if in.mountKind != mountUnique {
		return false
	}
	_, known := m.get(keyOf(in))
	return known
}

// mountVisible judges the mount that an object is on. fd may be negative if
// mounts.known.
func (fs *FS) mountVisible(fd int, in *info) (bool, abi.Errno) {
	if in.mountKind == mountUnique {
		if ok, known := fs.mounts.get(keyOf(in)); known {
			return ok, abi.OK
		}
	}
	var sfs unix.Statfs_t
	if err := againErr(func() error { return unix.Fstatfs(fd, &sfs) }); err != nil {
		return false, Errno(err)
	}
	if pseudofs.Name(uint32(sfs.Type)) != "" {
		if in.mountKind == mountUnique {
			fs.mounts.put(keyOf(in), false)
		}
		return false, abi.OK
	}
	if in.mountKind == mountUnknown {
		return true, abi.OK
	}
	// Only a bind mount can show the inside of a hidden object elsewhere; that
	// needs asking once a mount, even where its number may be reused.
	if in.mountKind == mountReusable {
		if ok, known := fs.mounts.get(keyOf(in)); known {
			return ok, abi.OK
		}
	}
	ok, sure := fs.mountOutsideHidden(fd)
	if sure {
		fs.mounts.put(keyOf(in), ok)
	}
	return ok, abi.OK
}

// mountOutsideHidden reports whether the mount that fd is on has its root
// outside every hidden object, and whether that is sure enough to remember.
func (fs *FS) mountOutsideHidden(fd int) (ok, sure bool) {
	asks := false
	for i := range fs.hidden {
		asks = asks || fs.hidden[i].root != ""
	}
	if !asks {
		return true, true
	}
	m, err := mountOf(fd)
	if err != nil {
		return false, false // not in the list (yet, or any more): not shown
	}
	for i := range fs.hidden {
		h := &fs.hidden[i]
		if h.root != "" && h.dev == m.dev && under(m.root, h.root) {
			return false, true
		}
	}
	return true, true
}

// placeOf returns where an object lies: its file system and its path there. It
// returns nothing if the host does not say.
func (fs *FS) placeOf(fd int) (dev, root string, err error) {
	m, err := mountOf(fd)
	if err != nil {
		return "", "", nil //nolint:nilerr // an older kernel, or a mount outside this root: documented as not covered
	}
	p, err := fs.pathOf(fd)
	if err != nil {
		return "", "", err
	}
	if !under(p, m.point) {
		return "", "", nil
	}
	return m.dev, filepath.Join(m.root, strings.TrimPrefix(p, m.point)), nil
}

// under reports whether p is dir or below it; both are clean and absolute.
func under(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// mountEntry is one line of mountinfo.
type mountEntry struct {
	dev   string // major:minor of the file system
	root  string // path within it of the mount's root
	point string // where it is mounted

	fsType string
}

// mountOf finds the mount that fd is on.
func mountOf(fd int) (mountEntry, error) {
	var st unix.Statx_t
	err := againErr(func() error { return unix.Statx(fd, "", statxFlags|unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st) })
	if err != nil {
		return mountEntry{}, err
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return mountEntry{}, unix.ENOSYS
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mountEntry{}, err
	}
	if m, ok := findMount(string(data), st.Mnt_id); ok {
		return m, nil
	}
	return mountEntry{}, unix.ENOENT
}

// findMount finds the line with the given mount number; see proc_pid_mountinfo(5).
func findMount(mountinfo string, id uint64) (mountEntry, bool) {
	for line := range strings.Lines(mountinfo) {
		if m, n, ok := parseMount(line); ok && n == id {
			return m, true
		}
	}
	return mountEntry{}, false
}

// parseMount reads one line of mountinfo: the entry and its mount number.
func parseMount(line string) (m mountEntry, id uint64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 {
		return m, 0, false
	}
	id, err := strconv.ParseUint(f[0], 10, 64)
	if err != nil {
		return m, 0, false
	}
	m = mountEntry{dev: f[2], root: unescape(f[3]), point: unescape(f[4])}
	// Optional fields end at a dash; the type of the file system follows.
	if dash := slices.Index(f[6:], "-"); dash >= 0 && 6+dash+1 < len(f) {
		m.fsType = f[6+dash+1]
	}
	return m, id, true
}

// unescape undoes the octal escapes of mountinfo (\040 for a space).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func realPath(p string) (string, error) { return filepath.EvalSymlinks(p) }
