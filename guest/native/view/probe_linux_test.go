package view

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agentos-kernel/agentos/internal/pseudofs"
	"golang.org/x/sys/unix"
)

// probes look at the world from inside.
var probes = map[string]func(*world){
	"world":  probeWorld,
	"grants": probeGrants,
	"quota":  probeQuota,
	"whole":  probeWhole,
	"bare":   probeBare,
}

// names lists a directory.
func (w *world) names(dir string) []string {
	list, err := os.ReadDir(dir)
	if err != nil {
		w.errorf("list %s: %v", dir, err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// close closes a file that should not have been opened.
func (w *world) close(f *os.File) {
	if f == nil {
		return
	}
	if err := f.Close(); err != nil {
		w.errorf("%v", err)
	}
}

// absent reports an error if something is at one of the paths.
func (w *world) absent(paths ...string) {
	for _, p := range paths {
		if _, err := os.Lstat(p); !errors.Is(err, unix.ENOENT) {
			w.errorf("%s: %v, should not exist", p, err)
		}
	}
}

// unwritable reports an error if a file can be made in one of the directories.
func (w *world) unwritable(dirs ...string) {
	for _, dir := range dirs {
		if f, err := os.Create(filepath.Join(dir, "made-by-test")); err == nil {
			w.errorf("%s can be written to", dir)
			w.close(f)
		}
	}
}

// writable reports an error if a file cannot be made in one of the directories.
func (w *world) writable(dirs ...string) {
	for _, dir := range dirs {
		p := filepath.Join(dir, "made-by-test")
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			w.errorf("%s: %v", dir, err)
			continue
		}
		if err := os.Remove(p); err != nil {
			w.errorf("%s: %v", dir, err)
		}
	}
}

func (w *world) mode(p string, mode os.FileMode) {
	st, err := os.Stat(p)
	if err != nil {
		w.errorf("%v", err)
	} else if st.Mode() != mode {
		w.errorf("%s has mode %v, not %v", p, st.Mode(), mode)
	}
}

// unreadable reports an error if one of the files can be opened for reading.
func (w *world) unreadable(paths ...string) {
	for _, p := range paths {
		f, err := os.Open(p)
		if err == nil {
			w.errorf("%s can be read", p)
			w.close(f)
		}
	}
}

func probeWorld(w *world) {
	for _, p := range []string{"/usr/bin/env", "/bin/sh", "/etc/passwd", "/etc/hosts", "/proc/self/exe"} {
		if _, err := os.Stat(p); err != nil {
			w.errorf("%v", err)
		}
	}
	home := strings.Split(w.User.Home, "/")[1]
	for _, name := range w.names("/") {
		if !slices.Contains([]string{"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "probe", "proc", "run", "sbin", "tmp", "usr", "var", home}, name) {
			w.errorf("/%s exists", name)
		}
	}
	w.absent("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/ssl/private", "/etc/fstab", "/etc/environment", "/sys", "/boot", "/opt", "/srv", "/mnt", "/media", "/var/lib", "/var/log", "/dev/kmsg", "/dev/mem", "/dev/.agentos", "/.agentos")
	if got := w.names("/var"); !slices.Equal(got, []string{"tmp"}) {
		w.errorf("/var holds %v", got)
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm", w.User.Home} {
		if got := w.names(dir); len(got) != 0 {
			w.errorf("%s holds %v", dir, got)
		}
	}
	w.writable("/tmp", "/var/tmp", "/run", "/dev/shm", w.User.Home)
	w.unwritable("/", "/etc", "/usr", "/usr/bin", "/dev", "/var", "/proc", "/proc/sys", "/dev/pts")
	w.mode("/", os.ModeDir|0o755)
	w.mode("/tmp", os.ModeDir|os.ModeSticky|0o777)
	w.mode("/var/tmp", os.ModeDir|os.ModeSticky|0o777)
	w.mode("/dev/shm", os.ModeDir|os.ModeSticky|0o777)
	w.mode("/run", os.ModeDir|0o755)
	w.mode(w.User.Home, os.ModeDir|0o700)
	if err := os.WriteFile("/etc/passwd", []byte("x"), 0o644); err == nil {
		w.errorf("/etc/passwd can be changed")
	}
	if b, err := os.ReadFile("/etc/passwd"); err != nil || !strings.Contains(string(b), w.User.Home) {
		w.errorf("passwd: %q, %v", b, err)
	}

	// There is nothing around the root, nor has pid 1 another.
	for _, p := range []string{"/..", "/../..", "/proc/self/root/..", "/proc/1/root", "/proc/1/root/..", "/proc/1/cwd"} {
		list, err := os.ReadDir(p)
		if err != nil {
			continue // not this program's to look at
		}
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		if !slices.Equal(names, w.names("/")) {
			w.errorf("%s holds %v", p, names)
		}
	}
	w.names("/proc")
	for _, name := range w.names("/proc") {
		if pid, err := strconv.Atoi(name); err == nil && pid > 10 {
			w.errorf("/proc shows process %d", pid)
		}
	}
	if b, err := os.ReadFile("/proc/1/comm"); err != nil || string(b) != "cat\n" {
		w.errorf("pid 1 is %q, %v", b, err)
	}
	if b, err := os.ReadFile("/proc/self/comm"); err != nil || len(b) == 0 {
		w.errorf("/proc/self: %q, %v", b, err)
	}
	for _, name := range []string{"cpuinfo", "meminfo", "stat", "sys/kernel/osrelease", "self/maps"} {
		if b, err := os.ReadFile("/proc/" + name); err != nil || len(b) == 0 {
			w.errorf("/proc/%s: %v", name, err)
		}
	}
	for _, name := range maskedProcs {
		w.unreadable("/proc/" + name)
	}
	for _, name := range []string{"sys/kernel/core_pattern", "sys/kernel/hostname", "sysrq-trigger", "irq/default_smp_affinity", "pressure/cpu", "sys/net/ipv4/ip_forward"} {
		if f, err := os.OpenFile("/proc/"+name, os.O_WRONLY, 0); err == nil {
			w.errorf("/proc/%s can be written to", name)
			w.close(f)
		}
	}
	for _, name := range []string{"comm", "oom_score_adj", "mem", "attr/current"} {
		if f, err := os.OpenFile("/proc/self/"+name, os.O_WRONLY, 0); err == nil {
			w.errorf("/proc/self/%s can be written to", name)
			w.close(f)
		}
	}
	// What leads elsewhere is as writable as where it leads to.
	if f, err := os.OpenFile("/dev/stdout", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666); err != nil {
		w.errorf("%v", err)
	} else {
		w.close(f)
	}

	if got := w.names("/dev"); !slices.Equal(got, []string{"fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}) {
		w.errorf("/dev holds %v", got)
	}
	if err := os.WriteFile("/dev/null", []byte("x"), 0); err != nil {
		w.errorf("%v", err)
	}
	if err := os.WriteFile("/dev/full", []byte("x"), 0); !errors.Is(err, unix.ENOSPC) {
		w.errorf("/dev/full: %v", err)
	}
	for _, name := range []string{"zero", "urandom", "random"} {
		f, err := os.Open("/dev/" + name)
		if err != nil {
			w.errorf("%v", err)
			continue
		}
		if _, err := f.Read(make([]byte, 8)); err != nil {
			w.errorf("%v", err)
		}
		w.close(f)
	}
	if _, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); !errors.Is(err, unix.ENXIO) {
		w.errorf("/dev/tty without a terminal: %v", err)
	}
	probeTerminal(w)
	probeMounts(w)
}

// probeTerminal opens a terminal; it must be the first of the world.
func probeTerminal(w *world) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.errorf("%v", err)
		return
	}
	defer w.close(ptmx)
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		w.errorf("unlock: %v", err)
	}
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil || n != 0 {
		w.errorf("the terminal is number %d, %v", n, err)
	}
	pts, err := os.OpenFile("/dev/pts/0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.errorf("%v", err)
		return
	}
	w.close(pts)
}

// probeMounts reads what the world says of its mounts.
func probeMounts(w *world) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.errorf("%v", err)
	}
	lines := slices.Collect(strings.Lines(string(b)))
	covered := func(i int, path string) bool {
		return slices.ContainsFunc(lines[i+1:], func(l string) bool { return strings.Fields(l)[4] == path })
	}
	for i, line := range lines {
		fields := strings.Fields(line)
		if covered(i, fields[4]) {
			continue
		}
		path, options := fields[4], strings.Split(fields[5], ",")
		rest := strings.Join(fields[6:], " ")
		if strings.Contains(line, "shared:") || strings.Contains(line, "master:") {
			w.errorf("propagates: %s", line)
		}
		if !slices.Contains(options, "nosuid") {
			w.errorf("not nosuid: %s", line)
		}
		inDev := strings.HasPrefix(path, "/dev/") && path != "/dev/shm"
		if !slices.Contains(options, "nodev") && !inDev {
			w.errorf("not nodev: %s", line)
		}
		fs, _, _ := strings.Cut(strings.TrimPrefix(rest[strings.Index(rest, "- ")+2:], " "), " ")
		if pseudofs.Is(fs) && !strings.HasPrefix(path, "/proc") && !inDev && !w.hidden(path) {
			w.errorf("a window: %s", line)
		}
		for _, ro := range []string{"/", "/usr", "/dev", "/etc/alternatives", "/proc/sys", "/proc/irq"} {
			if path == ro && !slices.Contains(options, "ro") {
				w.errorf("not read-only: %s", line)
			}
		}
	}
}

// hidden reports whether the directory shows nothing.
func (w *world) hidden(p string) bool {
	_, err := os.ReadDir(p)
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT)
}
