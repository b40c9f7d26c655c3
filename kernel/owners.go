package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/mem"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/resource"
	"github.com/agentos-kernel/agentos/kernel/sched"
)

// Owners returns the owner of every kind that the kernel itself provides, in
// order.
func Owners() []Owner {
	return []Owner{accountOwner{}, mountOwner{}, memoryOwner{}, descriptorOwner{}, timerOwner{}, waitOwner{}, instanceOwner{}, taskOwner{}}
}

// accountOwner: the account exists since the creation; a process is charged for
// itself from the first initialization to the last release.
type accountOwner struct{}

func (accountOwner) Kind() abi.ResourceKind { return abi.ResAccount }

func (accountOwner) Init(_ context.Context, p *Process) error {
	if !p.Account().Charge(abi.LimitProcesses, 1) {
		return errors.New("the limit of processes is 0")
	}
	return nil
}

func (accountOwner) Release(p *Process) (resource.Freed, error) {
	p.Account().Uncharge(abi.LimitProcesses, 1)
	return resource.Freed{Count: 1}, nil
}

// mountOwner: the namespace and, through it, the host handles and the private
// file systems.
type mountOwner struct{}

func (mountOwner) Kind() abi.ResourceKind { return abi.ResMount }

func (mountOwner) Init(_ context.Context, p *Process) error {
	ns, err := p.spec.Mount(p.Process)
	if err != nil {
		return err
	}
	p.SetNS(ns)
	return nil
}

func (mountOwner) Release(p *Process) (resource.Freed, error) {
	private := p.Account().Used(abi.LimitDisk)
	n := p.NS().Len()
	err := p.NS().Close()
	return resource.Freed{Count: uint64(n), Bytes: private - min(private, p.Account().Used(abi.LimitDisk))}, err
}

// memoryOwner: linear memory. It is initialized before the instance and hence
// released after it. If the instance could not be unwound its memory stays
// mapped, since code may still run in it.
type memoryOwner struct{}

func (memoryOwner) Kind() abi.ResourceKind { return abi.ResMemory }

func (memoryOwner) Init(_ context.Context, p *Process) error {
	p.memory = mem.New(p.Account(), p.Stream())
	p.memory.Tag(p.PID, p.Chain)
	return nil
}

func (memoryOwner) Release(p *Process) (resource.Freed, error) {
	if p.inhabited.Load() {
		return resource.Freed{}, errors.New("kept: the instance was not unwound")
	}
	n, bytes := p.memory.Release()
	return resource.Freed{Count: uint64(n), Bytes: bytes}, nil
}

// descriptorOwner: the descriptor table with the streams and the pre-opened
// directories.
type descriptorOwner struct{}

func (descriptorOwner) Kind() abi.ResourceKind { return abi.ResDescriptor }

func (o descriptorOwner) Init(_ context.Context, p *Process) error {
	p.SetFDs(proc.NewFDTable(p.Account()))
	if err := o.open(p); err != nil {
		_, rerr := o.Release(p)
		return errors.Join(err, rerr)
	}
	return nil
}

func (descriptorOwner) open(p *Process) error {
	install := func(what string, d proc.Descriptor) error {
		fd, errno := p.FDs().Reserve()
		if errno != abi.OK {
			_ = d.File.Unref() // the refusal is what matters
			return fmt.Errorf("%s: %w", what, errno)
		}
		if !p.FDs().Commit(fd, d) {
			_ = d.File.Unref() // as above
			return fmt.Errorf("%s: the descriptor table is closed", what)
		}
		return nil
	}
	streams := p.spec.Streams(p.Process)
	for i, f := range streams {
		if err := install(fmt.Sprintf("stream %d", i), proc.Descriptor{File: f, Rights: ^uint64(0)}); err != nil {
			for _, rest := range streams[i+1:] {
				_ = rest.Unref() // streams are not closed by it
			}
			return err
		}
	}
	epoch := p.Authority().Epoch()
	for _, pre := range p.spec.Preopens {
		file, errno := p.NS().OpenDir(pre.Path)
		if errno != abi.OK {
			return fmt.Errorf("pre-open %s: %w", pre.Path, errno)
		}
		if err := install("pre-open "+pre.Path, proc.Descriptor{File: file, Base: file.Base(), Preopen: pre.Name, Rights: ^uint64(0), Inherit: ^uint64(0), Epoch: epoch}); err != nil {
			return err
		}
	}
	if p.spec.Listen == nil {
		return nil
	}
	listeners, err := p.spec.Listen()
	for i, f := range listeners {
		if err == nil {
			err = install("listener", proc.Descriptor{File: f, Rights: ^uint64(0), Inherit: ^uint64(0)})
			continue
		}
		for _, rest := range listeners[i:] {
			_ = rest.Unref() // nobody has come in through it
		}
		break
	}
	return err
}

func (descriptorOwner) Release(p *Process) (resource.Freed, error) {
	open := p.FDs().Release()
	var errs []error
	for _, d := range open {
		if errno := d.File.Unref(); errno != abi.OK {
			errs = append(errs, fmt.Errorf("close %s: %w", d.File.Path(), errno))
		}
	}
	return resource.Freed{Count: uint64(len(open))}, errors.Join(errs...)
}

// timerOwner: the wall-clock deadline, armed at the creation.
type timerOwner struct{}

func (timerOwner) Kind() abi.ResourceKind { return abi.ResTimer }

func (timerOwner) Init(context.Context, *Process) error { return nil }

func (timerOwner) Release(p *Process) (resource.Freed, error) {
	if p.stopDeadline() {
		return resource.Freed{Count: 1}, nil
	}
	return resource.Freed{}, nil
}

// waitOwner: the gate with the waits and host operations in flight.
type waitOwner struct{}

func (waitOwner) Kind() abi.ResourceKind { return abi.ResWait }

func (waitOwner) Init(_ context.Context, p *Process) error {
	p.gate = gate.New(p.Process, p.k.shared)
	return nil
}

func (waitOwner) Release(p *Process) (resource.Freed, error) {
	waits, left := p.gate.Abandon()
	if !p.Settle(gate.Patience) {
		left++
	}
	if left > 0 {
		p.Emit(&event.Event{Category: abi.CatKernel, Severity: abi.Notice, Kind: event.KindOrphan, PID: p.PID, Chain: p.Chain, B: uint64(left)})
	}
	return resource.Freed{Count: uint64(waits)}, nil
}

// instanceOwner: the guest's module, stack, and coroutine.
type instanceOwner struct{}

func (instanceOwner) Kind() abi.ResourceKind { return abi.ResInstance }

func (instanceOwner) Init(ctx context.Context, p *Process) error {
	p.inhabited.Store(true)
	h := host{p: p}
	if p.spec.Setting != nil {
		var err error
		if h.setting, err = p.spec.Setting(p.Process); err != nil {
			p.inhabited.Store(false)
			return err
		}
	}
	inst, err := p.program.Instantiate(ctx, h)
	if h.setting != nil {
		if rerr := h.setting.Release(); rerr != nil && err == nil {
			inst, err = nil, errors.Join(rerr, inst.Close())
		}
	}
	if err != nil {
		p.inhabited.Store(false) // it leaves nothing behind
		return err
	}
	p.instance = inst
	return nil
}

func (instanceOwner) Release(p *Process) (resource.Freed, error) {
	if err := p.instance.Close(); err != nil {
		return resource.Freed{}, err
	}
	p.inhabited.Store(false)
	return resource.Freed{Count: 1}, nil
}

// taskOwner: the scheduler's entity.
type taskOwner struct{}

func (taskOwner) Kind() abi.ResourceKind { return abi.ResTask }

func (taskOwner) Init(_ context.Context, p *Process) error {
	p.entity = sched.NewEntity(task{p})
	p.gate.SetLease(p.k.parts.Sched.Lease(p.entity))
	p.SetWake(func() { p.k.wake(p) })
	return nil
}

func (taskOwner) Release(p *Process) (resource.Freed, error) {
	if !p.k.parts.Sched.Detach(p.entity) {
		return resource.Freed{}, errors.New("still on a vCPU")
	}
	return resource.Freed{Count: 1}, nil
}

// wake makes p runnable, but not before it is ready: a wake-up that arrives
// during its initialization is made good by Start.
func (k *Kernel) wake(p *Process) {
	if s := p.State(); s.Schedulable() || s == proc.Stopped {
		k.parts.Sched.Wake(p.entity)
	}
}

// host is what an instance of p is lent. It implements [guest.Outside].
type host struct {
	p       *Process
	setting *guest.Setting
}

var _ guest.Outside = host{}

func (h host) Gate() guest.Gate        { return h.p.gate }
func (h host) Memory() guest.Memory    { return memory{h.p} }
func (h host) Setting() *guest.Setting { return h.setting }
func (h host) Wake()                   { h.p.Wake() }

// Used takes over what the host counted, and holds the CPU time to its limit.
func (h host) Used(u guest.Usage) {
	p := h.p
	sum := p.ObserveCPU(u.CPU)
	p.Resident.Store(u.Memory)
	p.Account().Observe(abi.LimitMemory, u.MemoryPeak)
	p.Account().Observe(abi.LimitProcesses, u.Processes)
	p.BytesRead.Store(max(p.BytesRead.Load(), u.BytesRead))
	p.BytesWritten.Store(max(p.BytesWritten.Load(), u.BytesWritten))
	task{p}.limitCPU(sum)
}

func (h host) Broke(cause abi.Cause, detail string) {
	h.p.Kill(proc.End{Cause: cause, Detail: detail})
}

func (h host) Ran(pid int, program string) {
	h.p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Info, Kind: event.KindExec, PID: h.p.PID, Chain: h.p.Chain, A: uint64(pid), Text: program})
}

// Grace is for a program whose time is over: whoever kills it otherwise means now.
func (h host) Grace() time.Duration {
	if e := h.p.End(); e != nil && e.Cause == abi.CauseTimeout {
		return h.p.spec.Grace
	}
	return 0
}

func (h host) Static(nr abi.Sysno) guest.Static {
	if nr >= abi.NumSys || !h.p.Subject().Capability(nr.Row()).Allow {
		return guest.Never
	}
	return guest.Ask
}

// memory lends the process's memory to its instance and notes refusals, which
// are the difference between a fault and a memory limit.
type memory struct{ p *Process }

func (m memory) Reserve(max uint64) (guest.Region, error) {
	r, err := m.p.memory.Reserve(max)
	if err != nil {
		return nil, err
	}
	return region{r, m.p.Process}, nil
}

func (m memory) Charge(size uint64) bool {
	ok := m.p.memory.Charge(size)
	if !ok {
		m.p.MemoryRefused(true)
	}
	return ok
}

type region struct {
	*mem.Region
	p *proc.Process
}

// Free does nothing: the memory owner returns the region, and counts it, once the
// instance is unwound.
func (region) Free() {}

func (r region) Grow(size uint64) ([]byte, bool) {
	b, ok := r.Region.Grow(size)
	r.p.MemoryRefused(!ok)
	return b, ok
}
