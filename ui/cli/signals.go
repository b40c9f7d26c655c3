package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// signals turns what the tool is sent into what the program is: the first INT or
// TERM is forwarded, the second kills, HUP ends the run at once. Before there is
// a program, any of them cancels its start. A signal that the caller had set to
// be ignored (as nohup does) stays ignored.
type signals struct {
	ch   chan os.Signal
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	target process            // nil before the program has started
	cancel context.CancelFunc // cancels the start
	first  abi.Signal         // the first signal that came, 0 if none did
	err    error              // of forwarding; told at the end
}

// listen starts to take signals. stop must be called.
func listen(cancel context.CancelFunc) *signals {
	s := &signals{ch: make(chan os.Signal, 8), quit: make(chan struct{}), cancel: cancel}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(s.ch, sig)
		}
	}
	s.done.Go(s.loop)
	return s
}

func (s *signals) loop() {
	for {
		select {
		case <-s.quit:
			return
		case sig := <-s.ch:
			if n, ok := sig.(syscall.Signal); ok {
				s.deliver(abi.Signal(n))
			}
		}
	}
}

// deliver acts on one signal.
func (s *signals) deliver(sig abi.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.first != 0
	if !again {
		s.first = sig
	}
	switch {
	case s.target == nil:
		s.cancel()
	case again:
		s.keep(s.target.Kill())
	default:
		s.keep(s.target.Signal(sig))
	}
}

// attach says that the program has started. A signal that came while it did is
// delivered now.
func (s *signals) attach(p process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = p
	if s.first != 0 {
		s.keep(p.Signal(s.first))
	}
}

func (s *signals) keep(err error) {
	if s.err == nil {
		s.err = err
	}
}

// came returns the first signal, 0 if there was none, and the first error of
// delivering any.
func (s *signals) came() (abi.Signal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.err
}

// stop gives the signals back and ends the goroutine.
func (s *signals) stop() {
	signal.Stop(s.ch)
	close(s.quit)
	s.done.Wait()
}
