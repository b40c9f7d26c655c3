package proc

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// hiding is a process over a host that answers by f.
func hiding(f HostView) *Process {
	p := New(Options{Account: limit.NewAccount(limit.Caps{}), Denials: new(perm.Denials), Host: f})
	p.SetFDs(NewFDTable(p.Account()))
	p.SetCall(&abi.Call{Nr: abi.SysOpen, FD: abi.NoFD, Path: "/x"})
	return p
}

func TestHiddenCountsEveryAsk(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := hiding(func(path string) (bool, bool) { return path != "/absent", path != "/proc" })
	for range 100 {
		for _, path := range []string{"/there", "/absent", "/proc"} {
			p.Hidden(path)
		}
	}
	if !p.Settle(time.Minute) {
		t.Fatal("not settled")
	}
	list := p.Denials().List()
	if total, _ := p.Denials().Total(); total != 200 || len(list) != 2 {
		t.Fatalf("%d denials, %+v", total, list)
	}
	for _, d := range list {
		want := map[string]string{"/there": "--read /there", "/proc": ""}[d.Canonical]
		if d.Count != 100 || d.Grant != want || d.Errno != abi.ENOENT || d.Nr != abi.SysOpen {
			t.Errorf("%+v", d)
		}
	}
}

// A call does the same for what is there and for what is not, also when that is known
// already: what is recorded is recorded by the goroutine, which is held up here.
func TestHiddenRecordsNothingInTheCall(t *testing.T) {
	defer goleak.VerifyNone(t)
	hung, entered := make(chan struct{}), make(chan struct{})
	p := hiding(func(path string) (bool, bool) {
		if path == "/hangs" {
			close(entered)
			<-hung
		}
		return path == "/there", true
	})
	p.Hidden("/there")
	p.Hidden("/absent")
	if !p.Settle(time.Minute) {
		t.Fatal("not settled")
	}
	p.Hidden("/hangs")
	<-entered
	for range 10 {
		p.Hidden("/there")
		p.Hidden("/absent")
	}
	if total, _ := p.Denials().Total(); total != 1 {
		t.Errorf("%d denials while the goroutine is held up, want the one from before", total)
	}
	close(hung)
	if !p.Settle(time.Minute) {
		t.Fatal("not settled")
	}
	if total, _ := p.Denials().Total(); total != 11 {
		t.Errorf("%d denials in the end, want 11", total)
	}
}

// What is to be made needs its directory, if the host has that.
func TestHiddenDirectory(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, test := range []struct {
		call  abi.Call
		path  string
		grant string // "" if nothing is recorded
	}{
		{abi.Call{Nr: abi.SysOpen, Open: abi.OWrite | abi.OCreate}, "/out/new", "--write /out"},
		{abi.Call{Nr: abi.SysOpen, Open: abi.OWrite | abi.OCreate}, "/out/old", "--write /out/old"},
		{abi.Call{Nr: abi.SysMkdir}, "/out/new", "--write /out"},
		{abi.Call{Nr: abi.SysSymlink}, "/out/new", "--write /out"},
		{abi.Call{Nr: abi.SysOpen, Open: abi.OWrite}, "/out/new", ""},
		{abi.Call{Nr: abi.SysOpen, Open: abi.ORead}, "/out/new", ""},
		{abi.Call{Nr: abi.SysUnlink}, "/out/new", ""},
		{abi.Call{Nr: abi.SysOpen, Open: abi.OWrite | abi.OCreate}, "/none/new", ""},
		{abi.Call{Nr: abi.SysOpen, Open: abi.OWrite | abi.OCreate}, "/new", ""},
	} {
		p := hiding(func(path string) (bool, bool) { return path == "/" || path == "/out" || path == "/out/old", true })
		test.call.FD, test.call.Path = abi.NoFD, test.path
		p.SetCall(&test.call)
		p.Hidden(test.path)
		if !p.Settle(time.Minute) {
			t.Fatal("not settled")
		}
		got := ""
		for _, d := range p.Denials().List() {
			got += d.Grant
		}
		if got != test.grant {
			t.Errorf("%d of %s: grant %q, want %q", test.call.Nr, test.path, got, test.grant)
		}
	}
}

// TestHiddenNeverWaitsForTheHost has the host never answer: the calls return, and
// so does the release of the process.
func TestHiddenNeverWaitsForTheHost(t *testing.T) {
	defer goleak.VerifyNone(t)
	hung, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := hiding(func(string) (bool, bool) {
		once.Do(func() { close(entered) })
		<-hung
		return true, true
	})
	for i := range 2 * maxLooks {
		p.Hidden("/mnt/dead/" + strconv.Itoa(i))
	}
	<-entered
	if p.Settle(time.Millisecond) {
		t.Error("settled while the host hangs")
	}
	if n := len(p.looks.known); n != maxLooks {
		t.Errorf("%d looks are remembered, want %d", n, maxLooks)
	}
	p.To(Dead)
	close(hung)
	if !p.Settle(time.Minute) {
		t.Error("not settled when the host answers")
	}
	if total, _ := p.Denials().Total(); total != 0 {
		t.Errorf("%d denials of a process that was gone", total)
	}
}
