package escape

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is what lies outside for one user: secrets, a process, sockets, objects
// with names. Attempts are told where all of it is.
type host struct {
	uid    int
	base   string // everything of this host
	cookie string // what every secret contains
	python string // the interpreter, "" for none
	given  map[string]string

	canary *exec.Cmd
	ping   io.WriteCloser
	alive  chan struct{}
	udp    *net.UDPConn

	mu     sync.Mutex
	events []string // what the outside noticed since it was last asked
}

func token(t *testing.T, n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func (h *host) path(elem ...string) string {
	return filepath.Join(append([]string{h.base}, elem...)...)
}

func (h *host) noticed(format string, args ...any) {
	h.mu.Lock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
	h.mu.Unlock()
}

// credential is how a process of this host's user is started.
func (h *host) credential() *syscall.SysProcAttr {
	if h.uid == os.Getuid() {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(h.uid), Gid: uint32(h.uid)}}
}

// file makes a file of the user's, with the directories above it.
func (h *host) file(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	h.dir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	h.own(t, path)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func (h *host) dir(t *testing.T, path string) string {
	t.Helper()
	for p := path; len(p) > len(h.base); p = filepath.Dir(p) {
		defer h.own(t, p)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func (h *host) own(t *testing.T, path string) {
	if h.uid == os.Getuid() {
		return
	}
	if err := os.Lchown(path, h.uid, h.uid); err != nil {
		t.Fatal(err)
	}
}

// outside makes the canaries of one user.
func outside(t *testing.T, uid int, escape []byte) *host {
	base, err := os.MkdirTemp("", "escape")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Errorf("what the attempts left cannot be removed: %v", err)
		}
	})
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &host{uid: uid, base: base, cookie: "cookie" + token(t, 12), alive: make(chan struct{}, 1)}
	secret := h.file(t, h.path("outside", "secret"), "the secret of this run is "+h.cookie+"\n", 0o644)
	name := "escape" + token(t, 6)
	number := 0x10000000 + int(time.Now().UnixNano()&0x0fffffff)
	h.given = map[string]string{
		"cookie": h.cookie, "secret": secret, "self": h.path("bin", "escape"),
		"homesecret": h.file(t, h.path("home", ".config", "secret"), h.cookie, 0o600),
		"rofile":     h.file(t, h.path("read", "file"), strings.Repeat("read-only\n", 500), 0o644),
		"denied":     h.file(t, h.path("read", "denied", "secret"), h.cookie, 0o644),
		"victim":     h.file(t, h.path("outside", "victim"), "here\n", 0o644),
		"readdir":    h.path("read"), "home": h.path("home"), "state": h.path("state"),
		"never": h.path("outside", "never"), "namespaces": "yes",
		"abstract": name, "posix": name, "shm": strconv.Itoa(number), "msg": strconv.Itoa(number),
		"pgrp": strconv.Itoa(unix.Getpgrp()), "address4": "127.0.0.1",
		"pids": "64", "memory": strconv.Itoa(64 << 20), "disk": strconv.Itoa(16 << 20), "files": "128",
		"output": strconv.Itoa(4 << 20), "cpu": "1", "wall": "2",
	}
	h.file(t, h.path("read", "file.spare"), "spare\n", 0o644)
	h.file(t, h.path("read", "file.other"), "other\n", 0o644)
	h.file(t, h.path("read", "spare"), "spare\n", 0o644)
	h.file(t, h.path("outside", "stdin"), "unbroken\n", 0o644)
	h.file(t, h.path("outside", "launch", "cwd-canary"), h.cookie, 0o644)
	h.file(t, h.path("state", "canary"), h.cookie, 0o600)
	if err := os.Chmod(h.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, h.path("read", "link")); err != nil {
		t.Fatal(err)
	}
	h.programs(t, escape)
	h.start(t, number, name)
	h.listen(t, name)
	h.anotherTerminal(t)
	return h
}

// programs puts the attempts where they can be read, and programs of others that
// an execution must not turn into.
func (h *host) programs(t *testing.T, escape []byte) {
	if escape != nil {
		h.file(t, h.path("bin", "escape"), string(escape), 0o755)
	}
	for _, name := range []string{"escape.py", "escape.sh"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		h.file(t, h.path("bin", name), string(b), 0o755)
	}
	echo, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	h.given["setuidhost"] = h.file(t, h.path("outside", "program"), string(echo), 0o755)

	var st unix.Stat_t
	if err := unix.Stat("/etc/passwd", &st); err != nil {
		t.Fatal(err)
	}
	h.given["passwd"] = strconv.FormatUint(st.Ino, 10)

	if p, err := exec.LookPath("/usr/bin/python3"); err == nil {
		h.python = p
		db := h.path("outside", "secret.db")
		make := "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('create table t(x)'); c.execute('insert into t values(?)', (sys.argv[2],)); c.commit()"
		if out, err := exec.Command(p, "-c", make, db, h.cookie).CombinedOutput(); err != nil {
			t.Logf("NOT CHECKED: a database outside: %v\n%s", err, out)
		} else {
			h.own(t, db)
		}
	}

	if err := unix.Mkfifo(h.path("read", "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	h.own(t, h.path("read", "fifo"))
	fifo, err := os.OpenFile(h.path("read", "fifo"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fifo.Close() })

	if os.Getuid() != 0 || escape == nil {
		t.Log("NOT CHECKED: setuid files, file capabilities and devices in a read grant: making them needs root and a C compiler")
		return
	}
	other := 0
	if h.uid == 0 {
		other = nobody
	}
	for _, name := range []string{"setuid", "capable"} {
		p := h.file(t, h.path("read", name), string(escape), 0o755)
		if err := os.Chown(p, other, other); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(h.path("read", "setuid"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	// Version 2, effective; permitted: cap_sys_admin.
	caps := []byte{1, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(h.path("read", "capable"), "security.capability", caps, 0); err != nil {
		t.Logf("NOT CHECKED: file capabilities in a read grant: %v", err)
	}
	if err := unix.Mknod(h.path("read", "node"), unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		t.Logf("NOT CHECKED: a device in a read grant: %v", err)
	} else {
		h.own(t, h.path("read", "node"))
	}
}

// start runs the process outside. It is in the process group of the test, where
// the command line is run as well.
func (h *host) start(t *testing.T, number int, name string) {
	if _, err := os.Stat(h.given["self"]); err != nil {
		h.canaryless(t)
		return
	}
	c := exec.Command(h.given["self"], "canary", h.given["secret"], h.path("outside"), strconv.Itoa(number), name)
	c.Env = []string{"CANARY_COOKIE=" + h.cookie}
	c.Stderr = os.Stderr
	c.SysProcAttr = h.credential()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h.canary, h.ping = c, in
	r := bufio.NewReader(out)
	first, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("the process outside: %v", err)
	}
	for _, f := range strings.Fields(first) {
		k, v, _ := strings.Cut(f, "=")
		h.given[k] = v
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				return
			case line == "alive\n":
				h.alive <- struct{}{}
			default:
				h.noticed("the process outside got: %s", strings.TrimSpace(line))
			}
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-done
		if err := c.Wait(); err != nil {
			t.Errorf("the process outside ended with %v", err)
		}
	})
}

// canaryless names a process that is not the one for it, where there is no
// compiler: the attempts of Python and shell on it are then as good as none.
func (h *host) canaryless(t *testing.T) {
	t.Log("NOT CHECKED: the process outside is a program in C")
	h.given["pid"], h.given["address"], h.given["fd"], h.given["key"] = strconv.Itoa(os.Getpid()), "4096", "0", "0"
}

// listen serves what the network and the name space of sockets could reach.
func (h *host) listen(t *testing.T, name string) {
	ln, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	h.given["port"], h.given["port6"] = strconv.Itoa(port), strconv.Itoa(port)
	h.serve(t, ln, nil)
	if ln6, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Logf("NOT CHECKED: IPv6: %v", err)
	} else {
		h.given["port6"] = strconv.Itoa(ln6.Addr().(*net.TCPAddr).Port)
		h.serve(t, ln6, nil)
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
				h.given["address4"] = n.IP.String()
			}
		}
	}
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.given["listen"] = strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()

	h.udp, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	dgram, err := net.ListenPacket("unixgram", "@"+name+"-d")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.PacketConn{h.udp, dgram} {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		go func() {
			b := make([]byte, 4096)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				h.noticed("a datagram came from %v: %q", from, b[:n])
			}
		}()
	}

	secret, err := os.Open(h.given["secret"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secret.Close() })
	for _, s := range []struct {
		name   string
		rights *os.File
	}{{"@" + name, nil}, {"@" + name + "-r", secret}, {h.path("read", "socket"), secret}, {h.given["secret"] + ".socket", secret}} {
		h.unix(t, s.name, s.rights)
	}
}

func (h *host) unix(t *testing.T, name string, rights *os.File) {
	ln, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	if name[0] != '@' {
		// Closing would remove the name, which by then may be another directory's: the
		// descriptor in it has been given out again. It goes with its directory.
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		h.own(t, name)
	}
	h.serve(t, ln, rights)
}

// serve says the cookie to everybody who connects, or hands over a file.
func (h *host) serve(t *testing.T, ln net.Listener, rights *os.File) {
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if u, ok := c.(*net.UnixConn); ok && rights != nil {
				_, _, err = u.WriteMsgUnix([]byte("x"), unix.UnixRights(int(rights.Fd())), nil)
			} else {
				_, err = io.WriteString(c, h.cookie+"\n")
			}
			if err != nil {
				h.noticed("somebody connected to %v and left", ln.Addr())
			}
			c.Close()
		}
	}()
}

// room makes the writable directory of an attempt, with things in it that a write
// grant must not reach.
func (h *host) room(t *testing.T, name string) string {
	dir := h.dir(t, h.path("write", name+"-"+token(t, 4)))
	for _, f := range []string{"repo/.git/hooks/pre-commit", "repo/.git/config", ".bashrc", ".mcp.json", ".vscode/settings.json"} {
		h.file(t, filepath.Join(dir, f), "good\n", 0o755)
	}
	for _, d := range []string{"denied", "deep/denied"} {
		h.file(t, filepath.Join(dir, d, "secret"), h.cookie, 0o644)
	}
	// A name that fits: the directory is reached through a descriptor.
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	h.unixAt(t, d)
	return dir
}

func (h *host) unixAt(t *testing.T, dir *os.File) {
	secret, err := os.Open(h.given["secret"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secret.Close() })
	h.unix(t, fmt.Sprintf("/proc/self/fd/%d/socket", dir.Fd()), secret)
}

// harm is what an attempt did to the host, as far as that is not for the attempt
// itself to say.
func (h *host) harm(dir string) []string {
	var bad []string
	if h.ping != nil {
		if _, err := h.ping.Write([]byte("?")); err != nil {
			bad = append(bad, "the process outside is gone: "+err.Error())
		} else {
			select {
			case <-h.alive:
			case <-time.After(5 * time.Second):
				bad = append(bad, "the process outside does not answer")
			}
		}
	}
	h.mu.Lock()
	bad = append(bad, h.events...)
	h.events = nil
	h.mu.Unlock()

	if b, err := os.ReadFile(h.path("outside", "stdin")); err != nil || string(b) != "unbroken\n" {
		bad = append(bad, fmt.Sprintf("the file behind standard input is now %q, %v", b, err))
	}
	want := strings.Repeat("read-only\n", 500)
	if b, err := os.ReadFile(h.given["rofile"]); err != nil || string(b) != want {
		bad = append(bad, fmt.Sprintf("the file in the read grant is %d bytes, not %d, or others: %v", len(b), len(want), err))
	}
	var st unix.Stat_t
	if err := unix.Stat(h.given["rofile"], &st); err != nil || st.Mode&0o7777 != 0o644 || st.Mtim.Sec == 1 {
		bad = append(bad, fmt.Sprintf("the file in the read grant has mode %o, time %d, %v", st.Mode, st.Mtim.Sec, err))
	}
	for _, p := range []string{h.given["victim"], h.path("read", "file.spare"), h.path("read", "file.other"), h.path("read", "spare")} {
		if _, err := os.Lstat(p); err != nil {
			bad = append(bad, err.Error())
		}
	}
	if _, err := os.Lstat(h.path("outside", "never")); err == nil {
		bad = append(bad, "a file was made outside")
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && !d.IsDir() {
			bad = append(bad, fmt.Sprintf("%s has mode %o and owner %d on the host", p, st.Mode, st.Uid))
		}
		if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFCHR || kind == unix.S_IFBLK {
			bad = append(bad, p+" is a device on the host")
		}
		if n, err := unix.Lgetxattr(p, "security.capability", nil); err == nil && n > 0 {
			bad = append(bad, p+" has file capabilities on the host")
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		bad = append(bad, "looking through the write grant: "+err.Error())
	}
	return bad
}

// restore undoes what an attempt did, so that the next one finds it whole.
func (h *host) restore(t *testing.T) {
	h.file(t, h.path("outside", "stdin"), "unbroken\n", 0o644)
	h.file(t, h.given["rofile"], strings.Repeat("read-only\n", 500), 0o644)
	now := time.Now()
	if err := os.Chtimes(h.given["rofile"], now, now); err != nil {
		t.Error(err)
	}
	h.file(t, h.given["victim"], "here\n", 0o644)
	for _, n := range []string{"file.spare", "file.other", "spare"} {
		h.file(t, h.path("read", n), n, 0o644)
	}
	if err := os.RemoveAll(h.path("outside", "never")); err != nil {
		t.Error(err)
	}
}

// left gives the processes whose arguments contain what.
func left(what string) (pids []int) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && len(b) == 0 {
			// The first thread may be gone and others not.
			tasks, err := filepath.Glob(filepath.Join("/proc", e.Name(), "task", "*", "cmdline"))
			if err != nil {
				return nil
			}
			for _, p := range tasks {
				if c, err := os.ReadFile(p); err == nil {
					b = append(b, c...)
				}
			}
		}
		if bytes.Contains(b, []byte(what)) {
			pids = append(pids, pid)
		}
	}
	return pids
}
