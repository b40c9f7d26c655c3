package proc

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

var update = flag.Bool("update", false, "rewrite the diagram in docs/LIFECYCLE.md")

const (
	lifecycle = "../../docs/LIFECYCLE.md"
	begin     = "```mermaid\n"
	end       = "```\n"
)

// TestDiagram holds the documented diagram equal to the transition table.
func TestDiagram(t *testing.T) {
	b, err := os.ReadFile(lifecycle)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	drawn, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no mermaid block", lifecycle)
	}
	if *update {
		if err := os.WriteFile(lifecycle, []byte(before+begin+Diagram()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if drawn != Diagram() {
		t.Errorf("the diagram in %s is not that of the table; run: go test ./kernel/proc -update", lifecycle)
	}
}

// TestTransitions tries every pair of states against the table.
func TestTransitions(t *testing.T) {
	allowed := map[[2]State]bool{}
	for _, tr := range Transitions() {
		if allowed[[2]State{tr.From, tr.To}] {
			t.Errorf("%s → %s is there twice", tr.From, tr.To)
		}
		allowed[[2]State{tr.From, tr.To}] = true
	}
	for from := range NumStates {
		for to := range NumStates {
			p := New(Options{Denials: new(perm.Denials)})
			p.state.Store(uint32(from))
			if got := p.To(to); got != allowed[[2]State{from, to}] {
				t.Errorf("%s → %s: %v", from, to, got)
			}
			want := from
			if allowed[[2]State{from, to}] {
				want = to
			}
			if p.State() != want {
				t.Errorf("after %s → %s: %s", from, to, p.State())
			}
		}
	}
}

// TestOnlyReadyIsReached proves by the table that a process cannot be
// scheduled, or make a call, without passing Initializing → Ready.
func TestOnlyReadyIsReached(t *testing.T) {
	reach := map[State]bool{Creating: true}
	for grown := true; grown; {
		grown = false
		for _, tr := range transitions {
			skip := tr.From == Initializing && tr.To == Ready
			if reach[tr.From] && !reach[tr.To] && !skip {
				reach[tr.To], grown = true, true
			}
		}
	}
	for s := range NumStates {
		if reach[s] && (s.Schedulable() || s.AcceptsCalls()) {
			t.Errorf("%s can be reached without initialization", s)
		}
	}
	for _, tr := range transitions {
		if tr.From == Dead || tr.From == Zombie && tr.To != Dead {
			t.Errorf("a way back from the end: %s → %s", tr.From, tr.To)
		}
	}
}

func TestFirstCauseWins(t *testing.T) {
	p := New(Options{Denials: new(perm.Denials)})
	var wg sync.WaitGroup
	won := make([]bool, 16)
	for i := range won {
		wg.Go(func() { won[i] = p.Kill(End{Cause: abi.CauseKilled, Code: i}) })
	}
	wg.Wait()
	n := 0
	for i, w := range won {
		if w {
			n++
			if p.End().Code != i {
				t.Error("the end is not the winner's")
			}
		}
	}
	if n != 1 {
		t.Errorf("%d ends were recorded", n)
	}
	p.AddBacktrace([]string{"main"})
	if p.Finish(End{Cause: abi.CauseExited}) || p.End().Cause != abi.CauseKilled || len(p.End().Backtrace) != 1 {
		t.Errorf("end %+v", p.End())
	}
}

func TestMemoryRefusalBecomesTheCause(t *testing.T) {
	for _, c := range []struct {
		e       End
		pressed []bool
		want    abi.Cause
	}{
		{End{Cause: abi.CauseExited, Code: 2}, []bool{true}, abi.CauseMemoryLimit},
		{End{Cause: abi.CauseFault}, []bool{true}, abi.CauseMemoryLimit},
		{End{Cause: abi.CauseExited}, []bool{true}, abi.CauseExited},
		{End{Cause: abi.CauseExited, Code: 2}, []bool{true, false}, abi.CauseExited},
		{End{Cause: abi.CauseFault}, nil, abi.CauseFault},
		{End{Cause: abi.CauseTimeout}, []bool{true}, abi.CauseTimeout},
	} {
		p := New(Options{Denials: new(perm.Denials)})
		for _, refused := range c.pressed {
			p.MemoryRefused(refused)
		}
		p.Finish(c.e)
		if p.End().Cause != c.want || p.End().Code != c.e.Code {
			t.Errorf("%+v after refusals %v: %+v", c.e, c.pressed, p.End())
		}
	}
}

func file() *vfs.File { return vfs.NewStream(strings.NewReader(""), nil, vfs.StreamOptions{}) }

// TestFDTableAgainstModel runs random operations on a table and on a map.
func TestFDTableAgainstModel(t *testing.T) {
	const max = 8
	rng := rand.New(rand.NewPCG(3, 4))
	a := limit.NewAccount(limit.Caps{abi.LimitFiles: max})
	table, model := NewFDTable(a), map[abi.FD]*vfs.File{}
	lowest := func() abi.FD {
		for fd := abi.FD(0); ; fd++ {
			if model[fd] == nil {
				return fd
			}
		}
	}
	for range 20_000 {
		fd, to := abi.FD(rng.IntN(max+2)-1), abi.FD(rng.IntN(max+2)-1)
		switch rng.IntN(5) {
		case 0, 1:
			got, errno := table.Reserve()
			if len(model) == max {
				if errno != abi.EMFILE {
					t.Fatalf("a full table gave %d, %v", got, errno)
				}
				continue
			}
			if errno != abi.OK || got != lowest() {
				t.Fatalf("reserved %d, %v, want %d", got, errno, lowest())
			}
			if _, errno := table.Get(got); errno != abi.EBADF {
				t.Fatal("a reserved number is open")
			}
			if rng.IntN(4) == 0 {
				table.Cancel(got)
				continue
			}
			f := file()
			if !table.Commit(got, Descriptor{File: f}) {
				t.Fatal("commit failed")
			}
			model[got] = f
		case 2:
			d, errno := table.Remove(fd)
			if d.File != model[fd] || (errno == abi.OK) != (model[fd] != nil) {
				t.Fatalf("removed %v, %v", d, errno)
			}
			delete(model, fd)
		case 3:
			old, errno := table.Renumber(fd, to)
			if model[fd] == nil || model[to] == nil {
				if errno != abi.EBADF {
					t.Fatalf("renumber %d %d: %v", fd, to, errno)
				}
				continue
			}
			if fd != to {
				if old.File != model[to] {
					t.Fatal("renumber returned another file")
				}
				model[to] = model[fd]
				delete(model, fd)
			}
		case 4:
			d, errno := table.Get(fd)
			if d.File != model[fd] || (errno == abi.OK) != (model[fd] != nil) {
				t.Fatalf("got %v, %v", d, errno)
			}
			if errno == abi.OK {
				d.File.Unref()
			}
		}
		if n := uint64(len(model)); a.Used(abi.LimitFiles) != n || table.Len() != len(model) {
			t.Fatalf("charged %d, %d in the table, want %d", a.Used(abi.LimitFiles), table.Len(), n)
		}
	}
	if n := len(table.Release()); n != len(model) || a.Used(abi.LimitFiles) != 0 {
		t.Errorf("released %d, charged %d", n, a.Used(abi.LimitFiles))
	}
	if _, errno := table.Reserve(); errno != abi.EBADF || a.Used(abi.LimitFiles) != 0 {
		t.Errorf("a released table gave %v", errno)
	}
}

// TestFDTableReleaseRacesOpen has opens in flight while the table is released:
// the charge must come out even and no file may be lost.
func TestFDTableReleaseRacesOpen(t *testing.T) {
	for range 300 {
		a := limit.NewAccount(limit.Caps{abi.LimitFiles: 100})
		table := NewFDTable(a)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					fd, errno := table.Reserve()
					if errno != abi.OK {
						return
					}
					f := file()
					if !table.Commit(fd, Descriptor{File: f}) {
						f.Unref()
					}
				}
			})
		}
		for _, d := range table.Release() {
			d.File.Unref()
		}
		wg.Wait()
		if n := a.Used(abi.LimitFiles); n != 0 {
			t.Fatalf("%d still charged", n)
		}
	}
}
