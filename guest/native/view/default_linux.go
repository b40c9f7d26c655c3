package view

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/agentos-kernel/agentos/guest"
)

// Options vary the default view.
type Options struct {
	// Bare leaves everything out.
	Bare bool
	// Whole is for a program that was granted a directory as its root: that is all
	// there is, but for the two places without which no program runs.
	Whole bool
	// Host is the directory that stands for the host's root; empty is the root.
	Host string
}

// systemDirectories are the places that a host has either as directories or as
// links into /usr.
var systemDirectories = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// configuration is what a program sees of the host's /etc: what it needs to find
// its libraries, certificates, languages, and time, and nothing that tells who uses
// the host. Names may have wildcards in their last element.
var configuration = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d",
	"ssl/certs", "ssl/openssl.cnf", "ca-certificates*",
	"pki/tls/certs", "pki/tls/cert.pem", "pki/ca-trust/extracted", "pki/trust",
	"crypto-policies", "alternatives", "localtime", "timezone", "locale.*", "os-release",
	"services", "protocols", "mime.types", "terminfo", "inputrc", "profile", "bash.bashrc",
	"fonts", "gai.conf", "magic", "perl", "python3*", "java-*",
}

// Default returns the view that a native program of u has without asking, with
// wildcards and links resolved against this host. Handles are not opened: [Prepare]
// does that for a bind that has none.
func Default(u guest.User, o Options) []guest.Mount {
	if o.Bare {
		return nil
	}
	// In a root of the program's own /dev is the one place to mount things from, so
	// it comes first.
	devices := []guest.Mount{
		{Guest: "/dev", Kind: guest.Devices, Dir: true, Source: sourceDefault},
		{Guest: "/proc", Kind: guest.Procs, Dir: true, Source: sourceDefault},
	}
	if o.Whole {
		return devices
	}
	h := host{root: filepath.Clean("/" + o.Host), user: u}
	var mounts []guest.Mount
	for _, dir := range []string{"/usr", "/nix/store"} {
		if h.isDir(dir) {
			mounts = append(mounts, h.bind(dir, dir))
			h.shown = append(h.shown, dir)
		}
	}
	for _, dir := range systemDirectories {
		mounts = h.show(mounts, dir)
	}
	var entries []string
	for _, name := range configuration {
		entries = append(entries, h.glob("/etc/"+name)...)
	}
	for _, entry := range entries {
		// A link into an entry that comes later is a link all the same.
		if real, ok := h.real(entry); ok && real == entry {
			h.shown = append(h.shown, entry)
		}
	}
	for _, entry := range entries {
		mounts = h.show(mounts, entry)
	}
	mounts = append(mounts, texts(u)...)
	mounts = append(mounts, devices...)
	for _, dir := range privateDirectories(u.Home) {
		mounts = append(mounts, guest.Mount{Guest: dir, Kind: guest.Private, Dir: true, Write: true, Source: sourceDefault})
	}
	return mounts
}

// notHome are places that an empty directory must not cover. Users of services
// have their homes there.
var notHome = append([]string{"/usr", "/nix", "/etc", "/dev", "/proc"}, systemDirectories...)

// privateDirectories returns the private places, outer ones first.
func privateDirectories(home string) []string {
	dirs := []string{"/tmp", "/var/tmp", "/run"}
	beneath := func(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	if !path.IsAbs(home) || path.Clean(home) == "/" || slices.Contains(dirs, path.Clean(home)) {
		return dirs
	}
	home = path.Clean(home)
	if slices.ContainsFunc(notHome, func(dir string) bool { return beneath(home, dir) }) {
		return dirs
	}
	if slices.ContainsFunc(dirs, func(dir string) bool { return beneath(dir, home) }) {
		return append([]string{home}, dirs...)
	}
	return append(dirs, home)
}

// host answers what there is on the host.
type host struct {
	root  string
	user  guest.User
	shown []string // what the view shows of it so far, at its own place
}

// on returns the path on this machine of a path of the host.
func (h *host) on(p string) string { return filepath.Join(h.root, p) }

func (h *host) isDir(p string) bool {
	st, err := os.Stat(h.on(p))
	return err == nil && st.IsDir()
}

// glob returns the paths of the host that match, sorted.
func (h *host) glob(pattern string) []string {
	if !strings.ContainsAny(pattern, "*?[") {
		if _, err := os.Lstat(h.on(pattern)); err != nil {
			return nil
		}
		return []string{pattern}
	}
	dir, last := path.Split(pattern)
	list, err := os.ReadDir(h.on(dir))
	if err != nil {
		return nil // what cannot be listed is not shown
	}
	var found []string
	for _, e := range list {
		if ok, err := path.Match(last, e.Name()); err == nil && ok {
			found = append(found, dir+e.Name())
		}
	}
	return found
}

// real returns the path of the host that p leads to.
func (h *host) real(p string) (string, bool) {
	real, err := filepath.EvalSymlinks(h.on(p))
	if err != nil {
		return "", false
	}
	if h.root == "/" {
		return real, true
	}
	rel, err := filepath.Rel(h.root, real)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return "/" + rel, true
}

// visible reports whether the view shows the host's p at its own place.
func (h *host) visible(p string) bool {
	return slices.ContainsFunc(h.shown, func(s string) bool { return p == s || strings.HasPrefix(p, s+"/") })
}

// show adds the entry of the host at p: as a link where the host has a link to
// something that the view shows as well, else what it leads to.
func (h *host) show(mounts []guest.Mount, p string) []guest.Mount {
	st, err := os.Lstat(h.on(p))
	if err != nil {
		return mounts
	}
	real, ok := h.real(p)
	if !ok || !h.readable(real) {
		return mounts
	}
	if st.Mode()&os.ModeSymlink == 0 {
		h.shown = append(h.shown, p)
		return append(mounts, h.bind(p, real))
	}
	if !h.visible(real) {
		return append(mounts, h.bind(p, real))
	}
	// The host's own words if they lead there in one step, else the steps in
	// between may be places that the view does not have.
	target, err := os.Readlink(h.on(p))
	if err != nil {
		return mounts
	}
	direct := target
	if !path.IsAbs(direct) {
		direct = path.Join(path.Dir(p), direct)
	}
	if path.Clean(direct) != real {
		target = real
	}
	return append(mounts, guest.Mount{Guest: p, Kind: guest.Link, Data: target, Source: sourceDefault})
}

// bind shows the host's real at guest path p, read-only.
func (h *host) bind(p, real string) guest.Mount {
	return guest.Mount{Guest: p, Kind: guest.Bind, Host: h.on(real), Dir: h.isDir(real), Source: sourceDefault, Optional: true}
}

// readable reports whether the user may read the file or list the directory, by
// its owner, group, and mode. A supplementary group does not count.
func (h *host) readable(p string) bool {
	st, err := os.Stat(h.on(p))
	if err != nil {
		return false
	}
	if !st.IsDir() && !st.Mode().IsRegular() {
		return false
	}
	if h.user.UID == 0 {
		return true
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	need, mode := uint32(4), uint32(st.Mode().Perm())
	if st.IsDir() {
		need = 5
	}
	switch {
	case int(sys.Uid) == h.user.UID:
		mode >>= 6
	case int(sys.Gid) == h.user.GID:
		mode >>= 3
	}
	return mode&need == need
}
