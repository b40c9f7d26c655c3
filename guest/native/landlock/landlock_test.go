//go:build linux

package landlock

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHandled(t *testing.T) {
	for _, test := range []struct {
		abi            int
		o              Options
		fs, net, scope uint64
		size           uintptr
	}{
		{1, Options{}, 0x1fff, 0, 0, 8},
		{2, Options{}, 0x3fff, 0, 0, 8},
		{3, Options{}, 0x7fff, 0, 0, 8},
		{4, Options{}, 0x7fff, 3, 0, 16},
		{5, Options{}, 0xffff, 3, 0, 16},
		{6, Options{}, 0xffff, 3, 3, 24},
		{7, Options{}, 0xffff, 3, 3, 24},
		{8, Options{}, 0xffff, 3, 3, 24},
		{9, Options{}, 0x1ffff, 3, 3, 24},
		{9, Options{AnyTCP: true}, 0x1ffff, 0, 3, 24},
		{9, Options{AnySocket: true}, 0xffff, 3, 2, 24},
		{9, Options{AnySignal: true}, 0x1ffff, 3, 1, 24},
	} {
		a := handled(test.abi, test.o)
		if a.Handled_access_fs != test.fs || a.Handled_access_net != test.net || a.Scoped != test.scope {
			t.Errorf("%d %+v: %+v", test.abi, test.o, a)
		}
		if size := sizeAt(test.abi); size != test.size {
			t.Errorf("%d: size %d", test.abi, size)
		}
	}
}

// TestNoDevices makes sure that no set has the right to make a device.
func TestNoDevices(t *testing.T) {
	const devices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	every := ReadWriteExec | Control | Connect
	if every&devices != 0 {
		t.Errorf("%#x can make devices", every)
	}
	if got := uint64(every) | devices; got != handled(newest, Options{}).Handled_access_fs {
		t.Errorf("rights that no set grants: %#x", got)
	}
}

func TestDescribe(t *testing.T) {
	for abi, want := range map[int]int{-1: 7, 0: 7, 1: 6, 2: 5, 3: 4, 4: 3, 5: 2, 6: 1, 8: 1, 9: 0, 99: 0} {
		got := Describe(abi)
		if len(got) != want {
			t.Errorf("%d: %d sentences, want %d: %q", abi, len(got), want, got)
		}
		for _, s := range got {
			if !strings.HasSuffix(s, ".") {
				t.Errorf("%d: no sentence: %q", abi, s)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	if s, err := New(Options{ABI: -1}); !errors.Is(err, ErrMissing) || s != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// TestBadRules gives rules that are turned down, and makes sure that no ruleset
// stays open.
func TestBadRules(t *testing.T) {
	if ABI() == 0 {
		t.Skip("NOT CHECKED: this kernel has no Landlock")
	}
	f, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(p.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	}()
	before := descriptors(t)
	for name, r := range map[string]Rule{"closed": {f, Read}, "no place": {p, Read}} {
		if _, err := New(Options{}, r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
