package proc

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// process is one with arguments, a variable, and descriptor 0.
func process(t *testing.T) *proc.Process {
	t.Helper()
	account := limit.NewAccount(limit.Caps{})
	p := proc.New(proc.Options{
		Identity: proc.Identity{PID: 1, Args: []string{"p", "a"}, Env: []string{"K=V"}},
		Account:  account, Denials: new(perm.Denials), Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{}), nil),
	})
	p.SetFDs(proc.NewFDTable(account))
	fd, errno := p.FDs().Reserve()
	if errno != abi.OK || !p.FDs().Commit(fd, proc.Descriptor{File: vfs.NewStream(strings.NewReader(""), io.Discard, vfs.StreamOptions{})}) {
		t.Fatal(errno)
	}
	return p
}

func TestArgumentsAndVariables(t *testing.T) {
	p := process(t)
	for nr, want := range map[abi.Sysno]string{abi.SysArgs: "p a", abi.SysEnviron: "K=V"} {
		var c abi.Call
		if errno := Handlers()[nr](p, &c); errno != abi.OK || strings.Join(c.Strs, " ") != want {
			t.Errorf("%s: %v %v", nr, c.Strs, errno)
		}
	}
}

func TestClocks(t *testing.T) {
	p := process(t)
	p.AddCPU(5 * time.Millisecond)
	read := func(id uint64) (uint64, abi.Errno) {
		c := abi.Call{Arg: [2]uint64{id}}
		errno := Handlers()[abi.SysClockTime](p, &c)
		return c.Ret, errno
	}
	before := uint64(time.Now().UnixNano())
	if ns, errno := read(uint64(abi.ClockRealtime)); errno != abi.OK || ns < before {
		t.Errorf("real time %d %v, before it was %d", ns, errno, before)
	}
	a, _ := read(uint64(abi.ClockMonotonic))
	if b, errno := read(uint64(abi.ClockMonotonic)); errno != abi.OK || b < a || b > uint64(time.Hour) {
		t.Errorf("the monotonic clock went from %d to %d %v; a guest must not learn the host's uptime", a, b, errno)
	}
	for _, id := range []abi.ClockID{abi.ClockProcessCPU, abi.ClockThreadCPU} {
		if ns, errno := read(uint64(id)); errno != abi.OK || ns != uint64(5*time.Millisecond) {
			t.Errorf("clock %d: %d %v", id, ns, errno)
		}
	}
	for _, id := range []uint64{uint64(abi.NumClocks), 256, 1 << 63} {
		if _, errno := read(id); errno != abi.EINVAL {
			t.Errorf("clock %d: %v", id, errno)
		}
		c := abi.Call{Arg: [2]uint64{id}}
		if errno := Handlers()[abi.SysClockRes](p, &c); errno != abi.EINVAL {
			t.Errorf("resolution of clock %d: %v", id, errno)
		}
	}
}

func TestRandomFillsEverything(t *testing.T) {
	c := abi.Call{Buf: [][]byte{make([]byte, 40), nil, make([]byte, 60)}}
	if errno := Handlers()[abi.SysRandom](nil, &c); errno != abi.OK || c.Ret != 100 {
		t.Fatalf("%d bytes, %v", c.Ret, errno)
	}
	if bytes.Contains(append(c.Buf[0], c.Buf[2]...), make([]byte, 16)) {
		t.Error("a stretch of zeros in random bytes")
	}
	c = abi.Call{Buf: [][]byte{make([]byte, abi.MaxTransfer), make([]byte, 10)}}
	if errno := Handlers()[abi.SysRandom](nil, &c); errno != abi.OK || c.Ret != abi.MaxTransfer {
		t.Errorf("one call filled %d bytes, %v", c.Ret, errno)
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		nr    abi.Sysno
		arg   uint64
		errno abi.Errno
		want  *proc.End
	}{
		{abi.SysExit, 0, abi.OK, &proc.End{Cause: abi.CauseExited}},
		{abi.SysExit, 0x1_0000_0107, abi.OK, &proc.End{Cause: abi.CauseExited, Code: 7}},
		{abi.SysRaise, uint64(abi.SIGABRT), abi.OK, &proc.End{Cause: abi.CauseSignaled, Signal: abi.SIGABRT}},
		{abi.SysRaise, uint64(abi.SIGCONT), abi.OK, nil},
		{abi.SysRaise, 0, abi.EINVAL, nil},
		{abi.SysRaise, 32, abi.EINVAL, nil},
		{abi.SysRaise, 256 + 9, abi.EINVAL, nil},
	} {
		p := process(t)
		if errno := Handlers()[c.nr](p, &abi.Call{Arg: [2]uint64{c.arg}}); errno != c.errno {
			t.Errorf("%s %d: %v, want %v", c.nr, c.arg, errno, c.errno)
		}
		switch got := p.End(); {
		case (got == nil) != (c.want == nil):
			t.Errorf("%s %d: end %+v", c.nr, c.arg, got)
		case got != nil && (got.Cause != c.want.Cause || got.Code != c.want.Code || got.Signal != c.want.Signal):
			t.Errorf("%s %d: end %+v, want %+v", c.nr, c.arg, got, c.want)
		}
	}
}

func TestPoll(t *testing.T) {
	p := process(t)
	began := time.Now().Add(-time.Second) // the call has waited a second already
	mono := func() int64 { return int64(time.Since(epoch)) }
	clock := func(timeout time.Duration) abi.Poll {
		return abi.Poll{Kind: abi.PollClock, Clock: abi.ClockMonotonic, Timeout: int64(timeout)}
	}
	absolute := func(id abi.ClockID, at int64) abi.Poll {
		return abi.Poll{Kind: abi.PollClock, Clock: id, Absolute: true, Timeout: at}
	}
	for _, c := range []struct {
		name  string
		polls []abi.Poll
		ready string // of each: - no, r ready, e ready with an error
		wait  time.Duration
	}{
		{"past", []abi.Poll{clock(500 * time.Millisecond)}, "r", 0},
		{"future", []abi.Poll{clock(time.Hour)}, "-", time.Hour - time.Second},
		{"negative is for ever", []abi.Poll{clock(-1)}, "-", forever - time.Second},
		{"the nearest counts", []abi.Poll{clock(2 * time.Hour), clock(time.Hour)}, "--", time.Hour - time.Second},
		{"absolute past", []abi.Poll{absolute(abi.ClockMonotonic, mono()-1), absolute(abi.ClockRealtime, 0)}, "rr", 0},
		{"absolute future", []abi.Poll{absolute(abi.ClockMonotonic, mono()+int64(time.Hour))}, "-", time.Hour},
		{"far future, of a clock that may be set", []abi.Poll{absolute(abi.ClockRealtime, 1<<63-1)}, "-", realtimeStep},
		{"descriptor", []abi.Poll{clock(time.Hour), {Kind: abi.PollWrite, FD: 0}}, "-r", 0},
		{"one that nobody knows of", []abi.Poll{clock(time.Hour), {Kind: abi.PollRead, FD: 0}}, "--", time.Hour},
		{"bad descriptor", []abi.Poll{{Kind: abi.PollWrite, FD: 9}}, "e", 0},
		{"bad clock", []abi.Poll{{Kind: abi.PollClock, Clock: abi.NumClocks}}, "e", 0},
		{"a clock that waiting stops", []abi.Poll{{Kind: abi.PollClock, Clock: abi.ClockProcessCPU}}, "e", 0},
		{"nothing", nil, "", 0},
	} {
		call := abi.Call{Polls: c.polls}
		errno, wait, done := Waiting()[abi.SysPoll](p, &call, began)
		got := ""
		for _, s := range call.Polls {
			switch {
			case !s.Ready:
				got += "-"
			case s.Errno == abi.OK:
				got += "r"
			default:
				got += "e"
			}
		}
		if errno != abi.OK || got != c.ready || done != (c.wait == 0) {
			t.Errorf("%s: %v, ready %q, done %v", c.name, errno, got, done)
		}
		for _, w := range wait.Files {
			w.File.Unref()
		}
		if !done {
			if d := time.Until(wait.Again) - c.wait; d > time.Second || d < -time.Minute {
				t.Errorf("%s: looks again in %v, want %v", c.name, time.Until(wait.Again), c.wait)
			}
		}
	}
}
