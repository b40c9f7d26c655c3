package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
)

// TestKernelAgrees asks the kernel of the host about the same files: with the whole
// host as the view, what is said to run is executed, and what is refused is not.
func TestKernelAgrees(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("NOT CHECKED against the kernel: the code in the programs made here is for amd64")
	}
	w := newWorld(t)
	whole := NewView([]guest.Mount{{Guest: "/", Kind: guest.Bind, Host: "/", Dir: true}})
	w.program("true")
	w.program("d/" + strings.Repeat("n", 200))
	for i := range 8 {
		before := "WORLD/true"
		if i > 0 {
			before = fmt.Sprintf("WORLD/s%d", i-1)
		}
		w.file(fmt.Sprintf("s%d", i), "#!"+before+"\n", 0o755)
	}
	w.file("line", "#!WORLD/d/"+strings.Repeat("n", 200)+"\n", 0o755)
	scripts := map[string]string{
		"plain": "#!WORLD/true\n", "blanks": "#! \tWORLD/true \t\n", "no newline": "#!WORLD/true", "argument": "#!WORLD/true -x y\n",
		"long argument": "#!WORLD/true " + strings.Repeat("y", 400) + "\n", "zero byte": "#!WORLD/true\x00zzz\n",
		"carriage return": "#!WORLD/true\r\n", "nothing": "#!\n", "blank": "#!   \n", "blank to the end": "#!" + strings.Repeat(" ", 300) + "WORLD/true\n",
		"missing": "#!WORLD/none\n", "long path": "#!WORLD/" + strings.Repeat("x/../", 60) + "true\n", "directory": "#!WORLD/d\n",
	}
	for fill := 253 - len(w.root) - 10; fill < 258-len(w.root)-2; fill++ { // around the 256th byte
		scripts[fmt.Sprintf("slashes %d", fill)] = "#!WORLD" + strings.Repeat("/", fill) + "true\n"
		scripts[fmt.Sprintf("slashes %d and an end", fill)] = "#!WORLD" + strings.Repeat("/", fill) + "true"
	}
	for name, text := range scripts {
		w.file("t/"+name, text, 0o755)
	}
	for name, h := range map[string]header{
		"static": {}, "no load": {noLoad: true}, "cut": {cut: 100}, "object": {kind: elfRelocatable}, "core": {kind: elfCore},
		"riscv": {machine: 243}, "endian": {data: 2, machine: 22}, "missing loader": {interp: "/lib/ld-none.so"}, "class": {class: 3},
	} {
		w.file("e/"+name, string(elfOf(h)), 0o755)
	}
	w.file("e/not executable", string(elfOf(header{})), 0o644)
	w.file("e/empty", "", 0o755)
	w.file("e/text", "true\n", 0o755)
	w.link("e/link", "static")
	w.link("e/circle", "circle")
	checked := 0
	err := filepath.WalkDir(w.root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		x, rerr := w.resolve(p, whole)
		kerr := exec.Command(p).Run()
		var ended *exec.ExitError
		if errors.As(kerr, &ended) && filepath.Base(p) != "no load" { // that one is started, and has nothing to do
			t.Errorf("%s: the kernel ran it, and it ended with %v", p, kerr)
		}
		if (rerr == nil) != (kerr == nil) {
			t.Errorf("%s: the kernel says %v, this package %v", p, kerr, rerr)
		}
		if rerr == nil && x.Guest != p {
			t.Errorf("%s is run as %s", p, x.Guest)
		}
		if errors.Is(kerr, syscall.ELOOP) != errors.Is(rerr, syscall.ELOOP) {
			t.Errorf("%s: the kernel says %v, this package %v", p, kerr, rerr)
		}
		checked++
		return nil
	})
	if err != nil || checked < 40 {
		t.Errorf("%d files checked, %v", checked, err)
	}
}

// TestNoexec: a program on a file system mounted noexec is refused.
func TestNoexec(t *testing.T) {
	for _, dir := range []string{"/dev/shm", "/run", "/sys/fs/cgroup"} {
		f, err := os.CreateTemp(dir, "agentos-noexec-")
		if err != nil {
			continue
		}
		p := f.Name()
		t.Cleanup(func() {
			if err := os.Remove(p); err != nil {
				t.Error(err)
			}
		})
		if err := errors.Join(os.WriteFile(p, elfOf(header{}), 0o755), os.Chmod(p, 0o755), f.Close()); err != nil {
			t.Fatal(err)
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(p, &st); err != nil {
			t.Fatal(err)
		}
		if st.Flags&syscall.MS_NOEXEC == 0 {
			continue
		}
		w := newWorld(t)
		_, rerr := w.resolve(p, NewView([]guest.Mount{{Guest: "/", Kind: guest.Bind, Host: "/", Dir: true}}))
		w.refused(rerr, NotExecutable, p, nil, "mounted noexec")
		return
	}
	t.Skip("NOT CHECKED: no file system here is mounted noexec and can be written")
}

// TestNotOwner: a capless root may not execute what only another may.
func TestNotOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: only root can give a file away")
	}
	w := newWorld(t)
	p := w.program("x")
	if err := errors.Join(os.Chown(p, 65534, 65534), os.Chmod(p, 0o744)); err != nil {
		t.Fatal(err)
	}
	_, err := w.resolve(p, w.view("x"))
	w.refused(err, NotExecutable, p, nil, "may not be executed by this user")
	if err := os.Chmod(p, 0o745); err != nil {
		t.Fatal(err)
	}
	if _, err := w.resolve(p, w.view("x")); err != nil {
		t.Errorf("executable for all, yet %v", err)
	}
}

// TestThisHost resolves what is installed here: every name in /usr/bin that the
// kernel could start must resolve in the default view, or be refused for a reason.
func TestThisHost(t *testing.T) {
	entries, err := os.ReadDir("/usr/bin")
	if err != nil {
		t.Skip("NOT CHECKED: ", err)
	}
	w := newWorld(t)
	v := w.view()
	runs, refused := 0, map[Kind]int{}
	for _, e := range entries {
		p := filepath.Join("/usr/bin", e.Name())
		x, err := w.resolve(p, v)
		if err == nil {
			runs++
			if x.Guest != p && len(x.Notes) == 0 {
				t.Errorf("%s is run as %s, and nothing says so", p, x.Guest)
			}
			continue
		}
		var pe *Error
		if !errors.As(err, &pe) || pe.Problem == "" || pe.Kind == NotVisible && pe.Fix == "" {
			t.Errorf("%s: %v", p, err)
			continue
		}
		refused[pe.Kind]++
		t.Log(err)
	}
	if runs < len(entries)/2 {
		t.Errorf("%d of %d run; refused by kind: %v", runs, len(entries), refused)
	}
}

// TestThisHostPyenv looks at the pyenv of whoever runs the tests.
func TestThisHostPyenv(t *testing.T) {
	home, err := os.UserHomeDir()
	shim := filepath.Join(home, ".pyenv/shims/python3")
	if err != nil || !exists(shim) {
		t.Skip("NOT CHECKED: there is no ~/.pyenv/shims/python3 here")
	}
	s := Surroundings{Dir: "/", Home: home, Getenv: os.Getenv}
	v := (&world{}).view()
	_, err = Resolve(shim, v, s)
	var e *Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Real, filepath.Join(home, ".pyenv/versions/")) {
		t.Skipf("NOT CHECKED: pyenv has no version chosen: %v", err)
	}
	out, err := exec.Command(e.Real, "-c", "import sys; print(sys.prefix)").Output()
	if err != nil || len(e.Grants) != 1 || strings.TrimSpace(string(out)) != e.Grants[0] {
		t.Errorf("%s says its prefix is %q, %v; the grant is %q", e.Real, out, err, e.Grants)
	}
	asked, err := exec.Command(shim, "-c", "import sys; print(sys.executable)").Output()
	if err != nil || strings.TrimSpace(string(asked)) != e.Real {
		t.Errorf("the shim runs %q, %v; this package says %q", asked, err, e.Real)
	}
}
