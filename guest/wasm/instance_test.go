package wasm

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Programs that never end must give the vCPU back, however they spend time.
func TestEndlessYields(t *testing.T) {
	d := testDomain(t, inProcess)
	for name, image := range map[string][]byte{
		"loop": endless(), "memory.fill": endlessFill(), "table.fill": endlessTable(), "sched_yield": yielding(),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(1 << 30)
			in := instantiate(t, load(t, d, image), h)
			for range 50 {
				o, used := in.Resume(1000)
				if o != guest.Yielded {
					t.Fatalf("outcome %d, want Yielded; exit %+v", o, in.Exit())
				}
				if name != "sched_yield" && (used < 1000 || used > 10_000) {
					t.Fatalf("used %d of 1000 fuel", used)
				}
			}
			h.killed.Store(true)
			if o, _ := in.Resume(1000); o != guest.Exited || in.Exit().Cause != abi.CauseNone {
				t.Fatalf("outcome %d, exit %+v after a kill", o, in.Exit())
			}
			if o, used := in.Resume(1000); o != guest.Exited || used != 0 {
				t.Fatalf("resumed after the end: %d, %d", o, used)
			}
		})
	}
}

// Much fuel is spent in parts, and all of it; a kill ends it between parts.
func TestLargeFuel(t *testing.T) {
	d := testDomain(t, inProcess)
	h := newHost(1 << 30)
	in := instantiate(t, load(t, d, endless()), h)
	const fuel = 10*maxPart + 12345
	for range 2 {
		o, used := in.Resume(fuel)
		if o != guest.Yielded || used < fuel || used > fuel+10 {
			t.Fatalf("outcome %d after %d of %d", o, used, int64(fuel))
		}
	}
	h.killed.Store(true)
	if o, used := in.Resume(1 << 60); o != guest.Exited || used > 2*maxPart {
		t.Fatalf("outcome %d after %d", o, used)
	}
}

func TestRecursionFaults(t *testing.T) {
	for name, limits := range map[string]Limits{"own limit": {}, "engine's limit": {MaxStack: 1 << 40}, "small": {MaxStack: 1 << 20}} {
		t.Run(name, func(t *testing.T) {
			if name == "engine's limit" && testing.Short() {
				t.Skip("not checked in short mode, for its 800 MB: a stack overflow of the engine itself is a fault")
			}
			d := testDomain(t, Options{CompileInProcess: true, Limits: limits})
			h := newHost(8 << 30)
			exit, _, _, _ := drive(t, instantiate(t, load(t, d, recursion()), h), 20_000)
			want := "call stack exhausted"
			if name == "engine's limit" {
				want = "stack overflow"
			}
			if exit.Cause != abi.CauseFault || exit.Detail != want {
				t.Fatalf("exit %+v, want a fault: %s", exit, want)
			}
			if name != "engine's limit" && (len(exit.Backtrace) < 10 || exit.Backtrace[0] != "down") {
				t.Errorf("backtrace %q", exit.Backtrace)
			}
			if peak := h.account.Peak(abi.LimitMemory); peak == 0 && name != "small" {
				t.Error("the stack was not charged")
			}
		})
	}
}

// A stack that the memory limit does not allow ends its guest.
func TestStackIsCharged(t *testing.T) {
	d := testDomain(t, inProcess)
	h := newHost(4 << 20)
	exit, _, _, _ := drive(t, instantiate(t, load(t, d, recursion()), h), 20_000)
	if exit.Cause != abi.CauseFault || !strings.Contains(exit.Detail, "memory limit") {
		t.Fatalf("exit %+v", exit)
	}
	if h.account.Refused(abi.LimitMemory) == 0 {
		t.Error("no refusal counted")
	}
}

// Closing a guest that is deep in its stack, or killing it, unwinds it.
func TestUnwindDeep(t *testing.T) {
	d := testDomain(t, inProcess)
	for range 2 {
		h := newHost(1 << 30)
		in := instantiate(t, load(t, d, recursion()), h)
		for in.(*instance).stack < 2*shallow {
			if o, _ := in.Resume(500); o != guest.Yielded {
				t.Fatalf("outcome %d, exit %+v", o, in.Exit())
			}
		}
		h.killed.Store(true)
		if o, _ := in.Resume(1); o != guest.Exited {
			t.Fatalf("outcome %d", o)
		}
	}
	if escape() == errUnwind {
		t.Error("the cheap way to unwind does not work with this wazero")
	}
}

func TestTraps(t *testing.T) {
	d := testDomain(t, inProcess)
	div := newModule(0, 0)
	div.fn("main", 0, code(i32(1), i32(0), 0x6d, 0x1a)...)
	oob := newModule(1, 1)
	oob.fn("main", 0, code(i32(65536), 0x2d, 0, 0, 0x1a)...)
	null := newModule(0, 0)
	null.tables = [][]byte{{0x70, 0, 1}}
	null.fn("main", 0, code(i32(0), 0x11, 0, 0)...)
	for _, c := range []struct {
		image  []byte
		detail string
		trace  []string
	}{
		{trapping(), "unreachable executed", []string{"inner", "outer", "main"}},
		{div.command(), "integer divide by zero", []string{"main"}},
		{oob.command(), "out of bounds memory access", []string{"main"}},
		{null.command(), "out of bounds or empty table entry", []string{"main"}},
	} {
		exit, _, _, _ := drive(t, instantiate(t, load(t, d, c.image), newHost(1<<30)), 1000)
		if exit.Cause != abi.CauseFault || exit.Detail != c.detail || !slices.Equal(exit.Backtrace, c.trace) {
			t.Errorf("exit %+v, want %s at %q", exit, c.detail, c.trace)
		}
	}
}

// The start function runs under metering like everything else.
func TestStartFunctionIsMetered(t *testing.T) {
	d := testDomain(t, inProcess)
	m := newModule(0, 0)
	m.fn("begin", 0, 0x03, 0x40, 0x0c, 0, 0x0b)
	m.start = 0
	m.fn("main", 0)
	in := instantiate(t, load(t, d, m.command()), newHost(1<<30))
	for range 3 {
		if o, _ := in.Resume(100); o != guest.Yielded {
			t.Fatalf("outcome %d", o)
		}
	}
}

func TestExitCodes(t *testing.T) {
	d := testDomain(t, inProcess)
	for _, code := range []int{0, 1, 42, 255, 256, -1} {
		h := newHost(1 << 30)
		exit, _, _, _ := drive(t, instantiate(t, load(t, d, exiting(code)), h), 1000)
		if exit.Cause != abi.CauseExited || exit.Code != int(uint32(code)) {
			t.Errorf("exit %+v, want code %d", exit, code)
		}
	}
	m := newModule(0, 0)
	m.fn("main", 0)
	exit, _, _, _ := drive(t, instantiate(t, load(t, d, m.command()), newHost(1<<30)), 1000)
	if exit.Cause != abi.CauseExited || exit.Code != 0 {
		t.Errorf("returning from _start: %+v", exit)
	}
}

// A guest that waits is resumed into the same call; one that is killed while it
// waits never returns from it.
func TestWaiting(t *testing.T) {
	d := testDomain(t, inProcess)
	p := load(t, d, caller("clock_time_get", 3, i32(0), i64(0), i32(64)))
	h := newHost(1 << 30)
	h.block[abi.SysClockTime] = true
	exit, _, waits, _ := drive(t, instantiate(t, p, h), 1000)
	if waits != 3 || exit.Code != 0 || h.calls["clock_time_get"] != 3 {
		t.Fatalf("%d waits, exit %+v", waits, exit)
	}
	h = newHost(1 << 30)
	h.block[abi.SysClockTime] = true
	in := instantiate(t, p, h)
	if o, _ := in.Resume(1000); o != guest.Waiting {
		t.Fatalf("outcome %d", o)
	}
	h.killed.Store(true)
	if o, _ := in.Resume(1000); o != guest.Exited || in.Exit().Cause != abi.CauseNone {
		t.Fatalf("outcome %d, exit %+v", o, in.Exit())
	}
}

// panicGate stands for a kernel that breaks.
type panicGate struct{ *testHost }

func (panicGate) Call(*abi.Call) abi.Status { panic("broken") }

func (g panicGate) Gate() guest.Gate { return g }

func TestPanicInGate(t *testing.T) {
	d := testDomain(t, inProcess)
	p := load(t, d, caller("sched_yield", 1))
	in, err := p.Instantiate(context.Background(), panicGate{newHost(1 << 30)})
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := in.Resume(1000); o != guest.Exited || in.Exit().Cause != abi.CauseKernelError || in.Exit().Detail != "broken" {
		t.Fatalf("outcome %d, exit %+v", o, in.Exit())
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryLimit(t *testing.T) {
	d := testDomain(t, inProcess)
	m := newModule(1, 1000)
	exit := m.wasi("proc_exit")
	// Grow by a page until that fails, then exit with the size in pages.
	m.fn("main", 0, code(0x03, 0x40, i32(1), 0x40, 0, i32(-1), 0x47, 0x0d, 0, 0x0b, 0x3f, 0, 0x10, exit)...)
	p := load(t, d, m.command())
	h := newHost(10 << 16)
	got, _, _, _ := drive(t, instantiate(t, p, h), 1000)
	if got.Code != 10 {
		t.Errorf("grew to %d pages of 10", got.Code)
	}
	if h.account.Refused(abi.LimitMemory) == 0 {
		t.Error("the refusal is not counted")
	}
	got, _, _, _ = drive(t, instantiate(t, p, newHost(1<<30)), 1000)
	if got.Code != 1000 {
		t.Errorf("grew to %d pages of 1000", got.Code)
	}
	big := newModule(100, 100)
	big.fn("main", 0)
	h = newHost(10 << 16)
	_, err := load(t, d, big.command()).Instantiate(context.Background(), h)
	loadError(t, err, guest.TooCostly)
	if used := h.account.Used(abi.LimitMemory); used != 0 {
		t.Errorf("%d bytes still charged", used)
	}
}

// A segment outside memory is refused when it is put there, and leaves nothing.
func TestBadSegment(t *testing.T) {
	d := testDomain(t, inProcess)
	m := newModule(1, 1)
	m.data = [][]byte{code(0, i32(65535), 0x0b, str("xy"))}
	m.fn("main", 0)
	h := newHost(1 << 30)
	_, err := load(t, d, m.command()).Instantiate(context.Background(), h)
	loadError(t, err, guest.NotRunnable)
	if n, _ := h.mem.Release(); n != 0 || h.account.Used(abi.LimitMemory) != 0 {
		t.Errorf("%d regions left", n)
	}
}

// Many instances of one program, interleaved on several goroutines.
func TestThousandInstances(t *testing.T) {
	d := testDomain(t, inProcess)
	p := load(t, d, endless())
	const n = 1000
	all := make([]guest.Instance, n)
	for i := range all {
		all[i] = instantiate(t, p, newHost(1<<20))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 3 {
				for i := w; i < n; i += 4 {
					if o, _ := all[i].Resume(50); o != guest.Yielded {
						t.Errorf("outcome %d", o)
					}
				}
			}
		}()
	}
	wg.Wait()
	if g := runtime.NumGoroutine(); g < n {
		t.Errorf("%d goroutines for %d suspended guests", g, n)
	}
	for _, in := range all {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := all[0].Close(); err != nil {
		t.Error("closing twice:", err)
	}
}

// One instance moves between goroutines, as between vCPUs.
func TestMigration(t *testing.T) {
	d := testDomain(t, inProcess)
	in := instantiate(t, load(t, d, endless()), newHost(1<<20))
	turns := make(chan int)
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range turns {
				if o, _ := in.Resume(10); o != guest.Yielded {
					t.Errorf("outcome %d", o)
				}
				if n == 0 {
					close(turns)
					return
				}
				turns <- n - 1
			}
		}()
	}
	turns <- 300
	wg.Wait()
}
