package fstest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// RunFull fills file systems up. make returns an empty one that has room for
// about the given number of bytes and no more; the suite closes it.
func RunFull(t *testing.T, make func(t *testing.T, room int64) vfs.FileSystem, caps Caps) {
	for _, test := range []struct {
		name string
		f    func(*suite)
	}{
		{"Write", (*suite).fullWrite},
		{"Allocate", (*suite).fullAllocate},
		{"Names", (*suite).fullNames},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, caps: caps, fs: make(t, room)}
			s.run(test.f)
		})
	}
}

// room is what a file system that is to be filled holds, in bytes.
const room = 512 << 10

// fullWrite writes until there is no room: what is counted as written is there,
// what is refused changed nothing, and what is given back can be used again.
func (s *suite) fullWrite() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	s.put(s.top, "small", "keep")
	fill := func() (total int64) {
		for i := 0; ; i++ {
			b := bytes.Repeat([]byte{byte(i + 1)}, 10_000)
			k, end, errno := h.WriteAt([][]byte{b}, total)
			if errno == abi.ENOSPC && k == 0 {
				return total
			}
			if errno != abi.OK || k <= 0 || end != total+int64(k) || total > 4*room {
				s.Fatalf("write at %d: %d, end %d, %s", total, k, end, errno)
			}
			total += int64(k)
		}
	}
	total := fill()
	if total < room/4 {
		s.Errorf("only %d of about %d bytes fit", total, room)
	}
	check := func(what string) {
		s.Helper()
		got := s.all(h)
		if int64(len(got)) != total || s.stat(n).Size != total {
			s.Fatalf("%s: %d bytes, size %d, of %d", what, len(got), s.stat(n).Size, total)
		}
		for at, i := 0, 0; at < len(got); at += 10_000 {
			part := got[at:min(at+10_000, len(got))]
			if i++; i < len(got)/10_000 && part != strings.Repeat(string([]byte{byte(i)}), len(part)) {
				s.Fatalf("%s: what was written at %d reads differently", what, at)
			}
		}
		if got := s.at("small"); got != "keep" {
			s.Errorf("%s: another file holds %q", what, got)
		}
	}
	check("full")
	if k, _, errno := h.WriteAt([][]byte{make([]byte, 100_000)}, total+100_000); k != 0 || errno != abi.ENOSPC {
		s.Errorf("far write: %d, %s", k, errno)
	}
	check("after a refused write")
	s.write(h, 0, "\x01\x01") // over what is there
	s.ok("truncate", h.Truncate(total+1<<20))
	s.ok("truncate", h.Truncate(total))
	check("after an overwrite and a hole")
	s.ok("sync", h.Sync(false))
	s.ok("truncate", h.Truncate(0))
	if again := fill(); again < total*3/4 {
		s.Errorf("of %d bytes given back, %d were to be had", total, again)
	}
	s.ok("remove", s.top.Remove("f", false))
	s.ok("close", h.Close())
}

func (s *suite) fullAllocate() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	defer func() { s.ok("close", h.Close()) }()
	a, ok := h.(vfs.Allocator)
	if !ok {
		s.Log("not checked: allocate, which this file system has not")
		return
	}
	s.write(h, 0, "data")
	errno = a.Allocate(0, 16*room)
	if errno == abi.ENOTSUP {
		s.Log("not checked: allocate, which the host's file system has not")
		return
	}
	s.want("allocate more than there is", errno, abi.ENOSPC)
	if got := s.all(h); got != "data" {
		s.Errorf("a refused allocate left %d bytes", len(got))
	}
	s.ok("allocate half", a.Allocate(0, room/2))
	other, oh, errno := s.top.Create("other", 0o644, abi.OWrite)
	s.ok("create", errno)
	defer other.Close()
	for off := int64(0); ; { // all the rest
		k, _, errno := oh.WriteAt([][]byte{make([]byte, 10_000)}, off)
		if errno == abi.ENOSPC {
			break
		}
		s.ok("fill", errno)
		off += int64(k)
	}
	s.ok("close", oh.Close())
	for off := int64(0); off < room/2; off += 4096 { // what was promised
		s.write(h, off, strings.Repeat("x", 4096))
	}
}

// fullNames makes names until there is no room: what is refused is not there,
// what was there stays, and taking away and renaming work.
func (s *suite) fullNames() {
	made := 0
	long := strings.Repeat("n", 200)
	var errno abi.Errno
	for ; made < 100_000; made++ {
		name := fmt.Sprintf("%d%s", made, long)
		switch {
		case made%3 == 1:
			errno = s.top.Mkdir(name, 0o755)
		case made%3 == 2 && !s.caps.NoSymlinks:
			errno = s.top.Symlink(name, long+long+long)
		default:
			var n vfs.Node
			var h vfs.Handle
			if n, h, errno = s.top.Create(name, 0o644, abi.OWrite); errno == abi.OK {
				s.ok("close", h.Close())
				n.Close()
			}
		}
		if errno != abi.OK {
			s.gone(name)
			break
		}
	}
	s.want(fmt.Sprintf("after %d names", made), errno, abi.ENOSPC)
	if got := len(s.list(s.top, 100)); got != made {
		s.Errorf("%d names are there, %d were made", got, made)
	}
	// The same length, and over another: neither needs room.
	from, to := "0"+long, "x"+long
	s.ok("rename on a full file system", s.top.Rename(from, s.top, to))
	s.gone(from)
	s.ok("rename over another on a full file system", s.top.Rename(to, s.top, "3"+long))
	if got := len(s.list(s.top, 100)); got != made-1 {
		s.Errorf("%d names are there, not %d", got, made-1)
	}
	s.clear(s.top)
	s.put(s.top, "f", "there is room again")
}
