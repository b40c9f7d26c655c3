package agentos_test

import (
	"bytes"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestStreamsKilled kills many programs that wait for input, or for room to write,
// at once. None keeps anything, and none takes input that comes after it.
func TestStreamsKilled(t *testing.T) {
	k := open(t, func(c *agentos.Config) { c.VCPUs = 1 })
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() { killedAt(t, k, i) })
	}
	wg.Wait()
}

// killedAt kills a program that has copied n bytes and waits for more or, if n is
// odd, that nobody reads from any more.
func killedAt(t *testing.T, k *agentos.Kernel, n int) {
	in, feed, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		for _, f := range []*os.File{in, feed, out, w} {
			f.Close()
		}
	}()
	p, err := k.Start(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"copy"}, Stdin: in, Stdout: w})
	if err != nil {
		t.Error(err)
		return
	}
	sent := bytes.Repeat([]byte{byte(n)}, n+1)
	got := make([]byte, len(sent))
	if _, err := feed.Write(sent); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(out, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d: got %q %v", n, got, err)
	}
	if n%2 == 1 {
		// More than the pipe behind it takes, less than that and the pipe before it:
		// it is stuck in a write, or about to be.
		if _, err := feed.Write(make([]byte, 112<<10)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	r, err := p.Wait(t.Context())
	if err != nil || r.Cause != "killed" {
		t.Errorf("%d: %v %+v", n, err, r)
		return
	}
	check(t, r)
	if n%2 == 1 {
		return
	}
	if _, err := feed.WriteString("left"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(in, got[:1]); err != nil || got[0] != 'l' {
		t.Errorf("%d: the next one reads %q %v", n, got[:1], err)
	}
}
