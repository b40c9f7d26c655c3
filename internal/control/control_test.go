package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is a Handler that a test ends by hand.
type run struct {
	over chan struct{} // closed when the report is there

	mu     sync.Mutex
	report []byte
	calls  []string
	waits  chan struct{} // one for each Wait that began
}

func newRun() *run { return &run{over: make(chan struct{}), waits: make(chan struct{}, 100)} }

func (r *run) end(report string) {
	r.mu.Lock()
	r.report = []byte(report)
	r.mu.Unlock()
	close(r.over)
}

func (r *run) Status() Status {
	return Status{Run: "01x", Program: "p.wasm", Domain: "wasm", Processes: []Process{{PID: 3, State: "running"}}}
}

func (r *run) record(s string) {
	r.mu.Lock()
	r.calls = append(r.calls, s)
	r.mu.Unlock()
}

func (r *run) Denied() ([]byte, error) { return []byte(`{"denials":[{"event":"7"}]}`), nil }

func (r *run) Signal(pid abi.PID, sig abi.Signal) error {
	if pid > 3 {
		return fmt.Errorf("process %d: %w", pid, abi.ESRCH)
	}
	r.record(fmt.Sprintf("signal %d %v", pid, sig))
	return nil
}

func (r *run) Kill(pid abi.PID) error {
	if pid > 3 {
		return errors.New("no")
	}
	r.record(fmt.Sprintf("kill %d", pid))
	return nil
}

func (r *run) Change(_ context.Context, q Request) ([]byte, error) {
	for _, g := range q.Grants {
		r.record(fmt.Sprintf("%s %s %s%s%s hard %t", q.Op, g.Kind, g.Host, g.Guest, g.Capability, q.Hard))
		if g.Host == "/none" {
			return []byte(`{"version":1,"applied":false}`), &Error{Code: "AGENTOS-X", Message: "no", Where: "/none", Fix: "do"}
		}
	}
	return []byte(`{"version":1,"applied":true}`), nil
}

func (r *run) Wait(ctx context.Context) ([]byte, error) {
	r.waits <- struct{}{}
	select {
	case <-r.over:
	case <-ctx.Done():
		select {
		case <-r.over: // the report counts more
		default:
			return nil, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report, nil
}

// start serves r on a socket and returns its path.
func start(t *testing.T, h Handler) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, h)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // closed by some tests already
	return c
}

func TestStatusAndKill(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	c := dial(t, path)
	ctx := t.Context()
	st, err := c.Status(ctx)
	if err != nil || st.Program != "p.wasm" || len(st.Processes) != 1 || st.Processes[0].PID != 3 {
		t.Errorf("Status = %+v, %v", st, err)
	}
	if err := c.Signal(ctx, 0, abi.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := c.Kill(ctx, 3); err != nil {
		t.Error(err)
	}
	err = c.Signal(ctx, 9, abi.SIGINT)
	if e := (*Error)(nil); !errors.Is(err, abi.ESRCH) || !errors.As(err, &e) || e.Message != "process 9: no such process" {
		t.Errorf("Signal to nobody = %v", err)
	}
	err = c.Kill(ctx, 9)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Code != CodeFailed || e.Unwrap() != nil {
		t.Errorf("a kill that fails = %v", err)
	}
	if err := c.Signal(ctx, 0, abi.Signal(77)); err == nil {
		t.Error("an unknown signal was sent")
	}
	if got := strings.Join(r.calls, ", "); got != "signal 0 TERM, kill 3" {
		t.Errorf("the handler saw %s", got)
	}
}

func TestChange(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	c := dial(t, path)
	long := "/" + strings.Repeat("x", 4000)
	if body, err := c.Denied(t.Context()); err != nil || string(body) != `{"denials":[{"event":"7"}]}` {
		t.Errorf("denied: %s, %v", body, err)
	}
	body, err := c.Change(t.Context(), Request{Op: OpGrant, Grants: []Grant{{Kind: KindRead, Host: "/a", Guest: "/b"}, {Kind: KindAllow, Capability: "info"}, {Kind: KindWrite, Host: long}}})
	if err != nil || string(body) != `{"version":1,"applied":true}` {
		t.Errorf("Change = %s, %v", body, err)
	}
	body, err = c.Change(t.Context(), Request{Op: OpRevoke, Hard: true, Grants: []Grant{{Kind: KindWrite, Host: "/none"}}})
	var e *Error
	if !errors.As(err, &e) || *e != (Error{Code: "AGENTOS-X", Message: "no", Where: "/none", Fix: "do"}) || string(body) != `{"version":1,"applied":false}` {
		t.Errorf("a change that was refused = %s, %+v", body, err)
	}
	want := "grant read /a/b hard false, grant allow info hard false, grant write " + long + " hard false, revoke write /none hard true"
	if got := strings.Join(r.calls, ", "); got != want {
		t.Errorf("the handler saw %s", got)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the connection is of no use after a refusal: %v", err)
	}
}

func TestWait(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	c := dial(t, path)
	type result struct {
		report []byte
		err    error
	}
	done := make(chan result)
	go func() {
		b, err := c.Wait(context.Background())
		done <- result{b, err}
	}()
	<-r.waits
	if err := dial(t, path).Signal(t.Context(), 0, abi.SIGINT); err != nil { // meanwhile, over another connection
		t.Error(err)
	}
	big := `{"version":1,"detail":"` + strings.Repeat("x", 1<<20) + "\"}"
	r.end(big)
	if got := <-done; got.err != nil || string(got.report) != big {
		t.Errorf("Wait = %d bytes, %v", len(got.report), got.err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the connection is of no use after a wait: %v", err)
	}
	if b, err := c.Wait(t.Context()); err != nil || len(b) != len(big) { // at once
		t.Errorf("second Wait = %d bytes, %v", len(b), err)
	}
}

// TestCloseDeliversTheReport closes the server the moment the report is there.
func TestCloseDeliversTheReport(t *testing.T) {
	for range 50 {
		r := newRun()
		s, path := start(t, r)
		const clients = 4
		errs := make(chan error, clients)
		for range clients {
			c := dial(t, path)
			go func() {
				b, err := c.Wait(context.Background())
				if err == nil && string(b) != `{"ok":true}` {
					err = fmt.Errorf("report %s", b)
				}
				errs <- err
			}()
			<-r.waits
		}
		r.end(`{"ok":true}`)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for range clients {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCloseWithoutAReport(t *testing.T) {
	r := newRun()
	s, path := start(t, r)
	waiter, idle := dial(t, path), dial(t, path)
	if _, err := idle.Status(t.Context()); err != nil {
		t.Error(err)
	}
	errs := make(chan error)
	go func() {
		_, err := waiter.Wait(context.Background())
		errs <- err
	}()
	<-r.waits
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	var e *Error
	if err := <-errs; !errors.As(err, &e) || e.Code != CodeClosing {
		t.Errorf("Wait = %v", err)
	}
	if _, err := idle.Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("Status after Close = %v", err)
	}
	if _, err := Dial(t.Context(), path); err == nil {
		t.Error("Dial after Close succeeded")
	}
}

func TestCancelledCalls(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	c := dial(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-r.waits
		cancel()
	}()
	if _, err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Status = %v", err)
	}
}

// TestClientThatLeaves ends its wait in the kernel.
func TestClientThatLeaves(t *testing.T) {
	ended := make(chan error, 1)
	h := &waitSpy{run: newRun(), ended: ended}
	_, path := start(t, h)
	c := dial(t, path)
	go func() { _, _ = c.Wait(context.Background()) }() // its error is the closed connection
	<-h.waits
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's Wait ended with %v", err)
	}
}

type waitSpy struct {
	*run
	ended chan error
}

func (w *waitSpy) Wait(ctx context.Context) ([]byte, error) {
	b, err := w.run.Wait(ctx)
	w.ended <- err
	return b, err
}

// raw sends text as it is and returns what comes back until the server hangs up or
// has answered n lines.
func raw(t *testing.T, path, text string, n int) (lines []Response, eof bool) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // only a test's end of the line
	_, _ = io.WriteString(conn, text)   // the server may hang up on it
	in := bufio.NewReader(conn)
	for range n {
		line, err := readLine(in, MaxResponse)
		if err != nil {
			return lines, true
		}
		r, err := decodeResponse(line)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r)
	}
	return lines, false
}

func TestBadRequests(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	for _, tt := range []struct{ line, code string }{
		{`{"version":1,"op":"dance"}`, CodeUnsupported},
		{`{"version":2,"op":"status","later":1}`, CodeVersion},
		{`{"op":"status"}`, CodeVersion},
		{`null`, CodeVersion},
		{``, CodeBadRequest},
		{`[]`, CodeBadRequest},
		{`{"version":1,"op":"status"} {}`, CodeBadRequest},
		{`{"version":1,"op":"status","force":true}`, CodeBadRequest},
		{`{"version":1,"op":"wait","pid":1}`, CodeBadRequest},
		{`{"version":1,"op":"kill"}`, CodeBadRequest},
		{`{"version":1,"op":"kill","signal":"TERM","force":true}`, CodeBadRequest},
		{`{"version":1,"op":"kill","signal":"WINCH"}`, CodeBadRequest},
		{`{"version":1,"op":"kill","force":true,"pid":-1}`, CodeBadRequest},
		{`{"version":1,"op":"kill","force":true,"pid":4294967296}`, CodeBadRequest},
		{`{"version":1,"op":"kill","force":true,"gently":true}`, CodeBadRequest},
		{`{"version":1,"op":"kill","force":true,"hard":true}`, CodeBadRequest},
		{`{"version":1,"op":"status","grants":[{"kind":"read","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant"}`, CodeBadRequest},
		{`{"version":1,"op":"wait","keep":true}`, CodeBadRequest},
		{`{"version":1,"op":"grant","keep":true,"grants":[{"kind":"read","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","hard":true,"grants":[{"kind":"read","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","pid":3,"grants":[{"kind":"read","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","grants":[{"kind":"deny","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","grants":[{"kind":"read","host":"a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","grants":[{"kind":"read","host":"/a\u0000"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","grants":[{"kind":"read"}]}`, CodeBadRequest},
		{`{"version":1,"op":"grant","grants":[{"kind":"read","host":"/a","capability":"info"}]}`, CodeBadRequest},
		{`{"version":1,"op":"revoke","grants":[{"kind":"allow","capability":"fly"}]}`, CodeBadRequest},
		{`{"version":1,"op":"revoke","grants":[{"kind":"allow","capability":"info","host":"/a"}]}`, CodeBadRequest},
		{`{"version":1,"op":"revoke","grants":[` + strings.Repeat(`{"kind":"read","host":"/a"},`, maxGrants) + `{"kind":"read","host":"/a"}]}`, CodeBadRequest},
	} {
		got, eof := raw(t, path, tt.line+"\n"+`{"version":1,"op":"status"}`+"\n", 2)
		if eof || got[0].Error == nil || got[0].Error.Code != tt.code || got[0].Error.Message == "" {
			t.Errorf("%s: %+v", tt.line, got)
		} else if got[1].Status == nil {
			t.Errorf("%s: the next request was not answered", tt.line)
		}
	}
	got, eof := raw(t, path, strings.Repeat(" ", MaxRequest)+"\n", 2)
	if !eof || len(got) != 1 || got[0].Error.Code != CodeBadRequest {
		t.Errorf("a request that is too long: %+v, %v", got, eof)
	}
	if len(r.calls) != 0 {
		t.Errorf("the handler saw %q", r.calls)
	}
}

func TestTooManyClients(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	var busy int
	for range maxConns + 8 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(conn)
		defer func() { _ = c.Close() }() // may be closed by the server
		if _, err := c.Status(t.Context()); err != nil {
			var e *Error
			if !(errors.As(err, &e) && e.Code == CodeBusy) && !errors.Is(err, ErrGone) {
				t.Fatalf("err = %v", err)
			}
			busy++
		}
	}
	if busy != 8 {
		t.Errorf("%d clients were refused, want 8", busy)
	}
}

// TestWaitsLeaveRoomForAKill fills the server with waits.
func TestWaitsLeaveRoomForAKill(t *testing.T) {
	r := newRun()
	_, path := start(t, r)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxWaits {
		c := dial(t, path)
		wg.Go(func() {
			if _, err := c.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
		<-r.waits
	}
	c := dial(t, path)
	var e *Error
	if _, err := c.Wait(t.Context()); !errors.As(err, &e) || e.Code != CodeBusy {
		t.Errorf("one wait too many: %v", err)
	}
	if err := c.Kill(t.Context(), 0); err != nil {
		t.Errorf("no room for a kill: %v", err)
	}
	r.end("{}")
}

// TestCloseCutsOffAClientThatDoesNotRead: a report that nobody takes holds up nothing.
func TestCloseCutsOffAClientThatDoesNotRead(t *testing.T) {
	r := newRun()
	s, path := start(t, r)
	s.grace = time.Millisecond
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, `{"version":1,"op":"wait"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	<-r.waits
	r.end(`"` + strings.Repeat("x", 16<<20) + `"`)
	if err := s.Close(); err != nil { // returns, which is what is tested
		t.Error(err)
	}
	if b, err := io.ReadAll(conn); len(b) > 15<<20 {
		t.Errorf("%d bytes were delivered: %v", len(b), err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestForeignPeer is dropped without an answer.
func TestForeignPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r := newRun()
	s := serve(l, r, func(net.Conn) error { return errors.New("somebody else") })
	if _, err := dial(t, path).Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("Status = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	a, b := net.Pipe()
	if checkPeer(a) == nil {
		t.Error("a pipe without credentials was accepted")
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// TestSilentClientIsDropped: every read has a deadline, and none begins while the
// server closes.
func TestSilentClientIsDropped(t *testing.T) {
	conn := &deadlineSpy{reads: make(chan time.Time, 1)}
	s := &Server{}
	before := time.Now()
	if !s.readBy(conn, requestTimeout) {
		t.Fatal("refused")
	}
	if d := <-conn.reads; d.Before(before.Add(requestTimeout)) || d.After(time.Now().Add(requestTimeout)) {
		t.Errorf("deadline %v", d)
	}
	s.closing = true
	if s.readBy(conn, requestTimeout) {
		t.Error("a closing server reads on")
	}
}

type deadlineSpy struct {
	net.Conn
	reads chan time.Time
}

func (d *deadlineSpy) SetReadDeadline(t time.Time) error { d.reads <- t; return nil }

func FuzzDecodeRequest(f *testing.F) {
	for _, s := range []string{`{"version":1,"op":"status"}`, `{"version":1,"op":"kill","pid":3,"signal":"TERM"}`,
		`{"version":1,"op":"kill","force":true}`, `{"version":1,"op":"wait"}`, `{"version":2}`, `nul`, `{"version":1,"OP":"status"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := DecodeRequest(line)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Fatalf("untyped error %v", err)
			}
			if !reflect.DeepEqual(r, Request{}) {
				t.Fatalf("a refused request came back: %+v", r)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Fatal(err)
			}
			return
		}
		again, err := encodeLine(r)
		if err != nil {
			t.Fatal(err)
		}
		r2, err := DecodeRequest(again[:len(again)-1])
		if err != nil || !reflect.DeepEqual(r2, r) {
			t.Fatalf("%+v came back as %+v, %v", r, r2, err)
		}
		if r.Op == OpKill {
			if _, ok := abi.ParseSignal(r.Signal); ok == r.Force {
				t.Fatalf("a kill with neither or both: %+v", r)
			}
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add([]byte(`{"version":1,"waiting":true}`))
	f.Add([]byte(`{"version":1,"report":{"version":1}}`))
	f.Add([]byte(`{"version":1,"error":{"code":"ESRCH","message":"m"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeResponse(line)
		if err == nil && r.Error != nil {
			_ = r.Error.Error()
			_ = r.Error.Unwrap()
		}
		if err == nil && len(r.Report) > 0 && !json.Valid(r.Report) {
			t.Fatalf("report %q is no JSON", r.Report)
		}
	})
}
