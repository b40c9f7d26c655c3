package escape

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// anotherTerminal is one that the user has besides.
func (h *host) anotherTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	h.own(t, fmt.Sprintf("/dev/pts/%d", n))
}

// onTerminal runs a command in a session with a terminal of its own, the way a
// person does, and compares the terminal afterwards with what it was.
func (h *house) onTerminal(t *testing.T, argv []string) (said string, status int, harm []string) {
	mfd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(mfd), "ptmx") // with a deadline, as it does not block
	defer master.Close()
	if err := unix.IoctlSetPointerInt(mfd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(mfd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	if err := os.Chown(name, h.uid, -1); err != nil && os.Getuid() == 0 {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	// Kept as numbers: a File would set how they block.
	sfd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sfd)
	size := unix.Winsize{Row: 24, Col: 80}
	if err := unix.IoctlSetWinsize(sfd, unix.TIOCSWINSZ, &size); err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(sfd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}

	cp, err := unix.FcntlInt(uintptr(sfd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	slave := os.NewFile(uintptr(cp), name)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	attr := h.credential()
	attr.Setsid, attr.Setctty, attr.Ctty = true, true, 0
	cmd.SysProcAttr = attr
	h.surround(cmd)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var out clipped
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 32<<10)
		for {
			n, err := master.Read(b)
			if n > 0 {
				if _, err := out.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	if err := cmd.Wait(); err != nil {
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	if err := master.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	<-read

	after, err := unix.IoctlGetTermios(sfd, unix.TCGETS)
	switch {
	case errors.Is(err, unix.EIO):
		harm = append(harm, "the terminal was hung up")
	case err != nil:
		harm = append(harm, "the terminal: "+err.Error())
	case *after != *before:
		harm = append(harm, "the terminal has other settings")
	}
	if now, err := unix.IoctlGetWinsize(sfd, unix.TIOCGWINSZ); err == nil && (now.Row != size.Row || now.Col != size.Col) {
		harm = append(harm, fmt.Sprintf("the terminal is now %d by %d", now.Row, now.Col))
	}
	if waiting, err := unix.IoctlGetInt(sfd, unix.TIOCINQ); err == nil && waiting > 0 {
		harm = append(harm, fmt.Sprintf("%d bytes are in the terminal's input", waiting))
	}
	if flags, err := unix.FcntlInt(uintptr(sfd), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK != 0 {
		harm = append(harm, "the terminal does not block any more")
	}
	// By an ordinary user: the superuser may open what is exclusive.
	check := exec.Command("/bin/sh", "-c", "exec 3<>"+name)
	check.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: attr.Credential}
	if os.Getuid() == 0 {
		check.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if b, err := check.CombinedOutput(); err != nil {
		harm = append(harm, fmt.Sprintf("the terminal cannot be opened again: %s", b))
	}
	return out.String(), exitStatus(cmd.ProcessState), harm
}
