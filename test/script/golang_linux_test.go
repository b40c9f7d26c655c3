package script

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestGoAsOrdinaryUser: source is compiled for those who are not root, too.
func TestGoAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED here: the other tests run as an ordinary user already")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("NOT CHECKED: there is no Go on PATH")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "agentos-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program, err := os.ReadFile(binary())
	if err != nil {
		t.Fatal(err)
	}
	tool, source := filepath.Join(dir, "agentos"), filepath.Join(dir, "hello.go")
	err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(tool, program, 0o755),
		os.WriteFile(source, []byte("package main\n\nfunc main() { println(`hello`) }\n"), 0o644), os.Mkdir(filepath.Join(dir, "state"), 0o700),
		os.Chown(filepath.Join(dir, "state"), nobody, nobody))
	if err != nil {
		t.Fatal(err)
	}
	run := func(arg ...string) (string, error) {
		cmd := exec.Command(tool, append([]string{"run"}, arg...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir + "/none", "AGENTOS_STATE=" + dir + "/state"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("/bin/true"); err != nil {
		t.Skipf("NOT CHECKED: native programs do not run as uid %d: %v, %s", nobody, err, out)
	}
	out, err := run("./hello.go")
	if strings.Contains(out, "without Linux namespaces") {
		t.Skipf("NOT CHECKED: this host has no namespaces for ordinary users: %s", out)
	}
	if err != nil || out != "hello\n" {
		t.Errorf("%v, wrote %q", err, out)
	}
}
