package attempt

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names in the bait's directories.
const (
	plainFile    = "plain"
	deniedFile   = "denied"
	absoluteLink = "way-out"
	relativeLink = "way-up"
	hookFile     = ".git/hooks/pre-commit"
)

// Bait is what lies on the host for attempts to find.
type Bait struct {
	Order  Order  // names it all; Do is to be filled in
	Denied string // to be denied inside Order.Shown

	secret   string // what no program may come to know
	memory   []byte // the shared segment
	tcp      int
	abstract int
	process  *os.Process // the bystander
	hold     *os.File    // keeps the bystander waiting
	said     *os.File    // what it says
}

// Lay lays out bait. The command becomes the bystander: it calls [Main] first thing.
func Lay(command []string) (_ *Bait, err error) {
	b := &Bait{secret: "agentos-secret-" + rand.Text(), tcp: -1, abstract: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := b.stand(command); err != nil { // first: it clears the rest away
		return nil, fmt.Errorf("bystander: %w", err)
	}
	if err := b.files(); err != nil {
		return nil, err
	}
	if err := b.sockets(); err != nil {
		return nil, err
	}
	return b, b.shared()
}

func (b *Bait) files() error {
	o := &b.Order
	o.Secret, o.Shown, o.Room, o.Repo = o.Dir+"/secret", o.Dir+"/shown", o.Dir+"/room", o.Dir+"/repo"
	b.Denied = o.Shown + "/" + deniedFile
	return errors.Join(
		os.Mkdir(o.Shown, 0o700), os.Mkdir(o.Room, 0o700), os.MkdirAll(filepath.Dir(o.Repo+"/"+hookFile), 0o700),
		os.WriteFile(o.Secret, []byte(b.secret), 0o600),
		os.WriteFile(b.Denied, []byte(b.secret), 0o600),
		os.WriteFile(o.Shown+"/"+plainFile, []byte("plain"), 0o600),
		os.WriteFile(o.Repo+"/"+hookFile, []byte("#!/bin/sh\n"), 0o700),
		os.Symlink(o.Secret, o.Shown+"/"+absoluteLink), os.Symlink("../secret", o.Shown+"/"+relativeLink),
	)
}

// sockets listen where a guest must not get to.
func (b *Bait) sockets() (err error) {
	listen := func(family int, at unix.Sockaddr) int {
		if err != nil {
			return -1
		}
		fd := -1
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return -1
		}
		err = errors.Join(unix.Bind(fd, at), unix.Listen(fd, 8))
		return fd
	}
	b.Order.Abstract = baitPrefix + rand.Text()
	b.tcp = listen(unix.AF_INET, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	b.abstract = listen(unix.AF_UNIX, &unix.SockaddrUnix{Name: "@" + b.Order.Abstract})
	if err != nil {
		return fmt.Errorf("sockets to be found: %w", err)
	}
	at, err := unix.Getsockname(b.tcp)
	if err != nil {
		return fmt.Errorf("sockets to be found: %w", err)
	}
	if in, ok := at.(*unix.SockaddrInet4); ok {
		b.Order.Port = in.Port
	}
	return nil
}

// shared makes a segment of shared memory that goes when this process does. A host
// without System V's has none to be found.
func (b *Bait) shared() error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err == unix.ENOSYS {
		return nil
	}
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	b.memory, err = unix.SysvShmAttach(id, 0, 0)
	if _, rerr := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil || rerr != nil {
		return fmt.Errorf("shared memory: %w", errors.Join(err, rerr))
	}
	b.Order.Segment = id
	copy(b.memory, b.secret)
	return nil
}

// stand starts the bystander and waits until it has made the directory.
func (b *Bait) stand(command []string) (err error) {
	o := Order{Do: bystander, Dir: os.TempDir()}
	env, err := o.Variable()
	if err != nil {
		return err
	}
	stdin, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	b.hold = hold
	defer func() { err = errors.Join(err, stdin.Close()) }()
	said, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	b.said = said
	b.process, err = os.StartProcess(command[0], command, &os.ProcAttr{
		Env: []string{env, "AGENTOS_SECRET=" + b.secret}, Files: []*os.File{stdin, stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true}, // out of reach of the terminal's own signals
	})
	if err = errors.Join(err, stdout.Close()); err != nil {
		return err
	}
	b.Order.Bystander = b.process.Pid
	if err := said.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(said).ReadString('\n') // it says no more until it is signalled
	if err != nil {
		return fmt.Errorf("it does not start: %w", err)
	}
	b.Order.Dir = strings.TrimSuffix(line, "\n")
	return nil
}

// called reports whether somebody connected to a listening socket.
func called(fd int) bool {
	c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
	if err != nil {
		return false
	}
	_ = unix.Close(c) // nothing was written
	return true
}

// sighted reports whether the host saw an attempt succeed that claims it did.
func (b *Bait) sighted(name string) (bool, error) {
	switch name {
	case "connect_host":
		return called(b.tcp), nil
	case "abstract_socket":
		return called(b.abstract), nil
	case "signal_outside":
		return b.hit(time.Second)
	}
	return false, fmt.Errorf("nobody looks whether %s succeeds", name)
}

// hit waits some time for the bystander to say that a signal reached it.
func (b *Bait) hit(wait time.Duration) (bool, error) {
	if err := b.said.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	n, err := b.said.Read(make([]byte, len(signalled)))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return n > 0, err
}

// Close removes everything and waits for the bystander.
func (b *Bait) Close() error {
	var errs []error
	if b.hold != nil {
		errs = append(errs, b.hold.Close())
	}
	if b.process != nil {
		stop := time.AfterFunc(5*time.Second, func() { _ = b.process.Kill() }) // it may have ended by then
		_, err := b.process.Wait()
		stop.Stop()
		errs = append(errs, err)
	}
	if b.said != nil {
		errs = append(errs, b.said.Close())
	}
	for _, fd := range []int{b.tcp, b.abstract} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if b.memory != nil {
		errs = append(errs, unix.SysvShmDetach(b.memory))
	}
	if b.Order.Dir != "" {
		errs = append(errs, os.RemoveAll(b.Order.Dir))
	}
	return errors.Join(errs...)
}
