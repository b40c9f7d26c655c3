package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// ErrGone says that the kernel of the run ended without answering. The run's record
// may have a report by now, or after the next sweep.
var ErrGone = errors.New("the kernel of the run is gone")

// Client asks one kernel about one run. Its calls take turns. After a call whose
// ctx was done, or that failed with anything but an *Error, the client is spent.
type Client struct {
	conn net.Conn

	mu sync.Mutex
	in *bufio.Reader
}

// NewClient speaks over conn, which it owns from now on. For the connection to a
// recorded run see statedir.Entry.Dial.
func NewClient(conn net.Conn) *Client {
	return &Client{conn: conn, in: bufio.NewReader(conn)}
}

// Dial connects to the socket at path, which must fit into a socket address.
func Dial(ctx context.Context, path string) (*Client, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return NewClient(c), nil
}

// Close ends the connection, and with it a call that is under way.
func (c *Client) Close() error { return c.conn.Close() }

// Status asks how the run is doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	r, err := c.call(ctx, Request{Op: OpStatus})
	if err != nil {
		return Status{}, err
	}
	if r.Status == nil {
		return Status{}, errors.New("the answer holds no status")
	}
	return *r.Status, nil
}

// Signal sends a signal to a process of the run, 0 for its first one. The error
// wraps abi.ESRCH if there is no such process.
func (c *Client) Signal(ctx context.Context, pid abi.PID, sig abi.Signal) error {
	_, err := c.call(ctx, Request{Op: OpKill, PID: pid, Signal: sig.String()})
	return err
}

// Kill ends a process of the run, 0 for its first one, whatever it does.
func (c *Client) Kill(ctx context.Context, pid abi.PID) error {
	_, err := c.call(ctx, Request{Op: OpKill, PID: pid, Force: true})
	return err
}

// Wait waits for the end of the run and returns its report, one JSON document.
// If the kernel dies meanwhile the error wraps ErrGone.
func (c *Client) Wait(ctx context.Context) ([]byte, error) {
	r, err := c.call(ctx, Request{Op: OpWait})
	if err != nil {
		return nil, err
	}
	if len(r.Report) == 0 {
		return nil, errors.New("the answer holds no report")
	}
	return r.Report, nil
}

// Denied asks what the run was refused so far, and what failed: one JSON document.
func (c *Client) Denied(ctx context.Context) ([]byte, error) {
	r, err := c.call(ctx, Request{Op: OpDenied})
	if err != nil {
		return nil, err
	}
	if len(r.Denied) == 0 {
		return nil, errors.New("the answer does not say what was refused")
	}
	return r.Denied, nil
}

// Change asks for OpGrant or OpRevoke, and returns what became of
// it, one JSON document. It may be there beside an *Error, which says why nothing was
// done.
func (c *Client) Change(ctx context.Context, req Request) ([]byte, error) {
	r, err := c.call(ctx, req)
	if err == nil && len(r.Change) == 0 {
		return nil, errors.New("the answer holds no change")
	}
	return r.Change, err
}

// call sends one request and returns its final response.
func (c *Client) call(ctx context.Context, req Request) (Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = c.conn.SetDeadline(time.Unix(1, 0)) // fails only if closed, which ends the call as well
	})
	defer stop()
	req.Version = Version
	resp, err := c.roundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return Response{}, ctx.Err()
		}
		return Response{}, err
	}
	if resp.Error != nil {
		return Response{Change: resp.Change}, resp.Error
	}
	return resp, nil
}

func (c *Client) roundTrip(req Request) (Response, error) {
	line, err := encodeLine(req)
	if err != nil {
		return Response{}, err
	}
	// A busy server answers before it reads and hangs up: its word counts more
	// than the write error.
	_, werr := c.conn.Write(line)
	for {
		line, err := readLine(c.in, MaxResponse)
		if err != nil {
			return Response{}, gone(errors.Join(werr, err))
		}
		resp, err := decodeResponse(line)
		if err != nil || !resp.Waiting {
			return resp, err
		}
	}
}

// decodeResponse parses one line. Unknown fields are later additions.
func decodeResponse(line []byte) (Response, error) {
	var r Response
	if err := json.Unmarshal(line, &r); err != nil {
		return Response{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	if r.Version != Version {
		return Response{}, fmt.Errorf("the answer has version %d, expected %d", r.Version, Version)
	}
	return r, nil
}

// gone marks the errors of a connection that ended.
func gone(err error) error {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout() {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
