package program

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
)

// world is a piece of a host in a directory of its own, with a caller in it.
type world struct {
	t    *testing.T
	root string
	env  map[string]string
	dir  string
	path string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: root, env: map[string]string{}, dir: filepath.Join(root, "project")}
	w.mkdir("project")
	w.mkdir("home/u")
	t.Setenv("HOME", w.at("home/u"))
	return w
}

// at is a path in the world.
func (w *world) at(p string) string { return filepath.Join(w.root, p) }

func (w *world) mkdir(p string) {
	w.t.Helper()
	if err := os.MkdirAll(w.at(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// file writes a file; WORLD in its text is the world's directory.
func (w *world) file(p, text string, mode os.FileMode) string {
	w.t.Helper()
	w.mkdir(filepath.Dir(p))
	if err := os.WriteFile(w.at(p), []byte(strings.ReplaceAll(text, "WORLD", w.root)), mode); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(w.at(p), mode); err != nil { // whatever the umask is
		w.t.Fatal(err)
	}
	return w.at(p)
}

// link makes a symbolic link; a target that begins with WORLD is in the world.
func (w *world) link(p, target string) string {
	w.t.Helper()
	w.mkdir(filepath.Dir(p))
	if err := os.Symlink(strings.ReplaceAll(target, "WORLD", w.root), w.at(p)); err != nil {
		w.t.Fatal(err)
	}
	return w.at(p)
}

// program writes a static program for this machine.
func (w *world) program(p string) string { return w.file(p, string(elfOf(header{})), 0o755) }

func (w *world) surroundings() Surroundings {
	return Surroundings{Dir: w.dir, Home: w.at("home/u"), Path: w.path, Getenv: func(k string) string { return w.env[k] }}
}

// view is what the contract shows every guest, roughly, and grants of reading.
func (w *world) view(read ...string) *Mounts {
	m := []guest.Mount{{Guest: "/usr", Kind: guest.Bind, Host: "/usr", Dir: true, Source: "default"}}
	for _, p := range [...]string{"/bin", "/sbin", "/lib", "/lib64"} {
		if target, err := os.Readlink(p); err == nil {
			m = append(m, guest.Mount{Guest: p, Kind: guest.Link, Data: target, Source: "default"})
		} else if _, err := os.Stat(p); err == nil {
			m = append(m, guest.Mount{Guest: p, Kind: guest.Bind, Host: p, Dir: true, Source: "default"})
		}
	}
	m = append(m, guest.Mount{Guest: "/etc/alternatives", Kind: guest.Bind, Host: "/etc/alternatives", Dir: true, Source: "default", Optional: true})
	m = append(m, guest.Mount{Guest: "/tmp", Kind: guest.Private}, guest.Mount{Guest: "/proc", Kind: guest.Procs}, guest.Mount{Guest: "/dev", Kind: guest.Devices},
		guest.Mount{Guest: "/etc/passwd", Kind: guest.Text, Data: "root:x:0:0::/:/bin/sh\n"})
	for _, p := range read {
		host, g, mapped := strings.Cut(p, ":")
		if !mapped {
			g = w.at(host)
		}
		m = append(m, guest.Mount{Guest: g, Kind: guest.Bind, Host: w.at(host), Source: "flag"})
	}
	return NewView(m)
}

func (w *world) resolve(p string, v View) (*Executable, error) {
	return Resolve(p, v, w.surroundings())
}

// refused requires an error with these words in it, and WORLD for the directory.
func (w *world) refused(err error, kind Kind, real string, grants []string, words ...string) {
	w.t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		w.t.Fatalf("error %v, want an *Error", err)
	}
	if e.Kind != kind {
		w.t.Errorf("kind %d, want %d: %v", e.Kind, kind, err)
	}
	if real != "" && e.Real != strings.ReplaceAll(real, "WORLD", w.root) {
		w.t.Errorf("real file %q, want %q: %v", e.Real, real, err)
	}
	for _, s := range words {
		if !strings.Contains(err.Error(), strings.ReplaceAll(s, "WORLD", w.root)) {
			w.t.Errorf("%q lacks %q", err, s)
		}
	}
	var want []string
	for _, g := range grants {
		want = append(want, w.at(g))
	}
	if strings.Join(e.Grants, " ") != strings.Join(want, " ") {
		w.t.Errorf("grants %q, want %q: %v", e.Grants, want, err)
	}
}

// header describes an ELF file to make. The zero value is a static executable for
// this machine.
type header struct {
	class, data, abi byte
	kind, machine    uint16
	interp           string
	noLoad           bool
	noEntry          bool
	cut              int // bytes to keep, 0 for all
}

func thisMachine() uint16 {
	if runtime.GOARCH == "arm64" {
		return machineARM64
	}
	return machineAMD64
}

// elfOf assembles an ELF file. What it has of code is "exit(0)" for amd64, so that
// the kernel of the host can be asked about it.
func elfOf(h header) []byte {
	if h.class == 0 {
		h.class = elfClass64
	}
	if h.data == 0 {
		h.data = elfLittle
	}
	if h.kind == 0 {
		h.kind = elfExecutable
	}
	if h.machine == 0 {
		h.machine = thisMachine()
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h.data != elfLittle {
		order = binary.BigEndian
	}
	const base = 0x400000
	wide := h.class == elfClass64
	size, each := 64, 56
	if !wide {
		size, each = 52, 32
	}
	count := 0
	if !h.noLoad {
		count++
	}
	if h.interp != "" {
		count++
	}
	if count == 0 {
		count = 1
	}
	code := []byte{0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05} // xor edi,edi; mov eax,60; syscall
	start := size + count*each
	interp := append([]byte(h.interp), 0)
	total := start + len(code) + len(interp)
	entry := uint64(base + start)
	if h.noEntry {
		entry = 0
	}
	b := make([]byte, total)
	copy(b, []byte{0x7f, 'E', 'L', 'F', h.class, h.data, 1, h.abi})
	order.PutUint16(b[16:], h.kind)
	order.PutUint16(b[18:], h.machine)
	order.PutUint32(b[20:], 1)
	if wide {
		order.PutUint64(b[24:], entry)
		order.PutUint64(b[32:], uint64(size))
		order.PutUint16(b[52:], uint16(size))
		order.PutUint16(b[54:], uint16(each))
		order.PutUint16(b[56:], uint16(count))
	} else {
		order.PutUint32(b[24:], uint32(entry))
		order.PutUint32(b[28:], uint32(size))
		order.PutUint16(b[40:], uint16(size))
		order.PutUint16(b[42:], uint16(each))
		order.PutUint16(b[44:], uint16(count))
	}
	put := func(i int, kind uint32, at, length int) {
		p := b[size+i*each:]
		order.PutUint32(p, kind)
		if wide {
			order.PutUint32(p[4:], 5)
			order.PutUint64(p[8:], uint64(at))
			order.PutUint64(p[16:], base+uint64(at))
			order.PutUint64(p[32:], uint64(length))
			order.PutUint64(p[40:], uint64(length))
			order.PutUint64(p[48:], 0x1000)
		} else {
			order.PutUint32(p[4:], uint32(at))
			order.PutUint32(p[8:], base+uint32(at))
			order.PutUint32(p[16:], uint32(length))
			order.PutUint32(p[20:], uint32(length))
			order.PutUint32(p[24:], 5)
			order.PutUint32(p[28:], 0x1000)
		}
	}
	i := 0
	if h.interp != "" {
		put(i, segmentInterp, start+len(code), len(interp))
		i++
	}
	if !h.noLoad {
		put(i, segmentLoad, 0, total)
	} else if h.interp == "" {
		put(i, 4, start, len(code)) // a note
	}
	copy(b[start:], code)
	copy(b[start+len(code):], interp)
	if h.cut > 0 {
		b = b[:h.cut]
	}
	return bytes.Clone(b)
}

// linkFile makes a second name of a file.
func linkFile(from, to string) error { return os.Link(from, to) }
