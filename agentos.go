package agentos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/gate"
	gatefile "github.com/agentos-kernel/agentos/kernel/gate/file"
	gatenet "github.com/agentos-kernel/agentos/kernel/gate/net"
	gateproc "github.com/agentos-kernel/agentos/kernel/gate/proc"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/sched"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/observe"
)

// Kernel is a running kernel. It is safe for concurrent use. It must be closed.
type Kernel struct {
	config    Config
	stream    *event.Stream      // nil without events
	collector *observe.Collector // nil without events
	sched     *sched.Scheduler
	workers   *gate.Workers
	wasm      *wasm.Domain
	native    nativeDomains
	goKept    goStores
	kernel    *kernel.Kernel
	state     *statedir.Dir // nil without a state directory
	hidden    []hostfs.ID   // what no grant shows: the state directory
	swept     statedir.SweepResult
	degraded  []string
	enforced  map[string]string // what stands behind each protection here

	family sync.Mutex // held while what processes within others may do is compared and changed

	mu     sync.Mutex
	closed bool           // guarded by mu
	runs   sync.WaitGroup // added to under mu while not closed; one for each run until its report is written
}

// Open boots a kernel: it checks that every declared resource and operation has
// its owner, clears what a killed kernel left in the state directory, and starts
// the vCPUs. An optional subsystem that cannot be had is left out and named by
// [Kernel.Degraded]; a state directory whose layout is newer than this binary
// is refused.
func Open(c Config) (_ *Kernel, err error) {
	if runtime.GOOS == "windows" {
		return nil, ErrUnsupportedOS
	}
	if c.Version == "" {
		c.Version = Version
	}
	k := &Kernel{config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.shutdown())
		}
	}()
	if err := k.openState(); err != nil {
		return nil, err
	}
	if c.NoEvents {
		k.degrade("events: left out; runs leave no trace")
	} else {
		k.stream = event.New(event.Options{})
		k.collector = observe.Start(k.stream, observe.Options{})
	}
	if c.DecisionCache.options().Off() {
		k.degrade("decisions: not remembered; each question is decided anew")
	}
	table, err := gate.NewTable(waiting(), gateproc.Handlers(), gatefile.Handlers(), gatenet.Handlers())
	if err != nil {
		return nil, err
	}
	if k.wasm, err = wasm.New(k.domainOptions()); err != nil {
		return nil, err
	}
	k.enforced = k.enforcement()
	k.sched = sched.New(sched.Options{VCPUs: c.vcpus()})
	k.workers = gate.NewWorkers(0)
	k.kernel, err = kernel.Boot(kernel.Parts{
		Stream:   k.stream,
		Sched:    k.sched,
		Table:    table,
		Workers:  k.workers,
		Owners:   kernel.Owners(),
		Host:     k.hostHas,
		Panicked: k.panicked,
	})
	if err != nil {
		return nil, err
	}
	for _, why := range k.degraded {
		what, reason, _ := strings.Cut(why, ": ")
		k.stream.Emit(&event.Event{Category: abi.CatKernel, Severity: abi.Notice, Kind: event.KindDegraded, Text: what, Text2: reason})
	}
	return k, nil
}

// waiting are the handlers of every subsystem that wait.
func waiting() map[abi.Sysno]gate.WaitHandler {
	all := gateproc.Waiting()
	maps.Copy(all, gatenet.Waiting())
	return all
}

// openState opens and sweeps the state directory. Only a layout from the future
// is an error: everything else degrades.
func (k *Kernel) openState() error {
	if k.config.NoState {
		k.degrade("state: left out; ps, kill, and report do not see the runs, and compiled programs are not kept")
		return nil
	}
	dir, err := statedir.Open(statedir.Options{Path: k.config.State})
	var newer *statedir.NewerLayout
	if errors.As(err, &newer) {
		return refuse("STATE", "", newer.Error(), "", err)
	}
	if err != nil {
		k.degrade(fmt.Sprintf("state: %v; ps, kill, and report do not see the runs, and compiled programs are not kept", err))
		return nil
	}
	k.state = dir
	id, err := hostfs.Identify(dir.Path())
	if dev, ino := dir.ID(); err != nil || !id.Is(dev, ino) {
		return refuse("STATE", dir.Path(), "the state directory cannot be hidden from programs", "give a path that stays where it is", err)
	}
	k.hidden = append(k.hidden, id)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if k.swept, err = dir.Sweep(ctx); err != nil {
		k.degrade(fmt.Sprintf("state: the sweep could not finish: %v", err))
	}
	return nil
}

// domainOptions decides where compiled programs are kept and who compiles.
func (k *Kernel) domainOptions() wasm.Options {
	o := wasm.Options{
		Helper:           k.config.Helper,
		CompileInProcess: k.config.InProcess,
		Limits:           wasm.Limits{CompileTime: k.config.CompileTime, CompileMemory: k.config.CompileMemory},
	}
	switch {
	case k.config.NoCache:
		k.degrade("cache: left out; every run compiles its program anew")
	case k.state != nil:
		dir, err := k.state.Cache()
		if err != nil {
			k.degrade(fmt.Sprintf("cache: %v; every run compiles its program anew", err))
			break
		}
		o.CacheDir = dir
	}
	return o
}

func (k *Kernel) degrade(why string) { k.degraded = append(k.degraded, why) }

// Degraded says which optional subsystems are missing and why, a sentence each.
func (k *Kernel) Degraded() []string {
	d := append([]string(nil), k.degraded...)
	if note := k.wasm.Facts().CacheNote; note != "" {
		d = append(d, "cache: "+note)
	}
	return d
}

// StateDir returns the state directory, nil if there is none.
func (k *Kernel) StateDir() *statedir.Dir { return k.state }

// Swept says what Open cleared away of kernels that were killed.
func (k *Kernel) Swept() statedir.SweepResult { return k.swept }

// panicked records a panic in a handler. The process is marked already.
func (k *Kernel) panicked(p *proc.Process, value any, stack []byte) {
	k.stream.Emit(&event.Event{
		Category: abi.CatKernel, Severity: abi.Critical, Kind: event.KindPanic, PID: p.PID, Chain: p.Chain,
		Text: fmt.Sprint(value), Text2: string(stack),
	})
}

// enter counts a run, unless the kernel is closed.
func (k *Kernel) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.runs.Add(1)
	return true
}

// closeGrace is how long Close waits for processes to be released.
const closeGrace = 30 * time.Second

// Close kills every process, waits until each is released and its report is
// written, and returns everything. It is idempotent.
func (k *Kernel) Close() error {
	k.mu.Lock()
	was := k.closed
	k.closed = true
	k.mu.Unlock()
	if was {
		return nil
	}
	return k.shutdown()
}

// shutdown undoes Open, as far as that got, in reverse.
func (k *Kernel) shutdown() error {
	var errs []error
	stuck := false
	if k.kernel != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if err := k.kernel.Close(ctx); err != nil {
			errs = append(errs, err)
			stuck = true
		} else {
			k.runs.Wait()
		}
	}
	if k.sched != nil && !stuck {
		k.sched.Close()
	}
	if k.wasm != nil && !stuck {
		errs = append(errs, k.wasm.Close())
	}
	if !stuck {
		errs = append(errs, k.native.close())
	}
	if k.collector != nil {
		_, err := k.collector.Close()
		errs = append(errs, err)
	}
	if k.state != nil {
		errs = append(errs, k.state.Close())
	}
	return errors.Join(errs...)
}

// hostHas reports whether the host has a path, without following a symbolic
// link at its end, and whether a grant of it would be accepted.
func (k *Kernel) hostHas(path string) (exists, grantable bool) {
	if _, err := os.Lstat(path); err != nil {
		return false, false
	}
	fs, err := hostfs.Open(path, hostfs.Options{Hidden: k.hidden})
	var oe *hostfs.OpenError
	if errors.As(err, &oe) {
		return true, oe.Reason == hostfs.Missing || oe.Reason == hostfs.Unreadable
	}
	return true, err == nil && fs.Close() == nil
}

// domain returns the domain that runs an image.
func (k *Kernel) domain(name string) guest.Domain {
	if name == "wasm" {
		return k.wasm
	}
	d, err := k.nativeDomain()
	if err != nil {
		return nil // it was there when the program was resolved
	}
	return d
}

// Helper turns this process into a compile child, or into one that starts native
// programs where this user may not, or into one that tries things for doctor, if it was
// started as one; it then does its work and exits. Otherwise it returns at once. Every
// program that opens a kernel without Config.Helper calls it first thing in main, and its
// tests in TestMain.
func Helper() {
	wasm.HelperMain()
	nativeHelper()
	attemptMain()
}
