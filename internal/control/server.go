package control

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Handler is the run as the server sees it. Its methods are called from several
// goroutines at once.
type Handler interface {
	// Status describes the run now, without waiting.
	Status() Status
	// Signal delivers sig to a process of the run; pid 0 is the first one. It
	// does not wait for an effect. abi.ESRCH: no such process.
	Signal(pid abi.PID, sig abi.Signal) error
	// Kill ends a process of the run whatever it does. It does not wait.
	Kill(pid abi.PID) error
	// Denied returns what the run was refused so far, and what failed, one JSON
	// document.
	Denied() ([]byte, error)
	// Change gives the run the grants of r or takes them, and returns what became
	// of it, one JSON document, which may be there beside an error.
	Change(ctx context.Context, r Request) ([]byte, error)
	// Wait returns the run's report, one JSON document, when the run has ended.
	// It returns an error when ctx is done first. If the report is there, it
	// returns it even when ctx is done.
	Wait(ctx context.Context) ([]byte, error)
}

// The bounds of a server.
const (
	maxConns = 64 // at once; further ones are told that the server is busy
	maxWaits = 48 // of them, so that a kill always finds a place

	requestTimeout = 30 * time.Second // for a whole request to arrive
	writeTimeout   = 10 * time.Second // for each writeSize bytes of a response to leave
	writeSize      = 64 << 10
	closeGrace     = 10 * time.Second // for the responses that are due when the server closes
)

// Server answers requests on one listener until it is closed.
type Server struct {
	listener net.Listener
	handler  Handler
	check    func(net.Conn) error // whether the peer may ask
	grace    time.Duration        // closeGrace, less in tests

	ctx    context.Context // done when the server closes; the parent of every Wait
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accept loop and one for each connection

	mu      sync.Mutex
	closing bool
	conns   map[net.Conn]struct{}
	waits   int
}

// Serve answers on l, which it owns from now on, and returns at once. Peers other
// than the effective user are dropped without an answer.
func Serve(l net.Listener, h Handler) *Server { return serve(l, h, checkPeer) }

func serve(l net.Listener, h Handler, check func(net.Conn) error) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{listener: l, handler: h, check: check, grace: closeGrace, ctx: ctx, cancel: cancel, conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.accept)
	return s
}

// Close stops accepting, ends what waits, and returns when no goroutine is left.
// Responses that are due (a report that is there) are still written; a client that
// does not read them is cut off after ten seconds. Call it after the report can be
// had from Wait.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	s.closing = true
	for c := range s.conns {
		// Wakes a reader; a writer goes on to its own deadline. It fails only
		// on a connection that is closed already.
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	s.cancel()
	err := s.listener.Close()
	cut := time.AfterFunc(s.grace, s.cutOff)
	s.wg.Wait()
	cut.Stop()
	return err
}

// cutOff ends the connections that are left.
func (s *Server) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // its goroutine sees the error
	}
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Descriptors may be short for a moment. Nothing is lost: the
			// client stays in the backlog.
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		if s.check(c) != nil || !s.add(c) {
			_ = c.Close() // nothing was promised to it
			continue
		}
		s.wg.Go(func() {
			s.converse(c)
			s.remove(c)
			_ = c.Close() // everything due was written
		})
	}
}

// add admits a connection, or tells it that the server is busy.
func (s *Server) add(c net.Conn) bool {
	s.mu.Lock()
	full := len(s.conns) >= maxConns
	ok := !full && !s.closing
	if ok {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if full {
		// It fits into the empty buffer of a new socket, so it cannot hold up the
		// accept loop; if it fails, the client sees an end of file instead.
		_ = respond(c, Response{Error: &Error{Code: CodeBusy, Message: "the kernel of this run serves too many clients"}})
	}
	return ok
}

func (s *Server) remove(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// readBy sets the deadline of the next read; none if d is zero. It reports false if
// the server is closing, when every read must end at once.
func (s *Server) readBy(c net.Conn, d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	return c.SetReadDeadline(t) == nil
}

// respond writes one line. A client must make progress; how long a large report
// takes it is its own affair.
func respond(c net.Conn, r Response) error {
	r.Version = Version
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(line, writeSize) {
		if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := c.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// converse answers the requests of one connection, one after another.
func (s *Server) converse(c net.Conn) {
	in := bufio.NewReaderSize(c, 1<<10)
	for s.readBy(c, requestTimeout) {
		line, err := readLine(in, MaxRequest)
		var refusal *Error
		if err != nil && !errors.As(err, &refusal) {
			return // the client is gone, or slow, or the server closes
		}
		var req Request
		if err == nil {
			req, err = DecodeRequest(line)
		}
		var resp Response
		switch {
		case err != nil:
			resp.Error = errorFor(err)
		case req.Op == OpWait:
			resp = s.wait(c, in)
		default:
			resp = s.answer(req)
		}
		if respond(c, resp) != nil || refusal != nil {
			return // after a line that was too long there is no telling where the next begins
		}
	}
}

func (s *Server) answer(req Request) (resp Response) {
	var err error
	switch {
	case req.Op == OpStatus:
		st := s.handler.Status()
		if st.Processes == nil {
			st.Processes = []Process{}
		}
		resp.Status = &st
	case req.Op == OpDenied:
		resp.Denied, err = s.handler.Denied()
	case req.Op == OpGrant || req.Op == OpRevoke:
		resp.Change, err = s.handler.Change(s.ctx, req)
	case req.Force:
		err = s.handler.Kill(req.PID)
	default:
		sig, _ := abi.ParseSignal(req.Signal) // DecodeRequest has checked it
		err = s.handler.Signal(req.PID, sig)
	}
	if err != nil {
		resp.Error = errorFor(err)
	}
	return resp
}

// wait says that it waits, so that the client knows the request arrived, and returns
// the final response. A client that leaves ends the wait.
func (s *Server) wait(c net.Conn, in *bufio.Reader) Response {
	if !s.addWait() {
		return Response{Error: &Error{Code: CodeBusy, Message: "too many clients wait for this run"}}
	}
	defer s.removeWait()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if respond(c, Response{Waiting: true}) != nil {
		return Response{Error: &Error{Code: CodeFailed, Message: "the client left"}}
	}
	gone := make(chan struct{})
	if s.readBy(c, 0) {
		go func() { // ends by the deadline that follows, and is waited for
			defer close(gone)
			_, _ = in.Peek(1) // returns when the client leaves or breaks the protocol
			cancel()
		}()
	} else {
		close(gone)
	}
	report, err := s.handler.Wait(ctx)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection, whose reader has ended
	<-gone
	if err != nil {
		if s.ctx.Err() != nil {
			return Response{Error: &Error{Code: CodeClosing, Message: "the kernel of this run is closing"}}
		}
		return Response{Error: errorFor(err)}
	}
	return Response{Report: report}
}

func (s *Server) addWait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits >= maxWaits {
		return false
	}
	s.waits++
	return true
}

func (s *Server) removeWait() {
	s.mu.Lock()
	s.waits--
	s.mu.Unlock()
}
