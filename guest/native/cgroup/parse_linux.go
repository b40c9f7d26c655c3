package cgroup

import (
	"errors"
	"strconv"
	"strings"
)

// mount is a mounted hierarchy of control groups.
type mount struct {
	root     string // path of the mount's root within the hierarchy
	point    string // where it is mounted
	v2       bool
	readOnly bool
	super    []string // options of the file system: the controllers of version 1
}

// parseMounts returns the cgroup mounts of a mountinfo file, in its order. A line
// that cannot be understood is not a cgroup mount.
func parseMounts(text string) []mount {
	var ms []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		if !ok {
			continue
		}
		f, g := strings.Split(before, " "), strings.Split(after, " ")
		if len(f) < 6 || len(g) < 3 || g[0] != "cgroup" && g[0] != "cgroup2" {
			continue
		}
		m := mount{root: unescape(f[3]), point: unescape(f[4]), v2: g[0] == "cgroup2", super: strings.Split(g[2], ",")}
		for _, o := range append(strings.Split(f[5], ","), m.super...) {
			m.readOnly = m.readOnly || o == "ro"
		}
		if strings.HasPrefix(m.point, "/") && strings.HasPrefix(m.root, "/") {
			ms = append(ms, m)
		}
	}
	return ms
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
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

// place is a line of /proc/PID/cgroup.
type place struct {
	controllers []string // empty for version 2
	path        string
}

func (p place) v2() bool { return len(p.controllers) == 0 }

// parsePlaces reads /proc/PID/cgroup. The path may contain colons.
func parsePlaces(text string) []place {
	var ps []place
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
			continue
		}
		if _, err := strconv.ParseUint(f[0], 10, 32); err != nil {
			continue
		}
		p := place{path: f[2]}
		if f[1] != "" {
			p.controllers = strings.Split(f[1], ",")
		} else if f[0] != "0" {
			continue
		}
		ps = append(ps, p)
	}
	return ps
}

// within returns path relative to root, both paths within a hierarchy; it begins
// with a slash or is empty. A path outside the root, or outside the cgroup
// namespace of the reader, which the kernel shows with "..", is not reachable.
func within(path, root string) (string, bool) {
	for c := range strings.SplitSeq(path+"/"+root, "/") {
		if c == ".." {
			return "", false
		}
	}
	if root == "/" {
		return strings.TrimSuffix(path, "/"), true
	}
	if path == root {
		return "", true
	}
	if strings.HasPrefix(path, root+"/") {
		return path[len(root):], true
	}
	return "", false
}

// keyed returns the number after a key in a file of "key number" lines.
func keyed(text, key string) (uint64, bool) {
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// number reads a file of one number; "max" is the greatest.
func number(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "max" {
		return ^uint64(0), nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// numbers reads a list of process or thread ids. Zero, which is one of another
// pid namespace, is left out.
func numbers(text string) ([]int, error) {
	var ids []int
	for f := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(f, 10, 31)
		if err != nil {
			return nil, err
		}
		if n != 0 {
			ids = append(ids, int(n))
		}
	}
	return ids, nil
}

// stat is what we want of /proc/PID/stat; times are in clock ticks.
type stat struct {
	pid, ppid   int
	state       byte
	own, waited uint64 // time of the process itself, and of the children it waited for
	threads     uint64
	start       uint64
}

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads /proc/PID/stat. The name is what the program says it is, with
// spaces, newlines, and parentheses; it ends at the last parenthesis.
func parseStat(text string) (stat, error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return stat{}, errStat
	}
	pid, err := strconv.ParseUint(strings.TrimSpace(text[:open]), 10, 31)
	f := strings.Fields(text[end+1:])
	if err != nil || len(f) < 20 || len(f[0]) != 1 {
		return stat{}, errStat
	}
	s := stat{pid: int(pid), state: f[0][0]}
	num := func(i int) uint64 {
		// cutime and cstime are signed in the kernel's format.
		n, e := strconv.ParseInt(f[i], 10, 64)
		if e != nil || n < 0 {
			err = errStat
		}
		return uint64(max(n, 0))
	}
	ppid := num(1)
	s.own, s.waited = num(11)+num(12), num(13)+num(14)
	s.threads, s.start = num(17), num(19)
	if err != nil || ppid > 1<<31-1 {
		return stat{}, errStat
	}
	s.ppid = int(ppid)
	return s, nil
}
