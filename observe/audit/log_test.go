package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// memory is a file that can fail, and can hold its writers.
type memory struct {
	mu     sync.Mutex
	b      []byte
	fail   error         // of writes, after half of what is given
	hold   chan struct{} // writes wait for it if it is not nil
	synced bool
	closed bool
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		m.b = append(m.b, b[:len(b)/2]...)
		return len(b) / 2, m.fail
	}
	m.b = append(m.b, b...)
	return len(b), nil
}

func (m *memory) Truncate(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.b = m.b[:n]
	return nil
}

func (m *memory) Sync() error  { m.synced = true; return nil }
func (m *memory) Close() error { m.closed = true; return nil }

func (m *memory) bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.b)
}

func records(t *testing.T, b []byte) []Record {
	t.Helper()
	var out []Record
	for line := range bytes.Lines(b) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func denied(what string) Record {
	return Record{Code: "AGENTOS-DENIED-UNGRANTED", Syscall: "open", Layer: "path", Requested: what}
}

// TestFolds: equal denials are one record with the exact count, first, and last.
func TestFolds(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := new(memory)
	l := Open(m, "r1")
	l.Add(Record{Kind: KindStart})
	for i := range 12345 {
		n, fresh := l.Deny(denied("/a"), false)
		if fresh != (i == 0) || (n != 0) != (i+1 == 1 || i+1 == 10 || i+1 == 100 || i+1 == 1000 || i+1 == 10000) {
			t.Fatalf("denial %d: record %d, fresh %v", i+1, n, fresh)
		}
	}
	l.Deny(denied("/b"), false)
	head, err := l.Close(Record{Kind: KindEnd})
	if err != nil || !m.synced || !m.closed {
		t.Fatal(err, m.synced, m.closed)
	}
	rs := records(t, m.b)
	last := map[uint64]Record{}
	for _, r := range rs {
		switch r.Kind {
		case KindDenial:
			last[r.N] = r
		case KindRepeated:
			last[r.Of] = r
		}
	}
	if len(last) != 2 || last[2].Count != 12345 || last[7].Count != 1 {
		t.Errorf("folds: %+v", last)
	}
	if f := last[2]; f.First == nil || f.Last == nil || f.Last.Before(*f.First) {
		t.Errorf("first %v, last %v", f.First, f.Last)
	}
	if r := Verify("r1", m.b, &Expected{Hash: head.Hash, Records: head.Records}); !r.Intact() || !r.Ended || head.Records != uint64(len(rs)) {
		t.Errorf("%+v of %+v", r, head)
	}
	if l.Add(Record{Kind: KindGrant}) != 0 {
		t.Error("a closed log took a record")
	}
}

// TestBounded: however many different denials a guest causes, the log is bounded, and
// the rest is counted.
func TestBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := new(memory)
	l := Open(m, "r1")
	const n = 5000
	for i := range n {
		l.Deny(denied(fmt.Sprint("/", i)), false)
	}
	if _, err := l.Close(Record{Kind: KindEnd}); err != nil {
		t.Fatal(err)
	}
	var listed, unlisted uint64
	for _, r := range records(t, m.b) {
		switch r.Kind {
		case KindDenial:
			listed++
		case KindUnlisted:
			unlisted = r.Count
		}
	}
	if listed != maxFolds || listed+unlisted != n {
		t.Errorf("%d listed and %d not, of %d", listed, unlisted, n)
	}
}

// TestQuiet: what a guest must not know of is not waited for, and is written all the same.
func TestQuiet(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := new(memory)
	l := Open(m, "r1")
	if n, _ := l.Deny(denied("/hidden"), true); n != 0 {
		t.Errorf("record %d", n)
	}
	for len(m.bytes()) == 0 { // the test's time-out ends it
		time.Sleep(time.Millisecond)
	}
	l.Deny(denied("/other"), true)
	if _, err := l.Close(Record{Kind: KindEnd}); err != nil {
		t.Fatal(err)
	}
	if rs := records(t, m.b); len(rs) != 3 || rs[0].Requested != "/hidden" || rs[1].Requested != "/other" {
		t.Errorf("%+v", rs)
	}
}

// TestAcknowledged: what is not pending any more is in the file.
func TestAcknowledged(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := &memory{hold: make(chan struct{})}
	l := Open(m, "r1")
	n := l.Add(Record{Kind: KindGrant})
	woken := make(chan struct{})
	if !l.Pending(n, func() { close(woken) }) {
		t.Fatal("it was acknowledged before it was written")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := l.Wait(ctx); !errors.Is(err, ErrStuck) {
		t.Errorf("wait: %v", err)
	}
	close(m.hold)
	<-woken
	if rs := records(t, m.bytes()); len(rs) != 1 || l.Pending(n, nil) {
		t.Errorf("woken with %+v", rs)
	}
	if _, err := l.Close(Record{Kind: KindEnd}); err != nil {
		t.Error(err)
	}
}

// TestFull: after a write has failed the file ends with a whole record, whoever waits
// goes on, and the failure and the number of lost records are said.
func TestFull(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := new(memory)
	l := Open(m, "r1")
	l.Add(Record{Kind: KindStart})
	if err := l.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	m.mu.Lock()
	m.fail = full
	m.mu.Unlock()
	told := make(chan error, 2)
	l.OnFailure(func(err error) { told <- err })
	n, _ := l.Deny(denied("/a"), false)
	woken := make(chan struct{})
	if l.Pending(n, func() { close(woken) }) {
		<-woken
	}
	if err := <-told; !errors.Is(err, full) {
		t.Errorf("told %v", err)
	}
	l.Deny(denied("/b"), false)
	head, err := l.Close(Record{Kind: KindEnd})
	if !errors.Is(err, full) || head.Records != 1 {
		t.Errorf("%+v, %v", head, err)
	}
	if r := Verify("r1", m.b, &Expected{Hash: head.Hash}); !r.Intact() || r.Torn || r.Ended {
		t.Errorf("%+v", r)
	}
}

func TestConcurrent(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := new(memory)
	l := Open(m, "r1")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				if n, _ := l.Deny(denied(fmt.Sprint(i%50)), g%2 == 0); n != 0 {
					l.Pending(n, func() {})
				}
			}
		})
	}
	wg.Wait()
	head, err := l.Close(Record{Kind: KindEnd})
	if err != nil {
		t.Fatal(err)
	}
	if r := Verify("r1", m.b, &Expected{Hash: head.Hash}); !r.Intact() {
		t.Errorf("%+v", r.Problems)
	}
	var sum uint64
	last := map[uint64]uint64{}
	for _, r := range records(t, m.b) {
		if r.Kind == KindDenial {
			last[r.N] = r.Count
		} else if r.Kind == KindRepeated {
			last[r.Of] = r.Count
		}
	}
	for _, c := range last {
		sum += c
	}
	if sum != 8*500 {
		t.Errorf("%d denials are counted, of %d", sum, 8*500)
	}
}
