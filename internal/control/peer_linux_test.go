package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAnotherUserIsRefused connects to a socket that everybody may connect to from
// a thread that runs as another user.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not checked: a peer of another user (needs root to become one)")
	}
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o777)); err != nil {
		t.Fatal(err)
	}
	s := Serve(l, newRun())
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its user
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			errs <- errno
			return
		}
		c, err := Dial(t.Context(), path)
		if err != nil {
			errs <- err
			return
		}
		_, err = c.Status(t.Context())
		errs <- errors.Join(err, c.Close())
	}()
	if err := <-errs; !errors.Is(err, ErrGone) {
		t.Errorf("Status as another user = %v", err)
	}
	if _, err := dial(t, path).Status(t.Context()); err != nil {
		t.Errorf("Status as the same user = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
