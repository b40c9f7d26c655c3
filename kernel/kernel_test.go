package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/gate"
	gatefile "github.com/agentos-kernel/agentos/kernel/gate/file"
	gatenet "github.com/agentos-kernel/agentos/kernel/gate/net"
	gateproc "github.com/agentos-kernel/agentos/kernel/gate/proc"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/resource"
	"github.com/agentos-kernel/agentos/kernel/sched"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// program is a guest written in Go: a function on a coroutine of its own that
// makes calls.
type program func(*cpu)

func (f program) Close() error { return nil }

func (f program) Instantiate(_ context.Context, h guest.Host) (guest.Instance, error) {
	region, err := h.Memory().Reserve(1 << 20)
	if err != nil {
		return nil, err
	}
	if _, ok := region.Grow(1 << 16); !ok {
		region.Free()
		return nil, errors.New("memory refused")
	}
	return &instance{f: f, host: h, resume: make(chan struct{}), paused: make(chan guest.Outcome)}, nil
}

// instance hands its goroutine to and fro; only one side runs at a time.
type instance struct {
	f       program
	host    guest.Host
	resume  chan struct{}
	paused  chan guest.Outcome
	started bool
	over    bool
	closing bool
	exit    guest.Exit
}

// cpu is what a program sees.
type cpu struct{ in *instance }

// unwound is what a program panics with to end.
type unwound struct{}

func (in *instance) Resume(int64) (guest.Outcome, int64) {
	if !in.started {
		in.started = true
		go func() {
			<-in.resume
			defer func() {
				if r := recover(); r != nil && r != (unwound{}) {
					in.exit = guest.Exit{Cause: abi.CauseFault, Detail: fmt.Sprint(r), Backtrace: []string{"main"}}
				}
				in.over = true
				in.paused <- guest.Exited
			}()
			in.f(&cpu{in})
			in.exit = guest.Exit{Cause: abi.CauseExited}
		}()
	}
	in.resume <- struct{}{}
	return <-in.paused, 1000
}

func (in *instance) Exit() guest.Exit { return in.exit }

func (in *instance) Close() error {
	in.closing = true
	for in.started && !in.over {
		in.resume <- struct{}{}
		<-in.paused
	}
	return nil
}

func (c *cpu) pause(o guest.Outcome) {
	c.in.paused <- o
	<-c.in.resume
	if c.in.closing || c.in.host.Gate().Killed() {
		panic(unwound{})
	}
}

func (c *cpu) yield() { c.pause(guest.Yielded) }

func (c *cpu) call(x *abi.Call) {
	x.Via = "test"
	st := c.in.host.Gate().Call(x)
	for st == abi.Blocked {
		c.pause(guest.Waiting)
		st = c.in.host.Gate().Continue(x)
	}
	if st == abi.Killed {
		panic(unwound{})
	}
}

// waiting are the handlers that wait, of all subsystems.
func waiting() map[abi.Sysno]gate.WaitHandler {
	all := gateproc.Waiting()
	maps.Copy(all, gatenet.Waiting())
	return all
}

// handled are the handlers that do not wait, of all subsystems.
func handled() map[abi.Sysno]gate.Handler {
	all := gateproc.Handlers()
	maps.Copy(all, gatefile.Handlers())
	maps.Copy(all, gatenet.Handlers())
	return all
}

// parts are those of a whole kernel.
func parts(t testing.TB, owners []Owner, handlers ...map[abi.Sysno]gate.Handler) Parts {
	t.Helper()
	if handlers == nil {
		handlers = []map[abi.Sysno]gate.Handler{gateproc.Handlers(), gatefile.Handlers(), gatenet.Handlers()}
	}
	table, err := gate.NewTable(waiting(), handlers...)
	if err != nil {
		t.Fatal(err)
	}
	s := sched.New(sched.Options{VCPUs: 2})
	t.Cleanup(s.Close)
	return Parts{Stream: event.New(event.Options{Records: 4096}), Sched: s, Table: table, Workers: gate.NewWorkers(8), Owners: owners, Patience: 100 * time.Millisecond}
}

func boot(t testing.TB, p Parts) *Kernel {
	t.Helper()
	k, err := Boot(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return k
}

func spec() Spec {
	return Spec{
		Program: "test", Args: []string{"test"}, Caps: limit.Caps{abi.LimitMemory: 1 << 30, abi.LimitDisk: 1 << 20, abi.LimitFiles: 64, abi.LimitProcesses: 8},
		Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{
			Caps:  abi.Caps(abi.CapFileRead, abi.CapFileWrite, abi.CapEnv, abi.CapClock, abi.CapRandom, abi.CapSignal),
			Paths: []perm.PathRule{{Guest: "/tmp", Right: perm.Write, Source: "default"}},
		}), nil),
		Denials: new(perm.Denials),
		Mount: func(p *proc.Process) (*vfs.Namespace, error) {
			ns := vfs.NewNamespace(vfs.Options{})
			return ns, ns.Mount("/tmp", memfs.New(p.Account(), memfs.Options{}))
		},
		Streams: func(*proc.Process) [3]*vfs.File {
			return [3]*vfs.File{
				vfs.NewStream(strings.NewReader("input"), nil, vfs.StreamOptions{}),
				vfs.NewStream(nil, discard{}, vfs.StreamOptions{}),
				vfs.NewStream(nil, discard{}, vfs.StreamOptions{}),
			}
		},
		Preopens: []Preopen{{"/tmp", "/tmp"}},
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// run runs f as a process to its end.
func run(t testing.TB, k *Kernel, s Spec, f program) *Process {
	t.Helper()
	p, err := k.Create(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Start(t.Context(), p, f); err != nil {
		t.Fatal(err)
	}
	<-p.DeadC()
	return p
}

// busy makes one call of each kind.
func busy(c *cpu) {
	c.call(&abi.Call{Nr: abi.SysClockTime})
	c.call(&abi.Call{Nr: abi.SysOpen, FD: 3, Path: "f", Open: abi.ORead | abi.OWrite | abi.OCreate, Arg: [2]uint64{^uint64(0), ^uint64(0)}})
	c.call(&abi.Call{Nr: abi.SysWrite, FD: 4, Buf: [][]byte{[]byte("text")}})
	c.call(&abi.Call{Nr: abi.SysPread, FD: 4, Buf: [][]byte{make([]byte, 4)}})
	c.call(&abi.Call{Nr: abi.SysWrite, FD: 1, Buf: [][]byte{[]byte("text")}}) // by a worker
	c.yield()
	c.call(&abi.Call{Nr: abi.SysPoll, Polls: []abi.Poll{{Kind: abi.PollClock, Clock: abi.ClockMonotonic, Timeout: 1000}}})
	c.call(&abi.Call{Nr: abi.SysYield})
	c.call(&abi.Call{Nr: abi.SysReaddir, FD: 3, Len: 10})
	c.call(&abi.Call{Nr: abi.SysStat, FD: 3, Path: "../../etc/passwd"})
}

// sound checks what must hold of every dead process.
func sound(t testing.TB, p *Process) {
	t.Helper()
	if held := p.Account().Held(); len(held) != 0 {
		t.Errorf("still charged: %v", held)
	}
	if p.State() != proc.Dead || p.End() == nil {
		t.Errorf("state %s, end %v", p.State(), p.End())
	}
	h := p.History()
	for i := 1; i < len(h); i++ {
		if !slices.ContainsFunc(proc.Transitions(), func(tr proc.Transition) bool { return tr.To == h[i].State }) {
			t.Errorf("history %v", h)
		}
	}
	if _, ok := p.k.Lookup(p.PID); ok && p.k.table.Len() == 0 {
		t.Error("still in the table")
	}
}

func TestLifeOfAProcess(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("run", func(t *testing.T) {
		k := boot(t, parts(t, Owners()))
		p := run(t, k, spec(), busy)
		sound(t, p)
		if p.End().Cause != abi.CauseExited || len(p.Summary().Errors) != 0 {
			t.Errorf("end %+v, cleanup %v", p.End(), p.Summary().Errors)
		}
		for _, kind := range []abi.ResourceKind{abi.ResAccount, abi.ResMount, abi.ResMemory, abi.ResDescriptor, abi.ResInstance, abi.ResTask} {
			if p.Summary().ByKind[kind].Count == 0 {
				t.Errorf("nothing released of kind %s", kind)
			}
		}
		if k.Processes() != 0 {
			t.Errorf("%d processes left", k.Processes())
		}
	})
}

// failing is an owner whose Init or Release misbehaves.
type failing struct {
	Owner
	init, release func() error
}

func (f failing) Init(ctx context.Context, p *Process) error {
	if f.init != nil {
		if err := f.init(); err != nil {
			return err
		}
	}
	return f.Owner.Init(ctx, p)
}

func (f failing) Release(p *Process) (resource.Freed, error) {
	if f.release != nil {
		defer func() { _ = f.release() }() // after the real one; it panics
	}
	return f.Owner.Release(p)
}

func TestEachInitializerFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for i, o := range Owners() {
		t.Run(o.Kind().String(), func(t *testing.T) {
			owners := Owners()
			owners[i] = failing{Owner: o, init: func() error { return errors.New("no luck") }}
			k := boot(t, parts(t, owners))
			p, err := k.Create(spec())
			if err != nil {
				t.Fatal(err)
			}
			ran := false
			err = k.Start(t.Context(), p, program(func(*cpu) { ran = true }))
			var ie *resource.InitError
			if !errors.As(err, &ie) || ie.Kind != o.Kind() {
				t.Errorf("error %v", err)
			}
			<-p.DeadC()
			sound(t, p)
			if ran || p.End().Cause != abi.CauseSetupFailed || len(p.Summary().Errors) != 0 {
				t.Errorf("ran %v, end %+v, cleanup %v", ran, p.End(), p.Summary().Errors)
			}
			for _, h := range p.History() {
				if h.State == proc.Ready || h.State == proc.Running {
					t.Errorf("was %s without its %s", h.State, o.Kind())
				}
			}
		})
	}
}

func TestEachReleasePanics(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for i, o := range Owners() {
		t.Run(o.Kind().String(), func(t *testing.T) {
			owners := Owners()
			owners[i] = failing{Owner: o, release: func() error { panic("no luck") }}
			k := boot(t, parts(t, owners))
			p := run(t, k, spec(), busy)
			if e := p.Summary().Errors; len(e) != 1 || !strings.HasPrefix(e[0], o.Kind().String()) {
				t.Errorf("cleanup %v", e)
			}
			sound(t, p)
			sound(t, run(t, boot(t, parts(t, Owners())), spec(), busy)) // and a kernel goes on
		})
	}
}

// TestCoverage removes each owner in turn: the kernel must not boot.
func TestCoverage(t *testing.T) {
	for i, o := range Owners() {
		if _, err := Boot(parts(t, slices.Delete(Owners(), i, i+1))); !errors.Is(err, resource.ErrCoverage) {
			t.Errorf("without an owner of %s: %v", o.Kind(), err)
		}
	}
	for nr := range abi.NumSys {
		h := handled()
		if h[nr] == nil {
			continue // waits
		}
		delete(h, nr)
		if _, err := gate.NewTable(waiting(), h); err == nil || !strings.Contains(err.Error(), nr.String()) {
			t.Errorf("without a handler of %s: %v", nr, err)
		}
	}
}

// TestKillRacesEveryTransition kills processes at every point of their lives.
func TestKillRacesEveryTransition(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	t.Run("race", func(t *testing.T) {
		k := boot(t, parts(t, Owners()))
		causes := map[abi.Cause]int{}
		last := map[proc.State]int{}
		for i := range rounds {
			p, err := k.Create(spec())
			if err != nil {
				t.Fatal(err)
			}
			spins := rand.IntN(1 + i%400)
			var wg sync.WaitGroup
			wg.Go(func() {
				for range spins {
					runtime.Gosched()
				}
				p.Kill(proc.End{Cause: abi.CauseKilled, Signal: abi.SIGKILL})
			})
			if err := k.Start(t.Context(), p, program(busy)); err != nil && !p.Killed() {
				t.Fatal(err)
			}
			<-p.DeadC()
			wg.Wait()
			sound(t, p)
			if len(p.Summary().Errors) != 0 {
				t.Fatalf("cleanup %v", p.Summary().Errors)
			}
			causes[p.End().Cause]++
			h := p.History()
			last[h[len(h)-2].State]++
		}
		t.Logf("ended by %v; last living states %v", causes, last)
	})
}

// TestNoCallBeforeReadyOrAfterDeath holds the gate shut outside a process's life.
func TestNoCallBeforeReadyOrAfterDeath(t *testing.T) {
	k := boot(t, parts(t, Owners()))
	var early abi.Status
	p, err := k.Create(spec())
	if err != nil {
		t.Fatal(err)
	}
	prog := probing{program(busy), func(g guest.Gate) { early = g.Call(&abi.Call{Nr: abi.SysClockTime}) }}
	if err := k.Start(t.Context(), p, prog); err != nil {
		t.Fatal(err)
	}
	<-p.DeadC()
	if early != abi.Killed {
		t.Error("a call was served before the process was ready")
	}
	if st := p.gate.Call(&abi.Call{Nr: abi.SysClockTime}); st != abi.Killed {
		t.Error("a call was served after the process died")
	}
}

// probing calls the gate while it is instantiated.
type probing struct {
	program
	probe func(guest.Gate)
}

func (p probing) Instantiate(ctx context.Context, h guest.Host) (guest.Instance, error) {
	p.probe(h.Gate())
	return p.program.Instantiate(ctx, h)
}

// TestHandlerPanics ends one process and nobody else, inline and on a worker.
func TestHandlerPanics(t *testing.T) {
	for _, nr := range []abi.Sysno{abi.SysClockTime, abi.SysWrite, abi.SysPoll} {
		t.Run(nr.String(), func(t *testing.T) {
			h := handled()
			ps := parts(t, Owners(), h)
			var told atomic.Int32
			boom := func() { panic("injected") }
			waiting := waiting()
			if nr == abi.SysPoll {
				waiting[nr] = func(*proc.Process, *abi.Call, time.Time) (abi.Errno, gate.Wait, bool) {
					boom()
					return 0, gate.Wait{}, true
				}
			} else {
				h[nr] = func(*proc.Process, *abi.Call) abi.Errno { boom(); return 0 }
			}
			table, err := gate.NewTable(waiting, h)
			if err != nil {
				t.Fatal(err)
			}
			ps.Table = table
			ps.Panicked = func(*proc.Process, any, []byte) { told.Add(1) }
			k := boot(t, ps)
			bystander, err := k.Create(spec())
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Start(t.Context(), bystander, program(func(c *cpu) {
				for told.Load() == 0 {
					c.yield()
				}
			})); err != nil {
				t.Fatal(err)
			}
			p := run(t, k, spec(), busy)
			sound(t, p)
			if e := p.End(); e.Cause != abi.CauseKernelError || !strings.Contains(e.Detail, "injected") {
				t.Errorf("end %+v", e)
			}
			<-bystander.DeadC()
			sound(t, bystander)
			if bystander.End().Cause != abi.CauseExited {
				t.Errorf("the bystander ended by %+v", bystander.End())
			}
		})
	}
}
