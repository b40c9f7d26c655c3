package cli

import (
	"errors"
	"os"
	"sync"

	agentos "github.com/agentos-kernel/agentos"
	"golang.org/x/term"
)

// console is the caller's terminal, and the caller's job control, while a native
// program runs. If the program has a terminal of its own, the caller's is raw: what
// is typed reaches the program's terminal byte by byte, Ctrl-C and Ctrl-Z included,
// and that one does what a terminal does. It is given back whenever the run is
// stopped, and at the end, whatever that is.
type console struct {
	inv *invocation
	in  *os.File // the caller's terminal; nil if the program has none, or nobody types at it

	ch   chan os.Signal
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once

	stopping sync.Mutex // held while the run is stopped; before mu

	mu     sync.Mutex
	target process     // guarded by mu; nil before the program has started
	closed bool        // guarded by mu
	cooked *term.State // guarded by mu; how the terminal was; nil while it is that
	failed bool        // guarded by mu; a failure of the terminal was said
}

// newConsole begins to look after the caller's side of a native run, which attach
// says has started. close must be called.
func (inv *invocation) newConsole(sp *agentos.Spec) *console {
	c := &console{inv: inv, ch: make(chan os.Signal, 8), quit: make(chan struct{})}
	if sp.Terminal != nil {
		if isTerminal(inv.Stdin) {
			c.in = inv.Stdin.(*os.File)
		}
		sp.Terminal.Suspend = func() { c.suspend(true) }
	}
	c.listen()
	c.done.Go(c.loop)
	return c
}

// attach says that the program has started: the terminal is its own from now on.
func (c *console) attach(p process) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.target = p
	c.mu.Unlock()
	c.takeOver()
	c.resize() // it may have changed meanwhile
}

// close gives the terminal back. It is idempotent.
func (c *console) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	c.giveBackLocked()
	c.mu.Unlock()
	c.once.Do(func() {
		c.deaf()
		close(c.quit)
	})
	c.done.Wait()
}

func (c *console) loop() {
	for {
		select {
		case <-c.quit:
			return
		case sig := <-c.ch:
			c.heed(sig)
		}
	}
}

// takeOver makes the terminal raw, unless the run is over.
func (c *console) takeOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in == nil || c.closed || c.cooked != nil {
		return
	}
	var old *term.State
	err := onFD(c.in, func(fd int) (err error) {
		old, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		c.complain(err)
		return
	}
	c.cooked = old
	c.inv.screen.setRaw(true)
}

// giveBackLocked makes the terminal what it was. It needs mu.
func (c *console) giveBackLocked() {
	if c.cooked == nil {
		return
	}
	old := c.cooked
	c.cooked = nil
	c.inv.screen.setRaw(false)
	if err := onFD(c.in, func(fd int) error { return term.Restore(fd, old) }); err != nil {
		c.complain(err)
	}
}

func (c *console) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.giveBackLocked()
}

// complain says once that the terminal does not obey: it may be gone. It needs mu.
func (c *console) complain(err error) {
	if !c.failed {
		c.failed = true
		c.inv.screen.note(yellow, "the terminal's mode cannot be set: "+err.Error())
	}
}

// resize passes the size of the caller's terminal on.
func (c *console) resize() {
	c.mu.Lock()
	p := c.target
	has := c.in != nil && !c.closed
	c.mu.Unlock()
	if p != nil && has {
		p.Resize(c.inv.size())
	}
}

// suspend stops the run and then the tool, gives the terminal to the caller's
// shell meanwhile, and takes everything up again when that continues the tool.
// whole says that the rest of the tool's process group is to be stopped too, as a
// terminal would have done.
func (c *console) suspend(whole bool) {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	c.mu.Lock()
	p, closed := c.target, c.closed
	c.mu.Unlock()
	var err error
	switch {
	case closed:
		return
	case p == nil: // not started yet
		err = c.stopSelf(whole)
	default:
		if err := p.Stop(); errors.Is(err, agentos.ErrEnded) {
			return // there is nothing to stop, and we are about to end
		} else if err != nil {
			c.inv.screen.note(yellow, "the program runs on while the tool is stopped: "+err.Error())
		}
		c.giveBack()
		err = c.stopSelf(whole)
		c.takeOver()
		c.resize()
		if cerr := p.Continue(); !errors.Is(cerr, agentos.ErrEnded) {
			err = errors.Join(err, cerr)
		}
	}
	if err != nil {
		c.inv.screen.note(yellow, "the run could not be stopped and continued as asked: "+err.Error())
	}
}

// The size of a terminal that does not say.
const defaultRows, defaultCols = 24, 80

// size returns that of the caller's terminal.
func (inv *invocation) size() (rows, cols uint16) {
	for _, f := range []any{inv.Stdout, inv.Stdin, inv.Stderr} {
		if !isTerminal(f) {
			continue
		}
		w, h := 0, 0
		err := onFD(f.(*os.File), func(fd int) (err error) {
			w, h, err = term.GetSize(fd)
			return err
		})
		if err == nil && w > 0 && h > 0 && w < 1<<16 && h < 1<<16 {
			return uint16(h), uint16(w)
		}
	}
	return defaultRows, defaultCols
}

// onFD calls do with the descriptor of f. File.Fd would make it block, for all who
// share it.
func onFD(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var derr error
	if err := conn.Control(func(fd uintptr) { derr = do(int(fd)) }); err != nil {
		return err
	}
	return derr
}
