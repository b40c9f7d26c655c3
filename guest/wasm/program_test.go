package wasm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func TestGoProgram(t *testing.T) {
	d := testDomain(t, goOptions(t))
	p := load(t, d, goModule(t, "hello"))
	for _, fuel := range []int64{1000, 1 << 40} {
		h := newHost(1 << 30)
		h.args = []string{"hello", "a", "b c"}
		h.env = []string{"GREETING=hi"}
		h.stdin = []byte("line\nmore")
		h.block[abi.SysPoll] = true
		in := instantiate(t, p, h)
		exit, yields, waits, used := drive(t, in, fuel)
		if exit.Cause != abi.CauseExited || exit.Code != 7 || h.exit != 7 {
			t.Fatalf("exit %+v, gate saw %d", exit, h.exit)
		}
		want := "args 3 [a b c]\nenv hi\nslept true\nread \"line\\n\" <nil>\n"
		if string(h.stdout) != want {
			t.Errorf("output %q, want %q", h.stdout, want)
		}
		if waits == 0 {
			t.Error("sleeping never waited")
		}
		if (fuel == 1000) != (yields > 100) {
			t.Errorf("%d yields with fuel %d", yields, fuel)
		}
		if used < 1000 {
			t.Errorf("used %d fuel", used)
		}
	}
}

func TestGoPanic(t *testing.T) {
	d := testDomain(t, goOptions(t))
	h := newHost(1 << 30)
	h.args = []string{"hello", "panic"}
	exit, _, _, _ := drive(t, instantiate(t, load(t, d, goModule(t, "hello")), h), 1<<20)
	if exit.Cause != abi.CauseExited || exit.Code != 2 {
		t.Fatalf("exit %+v", exit)
	}
	if !strings.Contains(string(h.stdout), "main.explode") {
		t.Errorf("no trace of the guest's own in %q", h.stdout)
	}
}

// A Go program sees its directory, its files, and their errors as Go programs
// expect them.
func TestGoFiles(t *testing.T) {
	h := newHost(1 << 30)
	h.args = []string{"files"}
	h.files = map[string][]byte{"a.txt": []byte("alpha"), "b.txt": bytes.Repeat([]byte("x"), 3<<20)}
	exit, _, _, _ := drive(t, instantiate(t, load(t, testDomain(t, goOptions(t)), goModule(t, "files")), h), 1<<20)
	want := "a.txt b.txt\nalpha <nil>\n3145728 <nil>\nmissing: true\nsize 5\n"
	if exit.Cause != abi.CauseExited || exit.Code != 0 || string(h.stdout) != want {
		t.Fatalf("exit %+v, output %q, want %q", exit, h.stdout, want)
	}
	if len(h.fds) != 0 {
		t.Errorf("%d descriptors left open", len(h.fds))
	}
}
