package gate

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// TestWatchedOnce: however often a guest names a descriptor in one poll, the host
// watches it once each way.
func TestWatchedOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := proc.New(proc.Options{Account: limit.NewAccount(limit.Caps{}), Denials: new(perm.Denials), Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{}), nil)})
	g := New(p, &Shared{})
	ch := new(counted)
	f := vfs.NewChannel(ch, abi.ORead|abi.OWrite)
	var files []Watched
	for range 1000 {
		for _, kind := range []abi.PollKind{abi.PollRead, abi.PollWrite} {
			f.Ref()
			files = append(files, Watched{f, kind})
		}
	}
	g.watch(files)
	if ch.watches != 2 || len(g.watches) != 2 {
		t.Errorf("%d watches, %d kept", ch.watches, len(g.watches))
	}
	g.unwatch()
	if ch.watches != 0 || len(g.watches) != 0 {
		t.Errorf("%d watches are left, %d kept", ch.watches, len(g.watches))
	}
	if errno := f.Unref(); errno != abi.OK || !ch.closed {
		t.Errorf("a reference is left: %v", errno)
	}
}

// counted is a channel that counts who watches it.
type counted struct {
	vfs.Channel
	watches int
	closed  bool
}

func (c *counted) Type() abi.FileType { return abi.TypeSocket }
func (c *counted) Close() abi.Errno   { c.closed = true; return abi.OK }
func (c *counted) Watch(abi.PollKind, func()) func() {
	c.watches++
	return func() { c.watches-- }
}

func TestSkip(t *testing.T) {
	for n, want := range []string{"abcde", "bcde", "cde", "de", "e", ""} {
		var got strings.Builder
		for _, b := range Skip([][]byte{[]byte("ab"), nil, []byte("c"), []byte("de")}, n) {
			got.Write(b)
		}
		if got.String() != want {
			t.Errorf("without %d: %q, want %q", n, &got, want)
		}
	}
}
