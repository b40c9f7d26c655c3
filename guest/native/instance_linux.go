package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
	"github.com/agentos-kernel/agentos/guest/native/stream"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// draining is how long the output of a tree that is dead may be held open by others.
const draining = time.Second

// Instance is one native program. It implements [guest.Instance], [guest.Stopper],
// [guest.Signaler], and [guest.Resizer].
type Instance struct {
	host    guest.Outside
	set     *guest.Setting
	tree    tree
	streams *stream.Streams
	local   bool // the launcher is this process's own

	begun bool          // only touched inside Resume
	ended chan struct{} // closed when the tree is dead and its output delivered
	quit  chan struct{} // closed by Close, to end what still waits
	work  sync.WaitGroup

	mu     sync.Mutex
	dying  bool // guarded by mu; the end was begun
	closed bool // guarded by mu
	notes  []string
}

var (
	_ guest.Instance = (*Instance)(nil)
	_ guest.Stopper  = (*Instance)(nil)
	_ guest.Signaler = (*Instance)(nil)
	_ guest.Resizer  = (*Instance)(nil)
)

func newInstance(ctx context.Context, l launcher, host guest.Outside) (_ *Instance, err error) {
	set := host.Setting()
	in := &Instance{host: host, set: set, ended: make(chan struct{}), quit: make(chan struct{})}
	_, in.local = l.(here)
	in.tree, err = l.start(ctx, &launch.Job{
		Program: set.Program, Args: set.Args, Env: set.Env, Dir: set.Dir, User: set.User, Mounts: set.Mounts,
		Limits: set.Limits, BestEffort: set.BestEffort,
		Terminal: set.Terminal != nil, Stdio: in.stdio, Ran: host.Ran,
	})
	if err != nil {
		if in.streams != nil {
			err = errors.Join(err, in.streams.Close())
		}
		return nil, err
	}
	for _, what := range in.tree.Missing() {
		set.Missing(what)
	}
	return in, nil
}

// stdio makes the program's standard streams.
func (in *Instance) stdio(ptmx *os.File) (fds [3]*os.File, err error) {
	s := in.set
	switch {
	case ptmx == nil && in.local && s.Stdin == nil && s.Stdout == nil && s.Stderr == nil && hasDevices(s.Mounts):
		in.streams = stream.None()
	case ptmx == nil:
		in.streams, err = stream.Pipes(s.Stdin, s.Stdout, s.Stderr)
	default:
		in.streams, err = stream.Terminal(ptmx, stream.TerminalOptions{
			In: s.Stdin, Out: s.Stdout, Err: s.Stderr, Rows: s.Terminal.Rows, Cols: s.Terminal.Cols, Suspend: s.Terminal.Suspend,
		})
	}
	if err != nil {
		return fds, err
	}
	return in.streams.Child(), nil
}

// hasDevices reports whether a view has its own /dev, with nothing over it.
func hasDevices(mounts []guest.Mount) bool {
	has := false
	for i := range mounts {
		switch m := &mounts[i]; {
		case m.Guest == "/dev":
			has = m.Kind == guest.Devices
		case m.Guest == "/", m.Guest == "/dev/null":
			has = false
		}
	}
	return has
}

// Resume starts the program, or ends it if it is to die, or says that it has ended.
func (in *Instance) Resume(int64) (guest.Outcome, int64) {
	if !in.begun {
		in.begun = true
		in.begin()
		return guest.Away, 0
	}
	select {
	case <-in.ended:
		return guest.Exited, 0
	default:
	}
	if in.host.Gate().Killed() {
		in.end()
	}
	return guest.Away, 0
}

// begin lets the program run and watches over it.
func (in *Instance) begin() {
	err := in.streams.Started(in.tree.PID())
	in.tree.Go()
	if err != nil {
		in.host.Broke(abi.CauseKernelError, "standard streams: "+err.Error())
	}
	in.work.Go(in.wait)
	in.work.Go(in.watch)
}

// wait waits for the end of the tree and delivers the rest of its output.
func (in *Instance) wait() {
	<-in.tree.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	in.work.Go(func() { // whoever kills the process does not wait for its reader
		for {
			select {
			case <-stop:
				return
			case <-in.quit:
				cancel()
				return
			case <-time.After(50 * time.Millisecond):
				if in.host.Gate().Killed() {
					cancel()
					return
				}
			}
		}
	})
	if err := in.streams.Drain(ctx, draining); err != nil && !(in.host.Gate().Killed() && errors.Is(err, stream.ErrUnread)) {
		in.note(err.Error())
	}
	in.host.Used(in.tree.End().Usage)
	close(in.ended)
	in.host.Wake()
}

func (in *Instance) note(s string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.notes = append(in.notes, s)
}

// The consumption of a tree is looked at this often where something hangs on it, and
// that often where it only informs.
const (
	watchEvery  = 50 * time.Millisecond
	glanceEvery = 2 * time.Second
)

// watch tells the kernel what the tree uses, and holds what no group of the host does.
func (in *Instance) watch() {
	pause := in.pause(0)
	blind := 0 // looks that saw nothing, in a row
	for {
		select {
		case <-in.tree.Done():
			return
		case <-in.quit:
			return
		case <-time.After(pause):
		}
		u, over, err := in.tree.Usage()
		if err != nil {
			// It is ending, or changes faster than it can be looked at. What cannot be
			// held to its limits must not go on.
			if blind++; blind == maxBlind && in.tree.Watched() {
				in.host.Broke(abi.CauseKernelError, "its limits cannot be held: "+err.Error())
			}
			continue
		}
		blind = 0
		pause = in.pause(u.CPU)
		in.host.Used(u)
		if over != nil {
			in.host.Broke(excessCause(over), over.Detail)
		}
	}
}

// maxBlind is how many looks in a row may see nothing of a tree that is supervised.
const maxBlind = 40

// excessCause returns the cause of an end by a limit that only supervision holds. Where
// a group or the file system holds it there is none: the program is told.
func excessCause(x *launch.Excess) abi.Cause {
	if x.Limit == "pids" {
		return abi.CauseKilled
	}
	return abi.CauseMemoryLimit // private files count as memory
}

// pause is how long nothing can happen that must be seen: a tree that has used so much
// processor time needs that long, on all processors, to use up the rest.
func (in *Instance) pause(used time.Duration) time.Duration {
	most := time.Duration(glanceEvery)
	if in.tree.Watched() {
		most = watchEvery
	}
	if max := in.set.Limits.CPUTime; max > 0 {
		most = min(most, (max-min(used, max))/time.Duration(runtime.NumCPU())+time.Millisecond)
	}
	return most
}

// end begins the end of a program that is to die: TERM and a grace where it has one,
// then KILL. It does not wait.
func (in *Instance) end() {
	in.mu.Lock()
	was := in.dying
	in.dying = true
	in.mu.Unlock()
	if was {
		return
	}
	grace := in.host.Grace()
	if grace <= 0 {
		in.kill()
		return
	}
	// One that is stopped could not hear it.
	if err := errors.Join(in.tree.Continue(), in.tree.Signal(unix.SIGTERM)); err != nil {
		in.kill()
		return
	}
	in.work.Go(func() {
		select {
		case <-in.tree.Done():
			return
		case <-in.quit:
		case <-time.After(grace):
		}
		in.kill()
	})
}

func (in *Instance) kill() {
	if err := in.tree.Kill(); err != nil {
		in.note("kill: " + err.Error())
	}
}

// Exit says how the program ended by itself.
func (in *Instance) Exit() guest.Exit {
	e := in.tree.End()
	ex := guest.Exit{}
	var f *launch.ExecError
	switch {
	case errors.As(e.Err, &f):
		ex.Cause, ex.Detail = abi.CauseSetupFailed, f.Error()
	case e.OOMKills > 0 && (e.MainOOM || !e.Exited || e.Status != 0):
		ex.Cause, ex.Code, ex.Detail = abi.CauseMemoryLimit, e.Status, in.oom(&e)
		if !e.Exited {
			ex.Code = 0
		}
	case e.Exited:
		ex.Cause, ex.Code = abi.CauseExited, e.Status
	case e.Signal == int(unix.SIGXCPU) && in.set.Limits.CPUTime > 0:
		ex.Cause, ex.Detail = abi.CauseCPULimit, "used "+in.set.Limits.CPUTime.String()+" of CPU time in one process"
	case faults(unix.Signal(e.Signal)):
		ex.Cause, ex.Signal, ex.Detail = abi.CauseFault, abi.Signal(e.Signal), unix.SignalName(unix.Signal(e.Signal))
	case e.Signal != 0:
		ex.Cause, ex.Signal, ex.Detail = abi.CauseSignaled, abi.Signal(e.Signal), "signal "+unix.SignalName(unix.Signal(e.Signal))
	default:
		ex.Cause, ex.Detail = abi.CauseKernelError, fmt.Sprintf("the host did not say how it ended: %v", e.Err)
	}
	return ex
}

// oom says which process died for want of memory.
func (in *Instance) oom(e *launch.End) string {
	who := "one of its processes was"
	if e.OOMKills > 1 {
		who = fmt.Sprintf("%d of its processes were", e.OOMKills)
	}
	if e.MainOOM {
		return fmt.Sprintf("%s itself was killed", in.set.Program)
	}
	return fmt.Sprintf("%s killed, and %s then failed", who, in.set.Program)
}

// faults reports whether a signal means that the program broke.
func faults(sig unix.Signal) bool {
	switch sig {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE:
		return true
	}
	return false
}

// Stop freezes the tree.
func (in *Instance) Stop() error { return in.tree.Stop() }

// Continue lets it go on.
func (in *Instance) Continue() error { return in.tree.Continue() }

// Signal delivers a signal to the program.
func (in *Instance) Signal(sig abi.Signal) bool { return in.tree.Signal(unix.Signal(sig)) == nil }

// Resize tells the program's terminal its size.
func (in *Instance) Resize(rows, cols uint16) {
	if in.set.Terminal != nil {
		if err := in.streams.Resize(rows, cols); err != nil {
			in.note("resize: " + err.Error())
		}
	}
}

// Close ends what is left and returns everything.
func (in *Instance) Close() error {
	in.mu.Lock()
	was := in.closed
	in.closed = true
	in.mu.Unlock()
	if was {
		return nil
	}
	close(in.quit)
	if !in.begun {
		err := in.tree.Kill()
		<-in.tree.Done()
		return errors.Join(err, in.streams.Close())
	}
	in.kill()
	in.work.Wait()
	e := in.tree.End()
	var f *launch.ExecError
	if errors.As(e.Err, &f) {
		return nil // it is how the run ended
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	var errs []error
	for _, n := range in.notes {
		errs = append(errs, errors.New(n))
	}
	return errors.Join(append(errs, e.Err)...)
}
