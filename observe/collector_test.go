package observe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type line struct {
	Version  int    `json:"version"`
	Seq      uint64 `json:"seq"`
	ID       string `json:"id"`
	Time     string `json:"time"`
	Run      string `json:"run"`
	PID      uint32 `json:"pid"`
	Category string `json:"category"`
	Kind     string `json:"kind"`
	Attrs    struct {
		FD           *uint64 `json:"fd"`
		Count        uint64  `json:"count"`
		Unattributed uint64  `json:"unattributed"`
	} `json:"attrs"`
}

// parse reads lines and checks what all documents have in common.
func parse(t *testing.T, b []byte, run string) (lines []line) {
	t.Helper()
	in := bufio.NewScanner(bytes.NewReader(b))
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("%v\n%s", err, in.Text())
		}
		if l.Version != 1 || l.Run != run || l.Seq != uint64(len(lines)+1) {
			t.Fatalf("line %d of run %s: %s", len(lines)+1, run, in.Text())
		}
		if _, err := time.Parse(time.RFC3339Nano, l.Time); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// lost sums the lines that say so.
func lost(lines []line) (count, other uint64, said int) {
	for _, l := range lines {
		if l.Kind == "lost" {
			count += l.Attrs.Count
			other += l.Attrs.Unattributed
			said++
		}
	}
	return count, other, said
}

func emit(s *event.Stream, pid abi.PID, n uint64) abi.EventID {
	return s.Emit(&event.Event{Category: abi.CatSyscall, Kind: event.KindSyscall(abi.SysRead), PID: pid, A: n, Via: "fd_read"})
}

func stop(t *testing.T, c *Collector) Stats {
	t.Helper()
	st, err := c.Close()
	if err != nil {
		t.Error(err)
	}
	return st
}

func TestSubscribe(t *testing.T) {
	s := event.New(event.Options{})
	c := Start(s, Options{Run: "R0"})
	for i := range uint64(10) {
		emit(s, 3, i) // another process, which had this number before
	}
	var mine, all bytes.Buffer
	cancelMine := c.Subscribe(3, "R1", &mine)
	cancelAll := c.Subscribe(0, "", &all)
	const n = 2000 // fits the ring of one processor, three times over
	for i := range uint64(n) {
		emit(s, 3, i)
		emit(s, 4, i)
		emit(s, 0, i)
	}
	if err := cancelMine(); err != nil {
		t.Error(err)
	}
	emit(s, 3, n)
	for _, cancel := range []func() error{cancelAll, cancelAll, cancelMine} {
		if err := cancel(); err != nil {
			t.Error(err)
		}
	}

	lines := parse(t, mine.Bytes(), "R1")
	if len(lines) != n {
		t.Fatalf("process 3 got %d lines, want %d", len(lines), n)
	}
	for i, l := range lines {
		if l.PID != 3 || l.Attrs.FD == nil || *l.Attrs.FD != uint64(i) || l.Kind != "read" {
			t.Fatalf("line %d: %+v", i, l)
		}
	}
	if got := c.Counts(3); got != (Counts{Written: n}) {
		t.Errorf("counts: %+v", got)
	}
	if lines := parse(t, all.Bytes(), "R0"); len(lines) != 3*n+1 {
		t.Errorf("all got %d lines, want %d", len(lines), 3*n+1)
	}
	c.Forget(3)
	if got := c.Counts(3); got != (Counts{}) {
		t.Errorf("counts after Forget: %+v", got)
	}
	stop(t, c)
}

// TestNobodyListens expects that nothing is read for nobody, and that what was
// not asked for is not called lost.
func TestNobodyListens(t *testing.T) {
	s := event.New(event.Options{Records: 1})
	c := Start(s, Options{})
	for i := range uint64(5000) {
		emit(s, 1, i)
	}
	var out bytes.Buffer
	cancel := c.Subscribe(1, "R", &out)
	emit(s, 1, 7)
	if err := cancel(); err != nil {
		t.Error(err)
	}
	if lines := parse(t, out.Bytes(), "R"); len(lines) != 1 || lines[0].Kind != "read" {
		t.Errorf("%d lines: %s", len(lines), out.Bytes())
	}
	for i := range uint64(5000) {
		emit(s, 1, i)
	}
	if st := stop(t, c); st != (Stats{Read: 1}) {
		t.Errorf("stats: %+v", st)
	}
}

// TestLossIsSaid keeps the collector busy while a ring overflows.
func TestLossIsSaid(t *testing.T) {
	s := event.New(event.Options{Records: 1})
	var everything, mine bytes.Buffer
	sink := NewJSONL(&everything, "ALL")
	c := Start(s, Options{Sinks: []Sink{sink}})
	cancel := c.Subscribe(1, "R", &mine)

	const n = 2000
	c.order(func() {
		for i := range uint64(n) {
			emit(s, 1, i)
			emit(s, 2, i)
		}
	}, false)
	if err := cancel(); err != nil {
		t.Error(err)
	}
	st := stop(t, c)

	lines := parse(t, mine.Bytes(), "R")
	count, other, said := lost(lines)
	if said == 0 || other != 0 || uint64(len(lines)-said)+count != n {
		t.Errorf("process 1: %d lines, %d lost and %d perhaps, said %d times; %d emitted", len(lines), count, other, said, n)
	}
	if got, want := c.Counts(1), (Counts{Written: uint64(len(lines) - said), Lost: count}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	lines = parse(t, everything.Bytes(), "ALL")
	count, other, said = lost(lines)
	if uint64(len(lines)-said)+count != 2*n || other != 0 {
		t.Errorf("all: %d lines, %d lost and %d perhaps, said %d times; %d emitted", len(lines), count, other, said, 2*n)
	}
	if st.Read+st.Lost != 2*n || st.Lost != count {
		t.Errorf("stats: %+v; %d lost", st, count)
	}
}

// TestLossOfAnEarlierProcess loses events of a process and gives its number to
// another, which must not be told of them.
func TestLossOfAnEarlierProcess(t *testing.T) {
	s := event.New(event.Options{Records: 1})
	var everything, mine bytes.Buffer
	c := Start(s, Options{Sinks: []Sink{NewJSONL(&everything, "ALL")}})
	sub := &subscription{pid: 1, sink: newJSONL(&mine, "R", time.Hour)}
	c.order(func() { // all before the collector looks again
		for i := range uint64(2000) {
			emit(s, 1, i)
		}
		c.add(sub)
	}, false)
	emit(s, 1, 0)
	stop(t, c)
	if lines := parse(t, mine.Bytes(), "R"); len(lines) != 1 || lines[0].Kind != "read" {
		t.Errorf("the new process was told %s", mine.Bytes())
	}
	if count, _, _ := lost(parse(t, everything.Bytes(), "ALL")); count == 0 {
		t.Error("nothing was lost")
	}
}

// gate is a writer that waits to be opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	once    sync.Once
	bytes.Buffer
}

func newGate() *gate { return &gate{open: make(chan struct{}), entered: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	return g.Buffer.Write(b)
}

// TestStuckWriter has one writer that takes nothing. Others are served, cancel
// returns, and the goroutine ends when the writer does.
func TestStuckWriter(t *testing.T) {
	s := event.New(event.Options{})
	c := Start(s, Options{Patience: time.Millisecond})
	stuck := newGate()
	var good bytes.Buffer
	cancelStuck := c.Subscribe(1, "S", stuck)
	emit(s, 1, 0)
	<-stuck.entered
	cancelGood := c.Subscribe(2, "G", &good)
	for i := range uint64(100) {
		emit(s, 1, i)
		emit(s, 2, i)
	}
	if err := cancelStuck(); !errors.Is(err, ErrStuck) {
		t.Errorf("cancel: %v", err)
	}
	if got := c.Counts(1); got != (Counts{Lost: 101}) {
		t.Errorf("counts: %+v", got)
	}
	// What is in the good one's buffer needs no patience to be written.
	if err := cancelGood(); err != nil && !errors.Is(err, ErrStuck) {
		t.Error(err)
	}
	stop(t, c)
	close(stuck.open)
	<-c.countsOf(1).done
	<-c.countsOf(2).done
	if lines := parse(t, good.Bytes(), "G"); len(lines) != 100 {
		t.Errorf("the good writer got %d lines", len(lines))
	}
}

func (c *Collector) countsOf(pid abi.PID) *jsonl {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[pid]
}

// TestFullSpool has a writer that is slower than events come.
func TestFullSpool(t *testing.T) {
	slow := newGate()
	s := newJSONL(slow, "R", time.Hour)
	recs := make([]event.Record, 100)
	for i := range recs {
		recs[i] = event.Record{PID: 1, Kind: event.KindSyscall(abi.SysOpen), Text: strings.Repeat("x", 4000)}
	}
	s.Consume(recs[:1])
	<-slow.entered
	n := 1
	for !s.full() {
		s.Consume(recs)
		n += len(recs)
	}
	s.Consume(recs)
	n += len(recs)
	close(slow.open)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	lines := parse(t, slow.Bytes(), "R")
	count, _, said := lost(lines)
	if said == 0 || count < uint64(len(recs)) || len(lines)-said+int(count) != n {
		t.Errorf("%d lines, %d of them saying that %d are lost, of %d", len(lines), said, count, n)
	}
	if got, want := s.total(), (Counts{Written: uint64(len(lines) - said), Lost: count}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func (s *jsonl) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buf) >= spoolLimit
}

// failing takes some writes and then none.
type failing struct {
	good int
	err  error
	bytes.Buffer
}

func (f *failing) Write(b []byte) (int, error) {
	if f.good--; f.good < 0 {
		if f.err == nil {
			return len(b) / 2, nil
		}
		return 0, f.err
	}
	return f.Buffer.Write(b)
}

func TestFailingWriter(t *testing.T) {
	full := errors.New("no space")
	for _, test := range []struct {
		name string
		w    *failing
		want error
	}{
		{"error", &failing{err: full}, full},
		{"short write", &failing{}, io.ErrShortWrite},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := event.New(event.Options{})
			c := Start(s, Options{})
			cancel := c.Subscribe(1, "R", test.w)
			const n = 500
			for i := range uint64(n) {
				emit(s, 1, i)
			}
			for range 2 {
				if err := cancel(); !errors.Is(err, test.want) {
					t.Errorf("cancel: %v", err)
				}
			}
			if got := c.Counts(1); got != (Counts{Lost: n}) {
				t.Errorf("counts: %+v", got)
			}
			stop(t, c)
		})
	}
}

func TestOff(t *testing.T) {
	var none *Collector
	var out bytes.Buffer
	if err := none.Subscribe(1, "R", &out)(); !errors.Is(err, ErrOff) {
		t.Errorf("nil collector: %v", err)
	}
	if _, err := none.Close(); err != nil || none.Counts(1) != (Counts{}) {
		t.Error("a nil collector did something")
	}
	none.Forget(1)

	c := Start(nil, Options{Sinks: []Sink{NewJSONL(&out, "R")}})
	if err := c.Subscribe(1, "R", &out)(); !errors.Is(err, ErrOff) {
		t.Errorf("nil stream: %v", err)
	}
	stop(t, c)
	stop(t, c)

	c = Start(event.New(event.Options{Records: 1}), Options{})
	before := c.Subscribe(1, "R", &out)
	stop(t, c)
	if err := c.Subscribe(1, "R", &out)(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := before(); err != nil {
		t.Errorf("cancel after Close: %v", err)
	}
	if out.Len() != 0 {
		t.Errorf("written: %s", out.Bytes())
	}
}

// TestHammer has processes come and go, with numbers used again, and expects of
// every subscription exactly its own events, or to be told how many are missing.
func TestHammer(t *testing.T) {
	s := event.New(event.Options{Records: 2048})
	c := Start(s, Options{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			pid := abi.PID(w%4*2 + 1 + w/4) // 1 to 8
			for life := range 8 {
				var out bytes.Buffer
				run := fmt.Sprintf("R%d-%d", pid, life)
				cancel := c.Subscribe(pid, run, &out)
				n := uint64(1 + 100*life)
				for i := range n {
					emit(s, pid, i)
				}
				if err := cancel(); err != nil {
					t.Error(err)
				}
				lines := parse(t, out.Bytes(), run)
				count, other, said := lost(lines)
				got := uint64(len(lines) - said)
				if got+count > n || got+count+other < n {
					t.Errorf("%s: %d events, %d lost and %d perhaps, of %d", run, got, count, other, n)
				}
				if have := c.Counts(pid); have != (Counts{got, count, other}) {
					t.Errorf("%s: counts %+v; %d, %d, %d written", run, have, got, count, other)
				}
				last := -1
				for _, l := range lines {
					if l.Kind == "lost" {
						continue
					}
					if l.PID != uint32(pid) || int(*l.Attrs.FD) <= last {
						t.Errorf("%s: %+v after %d", run, l, last)
					}
					last = int(*l.Attrs.FD)
				}
			}
		})
	}
	wg.Wait()
	stop(t, c)
}

func BenchmarkAppendJSON(b *testing.B) {
	rec := event.Record{
		ID: 12345, Chain: 7, PID: 3, Category: abi.CatSyscall, Severity: abi.Info, Kind: event.KindSyscall(abi.SysOpen),
		TimeNS: 1_700_000_000_000_000_007, DurNS: 1234, A: 3, B: 4, Text: "/data/some/ordinary/path.txt", Via: "path_open",
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], 1, "01JABCDEF", &rec)
	}
	b.SetBytes(int64(len(buf)))
}
