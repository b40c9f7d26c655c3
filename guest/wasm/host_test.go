package wasm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/mem"
)

// testHost is a kernel in small: a gate over a few streams, and real memory.
type testHost struct {
	account *limit.Account
	mem     *mem.Memory
	args    []string
	env     []string
	stdin   []byte
	stdout  []byte
	files   map[string][]byte
	fds     map[abi.FD]*testFile
	killed  atomic.Bool
	exit    int64
	calls   map[string]int
	began   time.Time
	block   map[abi.Sysno]bool // answer Blocked first
}

type testFile struct {
	data []byte
	off  int
	dir  bool // the only directory
}

func newHost(memory uint64) *testHost {
	a := limit.NewAccount(limit.Caps{abi.LimitMemory: memory})
	return &testHost{account: a, mem: mem.New(a, nil), files: map[string][]byte{}, fds: map[abi.FD]*testFile{},
		calls: map[string]int{}, block: map[abi.Sysno]bool{}, exit: -1}
}

func (h *testHost) Gate() guest.Gate              { return h }
func (h *testHost) Memory() guest.Memory          { return testMemory{h.mem} }
func (h *testHost) Static(abi.Sysno) guest.Static { return guest.Ask }
func (h *testHost) Killed() bool                  { return h.killed.Load() }

type testMemory struct{ *mem.Memory }

func (m testMemory) Reserve(max uint64) (guest.Region, error) {
	r, err := m.Memory.Reserve(max)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (h *testHost) Call(c *abi.Call) abi.Status {
	if h.killed.Load() {
		return abi.Killed
	}
	h.calls[c.Via]++
	if h.block[c.Nr] {
		h.began = time.Now()
		return abi.Blocked
	}
	return h.Continue(c)
}

func (h *testHost) Continue(c *abi.Call) abi.Status {
	if h.killed.Load() {
		return abi.Killed
	}
	c.Errno = h.perform(c)
	return abi.Done
}

func (h *testHost) perform(c *abi.Call) abi.Errno {
	switch c.Nr {
	case abi.SysArgs:
		c.Strs = h.args
	case abi.SysEnviron:
		c.Strs = h.env
	case abi.SysClockTime:
		c.Ret = uint64(time.Now().UnixNano())
	case abi.SysClockRes:
		c.Ret = 1
	case abi.SysRandom:
		for _, b := range c.Buf {
			for i := range b {
				b[i] = byte(i)
			}
		}
	case abi.SysYield:
	case abi.SysExit:
		h.exit = int64(c.Arg[0])
	case abi.SysPoll:
		wait := time.Duration(-1)
		for i := range c.Polls {
			p := &c.Polls[i]
			if p.Kind != abi.PollClock {
				p.Ready = true
				wait = 0
			} else if d := time.Duration(p.Timeout); !p.Absolute && (wait < 0 || d < wait) {
				wait = d
			}
		}
		<-time.After(max(wait, 0))
		for i := range c.Polls {
			c.Polls[i].Ready = true
		}
	case abi.SysFdinfo:
		switch c.FD {
		case 0, 1, 2:
			c.Info = abi.FDInfo{Type: abi.TypeFIFO, Rights: ^uint64(0)}
		case 3:
			c.Info = abi.FDInfo{Type: abi.TypeDirectory, Rights: ^uint64(0), Inherit: ^uint64(0), Preopen: "/"}
		default:
			if h.fds[c.FD] == nil {
				return abi.EBADF
			}
			c.Info = abi.FDInfo{Type: abi.TypeRegular, Rights: ^uint64(0)}
		}
	case abi.SysFcntl:
		if c.FD > 3 && h.fds[c.FD] == nil {
			return abi.EBADF
		}
	case abi.SysRead:
		c.Ret = 0
		if c.FD == 0 {
			for _, b := range c.Buf {
				n := copy(b, h.stdin)
				h.stdin = h.stdin[n:]
				c.Ret += uint64(n)
			}
			return abi.OK
		}
		f := h.fds[c.FD]
		if f == nil {
			return abi.EBADF
		}
		for _, b := range c.Buf {
			n := copy(b, f.data[f.off:])
			f.off += n
			c.Ret += uint64(n)
		}
	case abi.SysWrite:
		if c.FD != 1 && c.FD != 2 {
			return abi.EBADF
		}
		c.Ret = 0
		for _, b := range c.Buf {
			h.stdout = append(h.stdout, b...)
			c.Ret += uint64(len(b))
		}
	case abi.SysOpen:
		data, ok := h.files[c.Path]
		if !ok && c.Path != "." {
			return abi.ENOENT
		}
		fd := abi.FD(4)
		for h.fds[fd] != nil {
			fd++
		}
		h.fds[fd] = &testFile{data: data, dir: !ok}
		c.Ret = uint64(fd)
	case abi.SysClose:
		if h.fds[c.FD] == nil {
			return abi.EBADF
		}
		delete(h.fds, c.FD)
	case abi.SysFstat:
		c.Stat = abi.Stat{Type: abi.TypeDirectory, Ino: 42}
		if f := h.fds[c.FD]; f != nil && !f.dir {
			c.Stat = abi.Stat{Type: abi.TypeRegular, Ino: 43, Size: int64(len(f.data))}
		}
	case abi.SysReaddir:
		names := []string{}
		for n := range h.files {
			names = append(names, n)
		}
		slices.Sort(names)
		c.Ents = nil
		for i := int(c.Off); i < len(names) && len(c.Ents) < int(c.Len); i++ {
			c.Ents = append(c.Ents, abi.Dirent{Next: uint64(i + 1), Ino: uint64(100 + i), Type: abi.TypeRegular, Name: names[i]})
		}
	case abi.SysStat:
		data, ok := h.files[c.Path]
		if !ok {
			return abi.ENOENT
		}
		c.Stat = abi.Stat{Type: abi.TypeRegular, Size: int64(len(data))}
	default:
		return abi.ENOSYS
	}
	return abi.OK
}

// drive resumes an instance until it exits and returns how often it yielded and
// waited.
func drive(t testing.TB, in guest.Instance, fuel int64) (exit guest.Exit, yields, waits int, used int64) {
	t.Helper()
	for {
		o, n := in.Resume(fuel)
		used += n
		switch o {
		case guest.Exited:
			return in.Exit(), yields, waits, used
		case guest.Waiting:
			waits++
		default:
			yields++
		}
	}
}

// domain makes a domain that is closed at the end of the test.
func testDomain(t testing.TB, o Options) *Domain {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inProcess is for tests of what runs, not of how it is compiled.
var inProcess = Options{CompileInProcess: true}

func load(t testing.TB, d *Domain, image []byte) guest.Program {
	t.Helper()
	p, err := d.Load(context.Background(), guest.Source{Name: "test", Image: image})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start instantiates p and checks at the end that nothing stays charged.
func instantiate(t testing.TB, p guest.Program, h *testHost) guest.Instance {
	t.Helper()
	in, err := p.Instantiate(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if used := h.account.Used(abi.LimitMemory); used != 0 {
			t.Errorf("%d bytes are still charged after Close", used)
		}
	})
	return in
}

// modules are Go programs of testdata, built once for the test binary, and what
// compiles them.
var modules struct {
	sync.Mutex
	dir   string
	built map[string][]byte
}

// moduleDir makes the directory of modules.
func moduleDir(t testing.TB) {
	t.Helper()
	if modules.dir == "" {
		dir, err := os.MkdirTemp("", "wasm-test-")
		if err != nil {
			t.Fatal(err)
		}
		modules.dir, modules.built = dir, map[string][]byte{}
	}
}

// goTool runs the go command for an output file, and returns its path.
func goTool(t testing.TB, name string, env []string, args ...string) string {
	t.Helper()
	moduleDir(t)
	out := filepath.Join(modules.dir, name)
	cmd := exec.Command("go", append(args[:len(args)-1:len(args)-1], "-o", out, args[len(args)-1])...)
	cmd.Env = append(append(os.Environ(), "GOFLAGS="), env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", args[0], err, msg)
	}
	return out
}

// goModule returns a Go program of testdata as a module.
func goModule(t testing.TB, name string) []byte {
	t.Helper()
	modules.Lock()
	defer modules.Unlock()
	if b := modules.built[name]; b != nil {
		return b
	}
	b, err := os.ReadFile(goTool(t, name, []string{"GOOS=wasip1", "GOARCH=wasm"}, "build", "-trimpath", "./testdata/"+name))
	if err != nil {
		t.Fatal(err)
	}
	modules.built[name] = b
	return b
}

// goOptions compile Go programs once for the test binary, in a child. The race
// detector would make that ten times slower, so the child is then a test binary
// without it; any other program differs in the versions it is built from.
func goOptions(t testing.TB) Options {
	t.Helper()
	modules.Lock()
	defer modules.Unlock()
	moduleDir(t)
	if !raceEnabled {
		return Options{CacheDir: filepath.Join(modules.dir, "cache")}
	}
	helper := filepath.Join(modules.dir, "helper.test")
	if modules.built["helper"] == nil {
		helper = goTool(t, "helper.test", nil, "test", "-race=false", "-c", ".")
		modules.built["helper"] = []byte{1}
	}
	return Options{CacheDir: filepath.Join(modules.dir, "cache"), Helper: []string{helper}}
}

func cleanModules() {
	if modules.dir != "" {
		_ = os.RemoveAll(modules.dir)
	}
}

// loadError asserts the kind of a refusal and returns its text.
func loadError(t testing.TB, err error, kind guest.LoadKind) string {
	t.Helper()
	var le *guest.LoadError
	if !errors.As(err, &le) {
		t.Fatalf("error %v (%T), want a *guest.LoadError", err, err)
	}
	if le.Kind != kind {
		t.Fatalf("error %v of kind %d, want %d", err, le.Kind, kind)
	}
	return le.Error()
}
