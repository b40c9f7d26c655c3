//go:build linux && (amd64 || arm64)

package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// call is struct seccomp_data.
type call struct {
	nr, arch uint32
	args     [6]uint64
}

func (c call) bytes() []byte {
	b := make([]byte, 64)
	binary.LittleEndian.PutUint32(b[0:], c.nr)
	binary.LittleEndian.PutUint32(b[4:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(b[16+8*i:], a)
	}
	return b
}

var errLooked = errors.New("looks at an argument")

// run interprets a filter as the kernel does. With blind it gives up where the
// kernel would when it works out which calls it may remember as allowed: at a
// look at anything but number and architecture.
func run(f []unix.SockFilter, c call, blind bool) (uint32, error) {
	data := c.bytes()
	var a uint32
	for pc := 0; pc < len(f); pc++ {
		in := f[pc]
		branch := func(yes bool) {
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.K%4 != 0 || in.K > 60 {
				return 0, fmt.Errorf("load at %d", in.K)
			}
			if blind && in.K > 4 {
				return 0, errLooked
			}
			a = binary.LittleEndian.Uint32(data[in.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			branch(a == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			branch(a >= in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			branch(a > in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			branch(a&in.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return in.K, nil
		default:
			return 0, fmt.Errorf("instruction %d has code %#x", pc, in.Code)
		}
	}
	return 0, errors.New("the filter has no end")
}

// machine is an architecture to assemble for.
type machine struct {
	goarch  string
	arch    uint32
	numbers []number
	names   map[uint32]string
	rules   [2]map[string]Rule // with namespaces and without
}

func newMachine(goarch string, arch uint32, numbers []number) machine {
	m := machine{goarch: goarch, arch: arch, numbers: numbers, names: make(map[uint32]string)}
	for _, n := range numbers {
		m.names[n.nr] = n.name
	}
	for i := range m.rules {
		m.rules[i] = make(map[string]Rule)
		tables := [][]Rule{Rules(), WithoutNamespaces()}
		for _, table := range tables[:i+1] {
			for _, r := range table {
				if r.Arch == "" || r.Arch == goarch {
					m.rules[i][r.Name] = r
				}
			}
		}
	}
	return m
}

func (m machine) rule(name string, o Options) Rule {
	if o.NoNamespaces && !(o.Metadata && m.rules[1][name].Why == whyMetadata) {
		return m.rules[1][name]
	}
	return m.rules[0][name]
}

// machines returns the architecture that is being built, and the other one with
// the numbers that x/sys has for it in its source.
var machines = sync.OnceValues(func() ([]machine, error) {
	ms := []machine{newMachine(goarch, native, slices.Concat(everywhere, here))}
	other, arch := "arm64", uint32(unix.AUDIT_ARCH_AARCH64)
	if goarch == "arm64" {
		other, arch = "amd64", unix.AUDIT_ARCH_X86_64
	}
	numbers, err := numbersOf(other)
	return append(ms, newMachine(other, arch, numbers)), err
})

// numbersOf reads all numbers of an architecture out of x/sys.
func numbersOf(arch string) ([]number, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "golang.org/x/sys/unix").Output()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "zsysnum_linux_"+arch+".go")
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		return nil, err
	}
	var numbers []number
	var bad error
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || v.Names[0].Name == "SYS_ARCH_SPECIFIC_SYSCALL" {
			return true
		}
		nr, err := strconv.ParseUint(v.Values[0].(*ast.BasicLit).Value, 0, 32)
		bad = errors.Join(bad, err)
		numbers = append(numbers, number{strings.ToLower(strings.TrimPrefix(v.Names[0].Name, "SYS_")), uint32(nr)})
		return true
	})
	return numbers, bad
}

func mustMachines(t testing.TB) []machine {
	t.Helper()
	ms, err := machines()
	if err != nil {
		t.Logf("NOT CHECKED on the other architecture: its numbers are not to be had: %v", err)
		return ms[:1]
	}
	return ms
}

// TestEveryCallHasARule compares the tables with the calls that x/sys knows.
func TestEveryCallHasARule(t *testing.T) {
	all, err := numbersOf(goarch)
	if err != nil {
		t.Skipf("NOT CHECKED: the source of x/sys is not to be had: %v", err)
	}
	byNumber := func(a, b number) int { return int(a.nr) - int(b.nr) }
	ours := slices.Concat(everywhere, here)
	slices.SortFunc(ours, byNumber)
	slices.SortFunc(all, byNumber)
	if !slices.Equal(ours, all) {
		t.Errorf("numbers differ from those of x/sys:\n%v\n%v", ours, all)
	}
	for _, m := range mustMachines(t) {
		has := make(map[string]bool)
		for _, n := range m.numbers {
			if has[n.name] {
				t.Errorf("%s: %s has two numbers", m.goarch, n.name)
			}
			has[n.name] = true
		}
		ruled := make(map[string]bool)
		for _, r := range Rules() {
			if r.Arch != "" && r.Arch != m.goarch {
				continue
			}
			if ruled[r.Name] {
				t.Errorf("%s: two rules for %s", m.goarch, r.Name)
			}
			ruled[r.Name] = true
			if !has[r.Name] {
				t.Errorf("%s: a rule for %s, which does not exist", m.goarch, r.Name)
			}
			delete(has, r.Name)
		}
		for name := range has {
			t.Errorf("%s: no rule for %s", m.goarch, name)
		}
		for _, r := range WithoutNamespaces() {
			if (r.Arch == "" || r.Arch == m.goarch) && !ruled[r.Name] {
				t.Errorf("%s: without namespaces a rule for %s, which has none with them", m.goarch, r.Name)
			}
		}
	}
}

func TestRulesAreWhole(t *testing.T) {
	for _, table := range [][]Rule{Rules(), WithoutNamespaces()} {
		for i, r := range table {
			if (r.Verdict == Allow) != (r.Errno == 0) {
				t.Errorf("%s: %v with errno %v", r.Name, r.Verdict, r.Errno)
			}
			if r.Verdict != Allow && r.Why == "" {
				t.Errorf("%s: %v without a reason", r.Name, r.Verdict)
			}
			if i > 0 && table[i-1].Name >= r.Name {
				t.Errorf("%s comes after %s", r.Name, table[i-1].Name)
			}
		}
	}
	for _, g := range slices.Concat(floor, bare) {
		for i, c := range g.clauses {
			if last := i == len(g.clauses)-1; last != (len(c.when) == 0) {
				t.Errorf("%s: clause %d has %d tests", g.names, i, len(c.when))
			}
		}
	}
}

// TestDangers names what must never come to be allowed, whatever the table says.
func TestDangers(t *testing.T) {
	dangers := map[unix.Errno]string{
		unix.EPERM: `ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd mount umount2 pivot_root chroot fsopen fsconfig
			fsmount fspick move_mount open_tree open_tree_attr mount_setattr setns bpf perf_event_open userfaultfd io_uring_setup
			io_uring_enter io_uring_register add_key request_key keyctl init_module finit_module delete_module kexec_load
			kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog iopl ioperm settimeofday clock_settime
			adjtimex clock_adjtime sethostname setdomainname open_by_handle_at fanotify_init fanotify_mark move_pages
			migrate_pages vhangup process_madvise process_mrelease`,
		unix.ENOSYS:     `clone3 openat2 statmount listmount modify_ldt uselib memfd_secret _sysctl lookup_dcookie nfsservctl`,
		unix.EOPNOTSUPP: `name_to_handle_at`,
	}
	for _, m := range mustMachines(t) {
		for _, o := range optionSets {
			f, err := assemble(m.arch, m.goarch, m.numbers, o)
			if err != nil {
				t.Fatal(err)
			}
			for errno, names := range dangers {
				for name := range strings.FieldsSeq(names) {
					nr := numberOf(m, name)
					if nr == ^uint32(0) && (m.goarch == "amd64" || !slices.Contains(x86Dangers, name)) {
						t.Errorf("%s: no number of %s", m.goarch, name)
					}
					if got, err := run(f, call{nr: nr, arch: m.arch}, false); err != nil || nr != ^uint32(0) && got != refused(errno) {
						t.Errorf("%s %+v: %s gives %#x, %v", m.goarch, o, name, got, err)
					}
				}
			}
			shared := []string{"shmget", "shmat", "semget", "msgget", "mq_open"}
			if o.NoNamespaces && !o.Metadata {
				shared = append(shared, "fchmodat", "fchownat", "setxattr", "inotify_add_watch")
			}
			for _, name := range shared {
				got, err := run(f, call{nr: numberOf(m, name), arch: m.arch}, false)
				if err != nil || (got == unix.SECCOMP_RET_ALLOW) == o.NoNamespaces {
					t.Errorf("%s %+v: %s gives %#x, %v", m.goarch, o, name, got, err)
				}
			}
		}
	}
}

var x86Dangers = []string{"iopl", "ioperm", "modify_ldt", "uselib", "_sysctl"}

// TestLongSearch assembles a table so checkered that its search needs jumps
// longer than an instruction has room for.
func TestLongSearch(t *testing.T) {
	m := machine{goarch: goarch, arch: native}
	for i := range uint32(300) {
		m.numbers = append(m.numbers, number{"read", 3 * i}, number{"ptrace", 3*i + 1})
	}
	f, err := assemble(m.arch, m.goarch, m.numbers, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for nr := range uint32(1000) {
		want := [...]uint32{unix.SECCOMP_RET_ALLOW, refused(unix.EPERM), refused(unix.ENOSYS)}[nr%3]
		if nr >= 900 {
			want = refused(unix.ENOSYS)
		}
		if got, err := run(f, call{nr: nr, arch: native}, false); err != nil || got != want {
			t.Fatalf("call %d gives %#x, %v, want %#x", nr, got, err, want)
		}
	}
	for i := range uint32(1000) {
		m.numbers = append(m.numbers, number{"read", 1000 + 2*i})
	}
	if f, err := assemble(m.arch, m.goarch, m.numbers, Options{}); err == nil {
		t.Errorf("a filter of %d instructions is made", len(f))
	}
}

var optionSets = []Options{
	{},
	{Gate: true},
	{NoNamespaces: true},
	{Gate: true, NoNamespaces: true},
	{NoNamespaces: true, Metadata: true},
	{Metadata: true},
}

// TestEveryNumber runs each number under each architecture's name through each
// filter and compares the verdict with the table's.
func TestEveryNumber(t *testing.T) {
	arches := []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, 0, ^uint32(0)}
	bits := []uint32{0, 0x40000000, 0x80000000, 0xc0000000, 0xfffff000}
	for _, m := range mustMachines(t) {
		for _, o := range optionSets {
			f, err := assemble(m.arch, m.goarch, m.numbers, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %+v: %d instructions", m.goarch, o, len(f))
			for _, arch := range arches {
				for _, bit := range bits {
					for nr := range uint32(700) {
						c := call{nr: nr | bit, arch: arch}
						got, err := run(f, c, false)
						if err != nil {
							t.Fatalf("%s: %+v: %v", m.goarch, c, err)
						}
						if want := model(m, o, c); got != want {
							t.Fatalf("%s %+v: %+v gives %#x, want %#x", m.goarch, o, c, got, want)
						}
					}
				}
			}
			// A mistake in a jump would show at the edges of the number space.
			for _, nr := range []uint32{^uint32(0), 1 << 31, 1<<31 - 1, 0xf000, 1023, 1024} {
				if got, err := run(f, call{nr: nr, arch: m.arch}, false); err != nil || got != refused(unix.ENOSYS) {
					t.Errorf("%s: call %#x gives %#x, %v", m.goarch, nr, got, err)
				}
			}
		}
	}
}

// TestAllowedWithoutALook makes sure that the kernel can remember what is always
// allowed, and remembers nothing else.
func TestAllowedWithoutALook(t *testing.T) {
	for _, m := range mustMachines(t) {
		f, err := assemble(m.arch, m.goarch, m.numbers, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range m.numbers {
			got, err := run(f, call{nr: n.nr, arch: m.arch}, true)
			switch v := m.rule(n.name, Options{}).Verdict; {
			case v == Inspect && !errors.Is(err, errLooked):
				t.Errorf("%s: %s is decided blindly: %#x, %v", m.goarch, n.name, got, err)
			case v != Inspect && err != nil:
				t.Errorf("%s: %s: %v", m.goarch, n.name, err)
			case v == Allow && got != unix.SECCOMP_RET_ALLOW:
				t.Errorf("%s: %s gives %#x", m.goarch, n.name, got)
			}
		}
	}
}

func TestNotify(t *testing.T) {
	f, err := Assemble(Options{Gate: true, Notify: []uint32{unix.SYS_OPENAT, unix.SYS_CONNECT, unix.SYS_EXECVE}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		call call
		want uint32
	}{
		{"gate", call{nr: unix.SYS_EXECVE}, unix.SECCOMP_RET_USER_NOTIF},
		{"gate by descriptor", call{nr: unix.SYS_EXECVEAT}, unix.SECCOMP_RET_USER_NOTIF},
		{"allowed call", call{nr: unix.SYS_CONNECT}, unix.SECCOMP_RET_USER_NOTIF},
		{"inspected call, allowed", call{nr: unix.SYS_OPENAT, args: [6]uint64{3: 0o4755}}, unix.SECCOMP_RET_USER_NOTIF},
		{"inspected call, refused", call{nr: unix.SYS_OPENAT, args: [6]uint64{2: unix.O_CREAT, 3: 0o4755}}, refused(unix.EPERM)},
		{"another call", call{nr: unix.SYS_READ}, unix.SECCOMP_RET_ALLOW},
	} {
		test.call.arch = native
		if got, err := run(f, test.call, false); err != nil || got != test.want {
			t.Errorf("%s: %#x, %v, want %#x", test.name, got, err, test.want)
		}
	}
	for _, nr := range []uint32{unix.SYS_PTRACE, unix.SYS_CLONE3, 9999, unix.SYS_READ | 0x40000000} {
		if _, err := Assemble(Options{Notify: []uint32{nr}}); err == nil {
			t.Errorf("call %d can be notified", nr)
		}
	}
}

func FuzzFilter(f *testing.F) {
	ms := mustMachines(f)
	filters := make(map[string][]unix.SockFilter)
	for _, m := range ms {
		for i, o := range optionSets {
			p, err := assemble(m.arch, m.goarch, m.numbers, o)
			if err != nil {
				f.Fatal(err)
			}
			filters[m.goarch+strconv.Itoa(i)] = p
		}
	}
	for _, c := range argumentCases {
		f.Add(uint8(0), uint8(0), numberOf(ms[0], c.name), uint32(native), c.args[0], c.args[1], c.args[2], c.args[3])
		f.Add(uint8(0), uint8(2), numberOf(ms[0], c.name), uint32(native), c.args[0], c.args[1], c.args[2], c.args[3])
	}
	f.Fuzz(func(t *testing.T, mi, oi uint8, nr, arch uint32, a0, a1, a2, a3 uint64) {
		m, i := ms[int(mi)%len(ms)], int(oi)%len(optionSets)
		c := call{nr: nr, arch: arch, args: [6]uint64{a0, a1, a2, a3}}
		got, err := run(filters[m.goarch+strconv.Itoa(i)], c, false)
		if want := model(m, optionSets[i], c); err != nil || got != want {
			t.Errorf("%s %+v: %+v gives %#x, %v, want %#x", m.goarch, optionSets[i], c, got, err, want)
		}
	})
}

func numberOf(m machine, name string) uint32 {
	for _, n := range m.numbers {
		if n.name == name {
			return n.nr
		}
	}
	return ^uint32(0)
}
