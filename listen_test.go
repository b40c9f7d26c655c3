package agentos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// exchange sends a line to a listener and returns what comes back until the other
// end closes, or as much as was sent.
func exchange(address, line string) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, line); err != nil {
		return "", err
	}
	b := make([]byte, len(line))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

// TestListen: a program serves many at once through a port that it was granted,
// while another shares its vCPU; what it held is gone when it ends.
func TestListen(t *testing.T) {
	k := open(t, func(c *agentos.Config) { c.VCPUs = 1 })
	spec := agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"serve"}, Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}}
	p, err := k.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	at := p.Listening()
	if len(at) != 2 || at[0] == at[1] || strings.HasSuffix(at[0], ":0") {
		t.Fatalf("listening on %q", at)
	}
	neighbour, err := k.Start(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"spin"}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			line := fmt.Sprint("line ", i, strings.Repeat(".", 100*i))
			if got, err := exchange(at[0], line); err != nil || got != line {
				t.Errorf("sent %q, got %q %v", line, got, err)
			}
		})
	}
	wg.Wait()
	if got, err := exchange(at[0], "quit"); err != nil || got != "quit" {
		t.Errorf("got %q %v", got, err)
	}
	r, err := p.Wait(t.Context())
	if err != nil || r.Cause != "exited" || r.ExitCode != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	check(t, r)
	for _, a := range at {
		if !slices.Contains(r.View, agentos.ViewEntry{Path: a, Right: "listen", Source: "flag"}) {
			t.Errorf("%s is not in the report: %+v", a, r.View)
		}
	}
	if err := neighbour.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := neighbour.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range at {
		if c, err := net.Dial("tcp", a); err == nil {
			c.Close()
			t.Errorf("%s is still listened on", a)
		}
	}
}

// TestListenKilled kills a program that waits for connections, some of them open.
func TestListenKilled(t *testing.T) {
	k := open(t, nil)
	p, err := k.Start(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"serve"}, Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Listening()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	r, err := p.Wait(t.Context())
	if err != nil || r.Cause != "killed" {
		t.Fatalf("%v %+v", err, r)
	}
	check(t, r)
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("the connection lives on: %d", n)
	}
}

// TestListenRefused: what cannot be bound keeps the program from running.
func TestListenRefused(t *testing.T) {
	k := open(t, nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{
		taken.Addr().String(): "address already in use",
		"127.0.0.1":           "not an address and a port",
		"127.0.0.1:http":      "not an address and a port",
		"127.0.0.1:70000":     "not an address and a port",
	} {
		_, err := k.Run(context.Background(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"serve"}, Listen: []string{"127.0.0.1:0", address}})
		var se *agentos.StartError
		if !errors.As(err, &se) || se.Status != 125 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--listen "+address) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}
