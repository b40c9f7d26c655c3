package cgroup

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkGroup is what a run pays for its group, in parts, so that what can be
// done ahead is seen apart from what cannot.
func BenchmarkGroup(b *testing.B) {
	for name, o := range map[string]Options{"leaf": {}, "no leaf": {NoLeaf: true}} {
		h := o.Probe(fmt.Sprintf("bench-%d", os.Getpid()))
		if len(h.trees) == 0 {
			b.Skip("NOT CHECKED: no control group can be made here")
		}
		limits := Limits{Weight: normal}
		if h.Has(memory) {
			limits.Memory = 64 << 20
		}
		if h.Has(pids) {
			limits.Pids = 100
		}
		g, err := h.Make("r")
		if err != nil {
			b.Fatal(err)
		}
		must := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name+"/Make and Close", func(b *testing.B) {
			for b.Loop() {
				g, err := h.Make("s")
				must(err)
				must(g.Close())
			}
		})
		b.Run(name+"/Limit", func(b *testing.B) {
			for b.Loop() {
				must(g.Limit(limits))
			}
		})
		b.Run(name+"/JoinThread and LeaveThread", func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				must(g.JoinThread(unix.Gettid()))
				must(g.LeaveThread(unix.Gettid()))
			}
		})
		b.Run(name+"/Stats", func(b *testing.B) {
			for b.Loop() {
				_, err := g.Stats()
				must(err)
			}
		})
		b.Run(name+"/Kill of nobody", func(b *testing.B) {
			for b.Loop() {
				must(g.Kill())
			}
		})
		must(g.Close())
		must(h.Close())
	}
}
