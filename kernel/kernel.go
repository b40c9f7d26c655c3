package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/internal/idtable"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/resource"
	"github.com/agentos-kernel/agentos/kernel/sched"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Owner initializes and releases one kind of resource of a process.
type Owner = resource.Owner[*Process]

// Parts are what a kernel is made of. Stream and Panicked may be nil; everything
// else must be there.
type Parts struct {
	Stream  *event.Stream
	Sched   *sched.Scheduler
	Table   *gate.Table
	Workers *gate.Workers
	Owners  []Owner
	// Patience bounds each release of a resource; 0 is the default.
	Patience time.Duration
	// Host looks at the host, for naming hidden denials; it may be nil.
	Host proc.HostView
	// Panicked is told of a panic in a handler, after its process was marked.
	Panicked func(p *proc.Process, value any, stack []byte)
}

// Kernel is a process table and what serves it.
type Kernel struct {
	parts  Parts
	table  *idtable.Table[*Process]
	orch   *resource.Orchestrator[*Process]
	shared *gate.Shared

	mu      sync.Mutex
	closing bool           // guarded by mu
	living  sync.WaitGroup // added to under mu while not closing
}

// ErrClosed is returned by Spawn on a kernel that shuts down.
var ErrClosed = errors.New("the kernel is shutting down")

// Boot checks that the parts cover everything that is declared and starts
// accepting processes. It does not take ownership of the parts.
func Boot(parts Parts) (*Kernel, error) {
	if parts.Sched == nil || parts.Table == nil || parts.Workers == nil {
		return nil, errors.New("boot: scheduler, gate table, and workers are required")
	}
	orch, err := resource.New(parts.Patience, parts.Owners...)
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	k := &Kernel{
		parts:  parts,
		table:  idtable.New[*Process](idtable.Options{}),
		orch:   orch,
		shared: &gate.Shared{Table: parts.Table, Workers: parts.Workers, Panicked: parts.Panicked},
	}
	k.parts.Stream.Emit(&event.Event{Category: abi.CatKernel, Severity: abi.Info, Kind: event.KindBoot, A: uint64(parts.Sched.VCPUs())})
	return k, nil
}

// Preopen is a directory that a process finds open.
type Preopen struct {
	Path string // absolute guest path
	Name string // what the process finds it under; often the same
}

// Spec is what a process is created from.
type Spec struct {
	Program   string
	Domain    string
	Args      []string // with the program's name first
	Env       []string
	Caps      limit.Caps // CPU and wall among them, in nanoseconds
	Authority *perm.Authority
	Denials   *perm.Denials
	// Mount builds the namespace; the process's account pays for what is
	// private. The namespace is the process's from then on.
	Mount func(*proc.Process) (*vfs.Namespace, error)
	// Streams makes descriptors 0 to 2; the process owns the references.
	Streams func(*proc.Process) [3]*vfs.File
	// Listen opens the listeners that the process finds open after its
	// directories, in order; nil opens none. What it returns with an error is
	// given back as well.
	Listen func() ([]*vfs.File, error)
	// Preopens are the directories opened as descriptors 3 and up.
	Preopens []Preopen
	// Setting describes the surroundings of a program that runs outside the kernel;
	// nil for one that asks for them call by call. It is made when everything else
	// of the process is initialized, and given back when its instance is closed.
	Setting func(*proc.Process) (*guest.Setting, error)
	// Grace is how long such a program has between TERM and KILL when its time is
	// over.
	Grace time.Duration
	// Chain is the cause that this process belongs to.
	Chain abi.ChainID
	// Created is told of the process before its first event; it may be nil.
	Created func(*Process)
}

// Create makes a process in state Creating, with its number and its account, but
// without resources. Its time-out runs from here. It must be followed by
// [Kernel.Start] or [Kernel.Discard].
func (k *Kernel) Create(spec Spec) (*Process, error) {
	if !k.enter() {
		return nil, ErrClosed
	}
	p := &Process{k: k, spec: spec}
	if err := k.enroll(p); err != nil {
		k.living.Done()
		return nil, err
	}
	if spec.Created != nil {
		spec.Created(p)
	}
	p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Info, Kind: event.KindSpawn, PID: p.PID, Chain: p.Chain, Text: spec.Program, Text2: spec.Domain})
	p.Announce()
	if wall := spec.Caps[abi.LimitWall]; wall != 0 {
		p.armDeadline(time.Duration(wall))
	}
	return p, nil
}

// enroll gives p its number and its place in the table.
func (k *Kernel) enroll(p *Process) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	_, ok := k.table.AllocWith(func(id idtable.ID) *Process {
		p.Process = proc.New(proc.Options{
			Identity: proc.Identity{
				Handle: abi.Handle(id), PID: abi.PID(id.Index()), Chain: p.spec.Chain,
				Program: p.spec.Program, Args: p.spec.Args, Env: p.spec.Env,
			},
			Stream: k.parts.Stream, Account: limit.NewAccount(p.spec.Caps),
			Authority: p.spec.Authority, Denials: p.spec.Denials, Host: k.parts.Host,
		})
		return p
	})
	if !ok {
		return errors.New("the process table is full")
	}
	return nil
}

func (k *Kernel) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		return false
	}
	k.living.Add(1)
	return true
}

// Start initializes every resource of p for a loaded program and makes it
// schedulable. On error everything that had been initialized was released and p
// is dead, its end set to setup_failed unless something else ended it first.
func (k *Kernel) Start(ctx context.Context, p *Process, program guest.Program) error {
	p.program = program
	var sum resource.Summary
	err := guarded(func() { p.To(proc.Initializing) })
	if err == nil {
		sum, err = k.orch.Init(ctx, p)
	}
	if err == nil && p.Killed() {
		sum = k.orch.Release(p)
		err = fmt.Errorf("killed before it was ready: %s", p.End().Cause)
	}
	if err != nil {
		p.summary = sum
		p.Finish(proc.End{Cause: abi.CauseSetupFailed, Detail: err.Error()})
		k.bury(p)
		return err
	}
	if err := guarded(func() { p.To(proc.Ready) }); err != nil {
		p.Kill(proc.End{Cause: abi.CauseKernelError, Detail: err.Error()})
	}
	p.Wake()
	return nil
}

// Discard ends a process that was created but will not be started.
func (k *Kernel) Discard(p *Process, e proc.End) {
	p.Finish(e)
	k.bury(p)
}

// exit releases a process whose guest has ended. It runs on its own goroutine,
// so that a slow release holds no vCPU.
func (k *Kernel) exit(p *Process) {
	var ex guest.Exit
	if p.started {
		ex = p.instance.Exit()
	}
	if ex.Cause != abi.CauseNone {
		p.Finish(proc.End{Cause: ex.Cause, Code: ex.Code, Signal: ex.Signal, Detail: ex.Detail, Backtrace: ex.Backtrace})
	}
	// A guest that stopped without a cause and that nobody killed is our fault.
	p.Finish(proc.End{Cause: abi.CauseKernelError, Detail: "the guest stopped without a cause"})
	p.AddBacktrace(ex.Backtrace)
	if ex.Cause == abi.CauseFault {
		p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Warning, Kind: event.KindFault, PID: p.PID, Chain: p.Chain, Text: ex.Detail, Text2: strings.Join(ex.Backtrace, " ← ")})
	}
	broken := guarded(func() { p.To(proc.Zombie) })
	p.summary = k.orch.Release(p)
	if broken != nil {
		p.summary.Errors = append(p.summary.Errors, broken.Error())
	}
	if held := p.Account().Held(); len(held) != 0 {
		p.summary.Errors = append(p.summary.Errors, fmt.Sprintf("account: still charged after release: %v", held))
	}
	k.bury(p)
}

// guarded calls f and turns a panic of our own into an error, where the work
// after it must be done all the same.
func guarded(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kernel: panic: %v", r)
		}
	}()
	f()
	return nil
}

// bury frees the number of a process that holds nothing any more and lets its
// waiters go on.
func (k *Kernel) bury(p *Process) {
	p.stopDeadline()
	end := p.End()
	p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Info, Kind: event.KindCleanup, PID: p.PID, Chain: p.Chain, A: p.summary.Freed.Count, B: p.summary.Freed.Bytes})
	for _, e := range p.summary.Errors {
		p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Critical, Kind: event.KindCleanupFailed, PID: p.PID, Chain: p.Chain, Text2: e})
	}
	p.Emit(&event.Event{Category: abi.CatProcess, Severity: abi.Info, Kind: event.KindEnd, PID: p.PID, Chain: p.Chain, A: uint64(uint32(end.Code)), B: uint64(end.Cause), Text: end.Detail})
	k.table.Free(idtable.ID(p.Handle))
	if err := guarded(p.MarkDead); err != nil {
		p.summary.Errors = append(p.summary.Errors, err.Error())
		p.MarkDead()
	}
	k.living.Done()
}

// Lookup returns the living process with a number.
func (k *Kernel) Lookup(pid abi.PID) (*Process, bool) {
	_, p, ok := k.table.ByIndex(uint32(pid))
	return p, ok
}

// Processes returns how many processes are in the table.
func (k *Kernel) Processes() int { return k.table.Len() }

// Orphans returns how many releases and host operations outlived their process
// and are still running.
func (k *Kernel) Orphans() int { return k.orch.Orphans() + k.parts.Workers.Orphans() }

// Close kills every process and waits until all are dead or ctx ends. Nothing
// can be spawned any more.
func (k *Kernel) Close(ctx context.Context) error {
	k.shut()
	for _, p := range k.table.All() {
		p.Kill(proc.End{Cause: abi.CauseKilled, Signal: abi.SIGKILL, Detail: "the kernel shut down"})
	}
	done := make(chan struct{})
	go func() {
		k.living.Wait()
		close(done)
	}()
	select {
	case <-done:
		k.parts.Stream.Emit(&event.Event{Category: abi.CatKernel, Severity: abi.Info, Kind: event.KindShutdown})
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d processes did not end: %w", k.table.Len(), context.Cause(ctx))
	}
}

func (k *Kernel) shut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
}
