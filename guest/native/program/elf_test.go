package program

import (
	"bytes"
	"strings"
	"testing"
)

func TestELF(t *testing.T) {
	other, otherName := uint16(machineARM64), "arm64"
	if thisMachine() == machineARM64 {
		other, otherName = machineAMD64, "x86-64"
	}
	for _, c := range []struct {
		name string
		h    header
		want string // in the sentence; "" if it runs
	}{
		{"static", header{}, ""},
		{"dynamic", header{interp: "/lib64/ld.so"}, ""},
		{"static pie", header{kind: elfShared}, ""},
		{"pie", header{kind: elfShared, interp: "/lib64/ld.so"}, ""},
		{"library", header{kind: elfShared, noEntry: true}, "shared library"},
		{"object", header{kind: elfRelocatable}, "object file"},
		{"core", header{kind: elfCore}, "core dump"},
		{"unknown kind", header{kind: 77}, "unknown kind"},
		{"other processor", header{machine: other}, "is built for " + otherName + ", this machine is " + hostArch()},
		{"386", header{class: elfClass32, machine: machine386}, "32-bit x86"},
		{"x32", header{class: elfClass32, machine: machineAMD64}, "x32"},
		{"arm", header{class: elfClass32, machine: 40}, "32-bit ARM"},
		{"riscv", header{machine: 243}, "RISC-V"},
		{"s390x", header{machine: 22, data: 2}, "s390x"},
		{"unknown processor", header{machine: 0x7abc}, "processor number 31420"},
		{"FreeBSD", header{abi: 9}, "FreeBSD"},
		{"nothing to load", header{noLoad: true}, "nothing in it to run"},
		{"cut in the header", header{cut: 40}, "cut short"},
		{"cut in the table", header{cut: 100}, "cut short"},
		{"cut in the code", header{cut: 125}, "cut short"},
		{"class", header{class: 3}, "broken header"},
		{"endless loader", header{interp: strings.Repeat("/x", 2049)}, "broken way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := elfOf(c.h)
			f, problem := parseELF(bytes.NewReader(b), int64(len(b)))
			if problem == "" {
				if e := f.runs(""); e != nil {
					problem = e.Problem
				}
			}
			if c.want == "" && problem != "" || !strings.Contains(problem, c.want) {
				t.Errorf("%q, want %q", problem, c.want)
			}
			if c.want == "" && f.interp != c.h.interp {
				t.Errorf("loader %q, want %q", f.interp, c.h.interp)
			}
		})
	}
}

// TestELFLoaderUnterminated: a loader's name without its zero byte is refused, as
// the kernel refuses it.
func TestELFLoaderUnterminated(t *testing.T) {
	b := elfOf(header{interp: "/lib/ld.so"})
	b[len(b)-1] = 'x'
	if _, problem := parseELF(bytes.NewReader(b), int64(len(b))); !strings.Contains(problem, "broken way") {
		t.Errorf("%q", problem)
	}
}

func FuzzELF(f *testing.F) {
	for _, h := range []header{{}, {interp: "/lib64/ld.so"}, {class: elfClass32, machine: machine386, interp: "/l"}, {data: 2}, {cut: 70}} {
		f.Add(elfOf(h))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, problem := parseELF(bytes.NewReader(b), int64(len(b)))
		if problem != "" {
			return
		}
		if len(e.interp) >= maxInterpPath || strings.ContainsRune(e.interp, 0) {
			t.Errorf("loader %q", e.interp)
		}
		if e.arch() == "" {
			t.Error("no name for the processor")
		}
		if err := e.runs("x "); err == nil && (e.machine != thisMachine() || e.loads == 0) {
			t.Errorf("%+v runs", e)
		}
	})
}
