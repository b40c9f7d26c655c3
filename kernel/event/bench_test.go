package event

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func benchEvent() Event {
	return Event{
		Category: abi.CatSyscall, Severity: abi.Info, Kind: KindSyscall(abi.SysRead),
		PID: 3, Chain: 7, Start: 1, A: 3, B: 4096, Via: "fd_read",
	}
}

func BenchmarkNow(b *testing.B) {
	var t Ticks
	for b.Loop() {
		t += Now()
	}
	_ = t
}

func BenchmarkOffNil(b *testing.B) {
	var s *Stream
	for b.Loop() {
		if s.On(abi.CatSyscall) {
			b.Fatal("on")
		}
	}
}

func BenchmarkOffCategory(b *testing.B) {
	s := New(Options{Categories: CategorySet(abi.CatSecurity)})
	for b.Loop() {
		if s.On(abi.CatSyscall) {
			b.Fatal("on")
		}
	}
}

// BenchmarkEmit fills an event, reads the clock for its end, and emits it.
func BenchmarkEmit(b *testing.B) {
	s := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		e := benchEvent()
		e.End = Now()
		s.Emit(&e)
	}
}

func BenchmarkEmitPath(b *testing.B) {
	s := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		e := benchEvent()
		e.Text = "/data/some/ordinary/path.txt"
		e.End = Now()
		s.Emit(&e)
	}
}

func BenchmarkEmitRead(b *testing.B) {
	s := New(Options{})
	r := s.NewReader()
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		e := benchEvent()
		e.End = Now()
		s.Emit(&e)
	}
}

func benchMany(b *testing.B, n int, f func()) {
	b.ReportAllocs()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for range b.N / n {
				f()
			}
		})
	}
	wg.Wait()
}

func BenchmarkEmit8(b *testing.B) {
	s := New(Options{})
	benchMany(b, 8, func() {
		e := benchEvent()
		e.End = Now()
		s.Emit(&e)
	})
}

func BenchmarkSlog(b *testing.B) {
	l := slog.New(slog.NewJSONHandler(io.Discard, nil))
	b.ReportAllocs()
	for b.Loop() {
		l.LogAttrs(context.Background(), slog.LevelInfo, "read", slog.Int("pid", 3), slog.Int("fd", 3),
			slog.Int("bytes", 4096), slog.String("via", "fd_read"), slog.Uint64("chain", 7))
	}
}

func BenchmarkChannel8(b *testing.B) {
	ch := make(chan Event, 65536)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range ch {
		}
	}()
	benchMany(b, 8, func() {
		e := benchEvent()
		e.End = Now()
		ch <- e
	})
	close(ch)
	<-done
}

func BenchmarkNext(b *testing.B) {
	s := New(Options{})
	r := s.NewReader()
	defer r.Close()
	buf := make([]Record, 256)
	b.ReportAllocs()
	for i := 0; i < b.N; {
		b.StopTimer()
		for range 4096 {
			e := benchEvent()
			e.End = Now()
			s.Emit(&e)
		}
		b.StartTimer()
		for {
			n, _ := r.Next(buf)
			i += n
			if n < len(buf) {
				break
			}
		}
	}
}
