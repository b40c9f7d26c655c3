package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func becomeNobody() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, nobody, nobody, nobody); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		return errno
	}
	return nil
}

// smallDisk mounts a file system of 256 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k,nr_inodes=200"); err != nil {
		t.Skipf("not checked: a full disk (mounting a small one: %v)", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// TestFullDisk fills the disk under the state directory: nothing panics, every error
// says that it is full, and what was there stays whole.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	d := open(t, filepath.Join(disk, "state"))
	before := finished(t, d)
	r, err := d.Create(Description{Program: "p"})
	must(t, err)
	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))

	f, err := os.Create(filepath.Join(disk, "ballast"))
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())

	if err := r.WriteReport([]byte(`{"version":1,"cause":"` + strings.Repeat("x", 9000) + `"}`)); !errors.Is(err, ErrFull) {
		t.Errorf("WriteReport = %v", err)
	}
	if err := r.AppendDenial([]byte(`{"a":1}`)); !errors.Is(err, ErrFull) {
		t.Errorf("AppendDenial = %v", err)
	}
	if c := causeOf(t, find(t, d, r.ID())); c != "exited" {
		t.Errorf("the report that was there became %s", c)
	}
	for range 3 { // what a failing Create leaves must not add up
		if _, err := d.Create(Description{Program: "p"}); !errors.Is(err, ErrFull) {
			t.Errorf("Create = %v", err)
		}
	}
	_, err = Open(Options{Path: filepath.Join(disk, "other", "state")})
	if u := (*Unavailable)(nil); !errors.As(err, &u) || !errors.Is(err, ErrFull) {
		t.Errorf("Open of a new directory = %v", err)
	}
	must(t, r.Close()) // closing needs no space
	must(t, os.Remove(filepath.Join(disk, "ballast")))
	sweep(t, d)
	if c := causeOf(t, find(t, d, before)); c != "exited" {
		t.Errorf("an old report became %s", c)
	}
	checkClean(t, d.path)
}

// TestReadOnlyMount: a file system that is read-only by itself.
func TestReadOnlyMount(t *testing.T) {
	disk := smallDisk(t)
	d := open(t, filepath.Join(disk, "state"))
	id := finished(t, d)
	must(t, d.Close())
	if err := unix.Mount("none", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("not checked: a read-only mount: %v", err)
	}
	d = open(t, filepath.Join(disk, "state"))
	if _, err := d.Create(Description{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Create = %v", err)
	}
	if causeOf(t, find(t, d, id)) != "exited" {
		t.Error("the report cannot be read")
	}
	_, err := Open(Options{Path: filepath.Join(disk, "new")})
	if u := (*Unavailable)(nil); !errors.As(err, &u) || !errors.Is(err, ErrReadOnly) {
		t.Errorf("Open of a new directory = %v", err)
	}
}

// TestSomethingCannotBeRemoved leaves a mount in the scratch space of a dead run: the
// rest goes, the sweep says what stayed, and a later one finishes.
func TestSomethingCannotBeRemoved(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	other := create(t, d)
	s, err := r.Scratch()
	must(t, err)
	must(t, errors.Join(s.MkdirAll("a/mount", 0o700), s.WriteFile("a/f", nil, 0o600), s.WriteFile("f", nil, 0o600), s.Close()))
	mount := filepath.Join(r.Path(), scratchDir, "a", "mount")
	if err := unix.Mount("none", mount, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("not checked: a directory that cannot be removed (mounting: %v)", err)
	}
	handle, err := os.Open(mount)
	must(t, err)
	unmount := func() error {
		at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(handle.Fd())))
		return errors.Join(err, unix.Unmount(at, unix.MNT_DETACH))
	}
	die(t, r)
	die(t, other)
	res, err := d.Sweep(t.Context())
	if err == nil || !errors.Is(err, unix.EBUSY) || res.Left == 0 || res.Crashed != 2 {
		t.Errorf("Sweep = %+v, %v", res, err)
	}
	if causeOf(t, find(t, d, other.ID())) != "kernel_error" {
		t.Error("the other run was not swept")
	}
	must(t, errors.Join(unmount(), handle.Close()))
	res = sweep(t, d)
	if res != (SweepResult{Trash: 1}) {
		t.Errorf("the second sweep = %+v", res)
	}
	checkClean(t, d.path)
}
