//go:build linux

package landlock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// scene is what a test lends to a process that is going to be restricted: this
// binary, started again, since no restriction ever comes off.
type scene struct {
	dir          string
	abi          int
	uid          int
	open         bool // handles neither TCP, nor sockets, nor signals
	granted      int  // a port that may be connected to
	refused      int  // one that may not
	bindable     int  // one that may be bound
	abstract     string
	outside      int // a process
	withoutRules bool
}

const sceneVariable = "LANDLOCK_TEST_SCENE"

func (s scene) String() string {
	return fmt.Sprintf("%s %d %d %t %d %d %d %s %d %t", s.dir, s.abi, s.uid, s.open, s.granted, s.refused, s.bindable, s.abstract, s.outside, s.withoutRules)
}

func TestMain(m *testing.M) {
	text := os.Getenv(sceneVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var s scene
	_, err := fmt.Sscan(text, &s.dir, &s.abi, &s.uid, &s.open, &s.granted, &s.refused, &s.bindable, &s.abstract, &s.outside, &s.withoutRules)
	if err == nil {
		err = s.play()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestLive(t *testing.T) {
	abi := ABI()
	if abi == 0 {
		t.Skip("NOT CHECKED: this kernel has no Landlock")
	}
	abi = min(abi, newest)
	if abi < newest {
		t.Logf("NOT CHECKED: what Landlock has brought since version %d", abi)
	}
	for v := 1; v <= abi; v++ {
		t.Run("as version "+strconv.Itoa(v), func(t *testing.T) { perform(t, scene{abi: v}) })
	}
	t.Run("open", func(t *testing.T) { perform(t, scene{abi: abi, open: true}) })
	t.Run("without rules", func(t *testing.T) { perform(t, scene{abi: abi, withoutRules: true}) })
	t.Run("ordinary user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("NOT CHECKED apart: the whole test ran as an ordinary user")
		}
		perform(t, scene{abi: abi, uid: 65534})
	})
}

// perform sets the scene up and plays it in another process.
func perform(t *testing.T, s scene) {
	t.Helper()
	dir, err := os.MkdirTemp("", "landlock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.dir = dir
	truth, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skipf("NOT CHECKED: %v", err)
	}
	for _, d := range []string{"read", "write", "write/a", "write/b", "none", "exec", "one"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"read/f", "read/g", "write/f", "write/x", "write/a/x", "none/f", "one/f", "one/g"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"read/true", "write/true", "exec/true"} {
		if err := os.WriteFile(filepath.Join(dir, f), truth, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(network, address string) net.Listener {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		return l
	}
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	s.granted = port(listen("tcp4", "127.0.0.1:0"))
	s.refused = port(listen("tcp4", "127.0.0.1:0"))
	free := listen("tcp4", "127.0.0.1:0")
	s.bindable = port(free)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s.abstract = "landlock-test-" + filepath.Base(dir)
	listen("unix", "@"+s.abstract)

	// A process of the same user, which takes no part.
	bystander := exec.CommandContext(t.Context(), "/bin/sleep", "60")
	if s.uid != 0 {
		bystander.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.uid)}}
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, s.uid, s.uid))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bystander.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = bystander.Wait() // says that it was killed
	}()
	s.outside = bystander.Process.Pid

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), sceneVariable+"="+s.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// rules are the grants of a scene.
func (s scene) rules() ([]Rule, error) {
	if s.withoutRules {
		return nil, nil
	}
	var rules []Rule
	for _, g := range []struct {
		path     string
		access   Access
		optional bool
	}{
		{"/usr", ReadExec, false},
		{"/lib", ReadExec, true},
		{"/lib64", ReadExec, true},
		{"/etc", Read, false},
		{"/dev/random", Read, false},
		{"/dev/urandom", Read | Control, false},
		{filepath.Join(s.dir, "read"), Read, false},
		{filepath.Join(s.dir, "write"), ReadWrite, false},
		{filepath.Join(s.dir, "exec"), ReadExec, false},
		{filepath.Join(s.dir, "one/f"), ReadWriteExec | Control | Connect, false},
	} {
		fd, err := unix.Open(g.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			if g.optional && errors.Is(err, unix.ENOENT) {
				continue
			}
			return nil, fmt.Errorf("%s: %w", g.path, err)
		}
		rules = append(rules, Rule{os.NewFile(uintptr(fd), g.path), g.access})
	}
	return rules, nil
}

// play restricts the thread and makes the attempts.
func (s scene) play() error {
	if s.uid != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(s.uid), syscall.Setuid(s.uid)); err != nil {
			return err
		}
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	rules, err := s.rules()
	if err != nil {
		return err
	}
	r, err := New(Options{
		ABI: s.abi, AnyTCP: s.open, AnySocket: s.open, AnySignal: s.open,
		ConnectTCP: []uint16{uint16(s.granted)}, BindTCP: []uint16{uint16(s.bindable)},
	}, rules...)
	if err != nil {
		return err
	}
	if err := errors.Join(r.Restrict(), r.Close()); err != nil {
		return err
	}
	if s.withoutRules {
		if fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0); !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("without a rule / opens: %d, %v", fd, err)
		}
		return nil
	}
	var bad []error
	for _, a := range s.attempts() {
		err := a.try()
		var got unix.Errno
		if err != nil && !errors.As(err, &got) {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if !slices.Contains(a.want, got) {
			bad = append(bad, fmt.Errorf("%s: %d (%v), want one of %v", a.name, got, err, a.want))
		}
	}
	return errors.Join(bad...)
}

type attempt struct {
	name string
	try  func() error
	want []unix.Errno // 0 is that it works
}

func (s scene) attempts() []attempt {
	at := func(name string) string { return filepath.Join(s.dir, name) }
	fine := []unix.Errno{0}
	no := []unix.Errno{unix.EACCES}
	// since is for what a version brought the refusal of.
	since := func(abi int, errs ...unix.Errno) []unix.Errno {
		if s.abi >= abi {
			return errs
		}
		return fine
	}
	unlessOpen := func(want []unix.Errno) []unix.Errno {
		if s.open {
			return fine
		}
		return want
	}
	open := func(name string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o644)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}
	}
	run := func(name string) func() error {
		return func() error {
			pid, err := syscall.ForkExec(name, []string{name}, nil)
			if err != nil {
				return err
			}
			var status syscall.WaitStatus
			if _, err = syscall.Wait4(pid, &status, 0, nil); err == nil && status != 0 {
				err = fmt.Errorf("status %#x", status)
			}
			return err
		}
	}
	ask := func(device string) func() error {
		return func() error {
			fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			_, err = unix.IoctlGetInt(fd, unix.RNDGETENTCNT)
			return errors.Join(err, unix.Close(fd))
		}
	}
	refer := []unix.Errno{0}
	if s.abi < 2 {
		refer = []unix.Errno{unix.EXDEV}
	}
	return []attempt{
		{"read", open(at("read/f"), unix.O_RDONLY), fine},
		{"read what is not granted", open(at("none/f"), unix.O_RDONLY), no},
		{"read through a granted directory", open(at("read/../none/f"), unix.O_RDONLY), no},
		{"list", open(at("read"), unix.O_RDONLY|unix.O_DIRECTORY), fine},
		{"list what is not granted", open(at("none"), unix.O_RDONLY|unix.O_DIRECTORY), no},
		{"write what may be read", open(at("read/f"), unix.O_WRONLY), no},
		{"append to what may be read", open(at("read/f"), unix.O_RDWR|unix.O_APPEND), no},
		{"write", open(at("write/f"), unix.O_RDWR), fine},
		{"create", open(at("write/new"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), fine},
		{"create where may be read", open(at("read/new"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), no},
		{"an unnamed file where may be read", open(at("read"), unix.O_TMPFILE|unix.O_RDWR), no},
		{"remove", func() error { return unix.Unlink(at("write/x")) }, fine},
		{"remove what may be read", func() error { return unix.Unlink(at("read/g")) }, no},
		{"make and remove a directory", func() error {
			return errors.Join(unix.Mkdir(at("write/d"), 0o755), unix.Rmdir(at("write/d")))
		}, fine},
		{"make a directory where may be read", func() error { return unix.Mkdir(at("read/d"), 0o755) }, no},
		{"link by name", func() error { return unix.Symlink("f", at("write/s")) }, fine},
		{"read through a link out", func() error {
			return errors.Join(unix.Symlink(at("none/f"), at("write/out")), open(at("write/out"), unix.O_RDONLY)())
		}, no},
		{"make a pipe", func() error { return unix.Mkfifo(at("write/p"), 0o600) }, fine},
		{"make a device", func() error { return unix.Mknod(at("write/null"), unix.S_IFCHR|0o600, 1<<8|3) },
			[]unix.Errno{unix.EACCES, unix.EPERM}},
		{"rename in a directory", func() error { return unix.Rename(at("write/a/x"), at("write/a/y")) }, fine},
		{"rename between directories", func() error { return unix.Rename(at("write/a/y"), at("write/b/y")) }, refer},
		{"link between directories", func() error { return unix.Link(at("write/f"), at("write/b/l")) }, refer},
		{"rename out of what may be read", func() error { return unix.Rename(at("read/g"), at("write/g")) },
			[]unix.Errno{unix.EACCES, unix.EXDEV}},
		{"link what may be read to where may be written", func() error { return unix.Link(at("read/g"), at("write/l")) },
			[]unix.Errno{unix.EACCES, unix.EXDEV}},
		{"link what may not be read", func() error { return unix.Link(at("none/f"), at("write/l")) },
			[]unix.Errno{unix.EACCES, unix.EXDEV}},
		{"truncate", func() error { return unix.Truncate(at("write/f"), 2) }, fine},
		{"truncate what may be read", func() error { return unix.Truncate(at("read/g"), 2) }, since(3, unix.EACCES)},
		{"truncate what may be read by opening it", open(at("read/g"), unix.O_RDONLY|unix.O_TRUNC), since(3, unix.EACCES)},
		{"execute", run(at("exec/true")), fine},
		{"execute what may be read", run(at("read/true")), no},
		{"execute what may be written", run(at("write/true")), no},
		{"write a granted file", open(at("one/f"), unix.O_RDWR|unix.O_TRUNC), fine},
		{"read beside a granted file", open(at("one/g"), unix.O_RDONLY), no},
		{"list around a granted file", open(at("one"), unix.O_RDONLY|unix.O_DIRECTORY), no},
		{"control a device", ask("/dev/urandom"), fine},
		{"control a device that may be read", ask("/dev/random"), since(5, unix.EACCES)},
		{"connect", s.connect(s.granted), fine},
		{"connect to another port", s.connect(s.refused), unlessOpen(since(4, unix.EACCES))},
		{"bind", s.bind(s.bindable), fine},
		{"bind any port", s.bind(0), unlessOpen(since(4, unix.EACCES))},
		{"connect to an abstract socket outside", func() error {
			return socket(unix.AF_UNIX, func(fd int) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + s.abstract}) })
		}, unlessOpen(since(6, unix.EPERM))},
		{"signal itself", func() error { return unix.Kill(os.Getpid(), 0) }, fine},
		{"signal a process outside", func() error { return unix.Kill(s.outside, 0) }, unlessOpen(since(6, unix.EPERM))},
		{"mount", func() error { return unix.Mount("none", at("write"), "tmpfs", 0, "") }, []unix.Errno{unix.EPERM}},
	}
}

func socket(family int, use func(fd int) error) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(use(fd), unix.Close(fd))
}

func (s scene) connect(port int) func() error {
	return func() error {
		return socket(unix.AF_INET, func(fd int) error {
			return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		})
	}
}

func (s scene) bind(port int) func() error {
	return func() error {
		return socket(unix.AF_INET, func(fd int) error {
			return unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		})
	}
}

// TestOtherThreadsAreFree makes sure that a restricted thread leaves the rest of
// its process alone, and that its end does.
func TestOtherThreadsAreFree(t *testing.T) {
	if ABI() == 0 {
		t.Skip("NOT CHECKED: this kernel has no Landlock")
	}
	inside := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		inside <- func() error {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				return err
			}
			r, err := New(Options{})
			if err != nil {
				return err
			}
			if err := errors.Join(r.Restrict(), r.Close()); err != nil {
				return err
			}
			_, err = os.ReadDir("/")
			if err == nil || !strings.Contains(err.Error(), unix.EACCES.Error()) {
				return fmt.Errorf("the thread is not restricted: %v", err)
			}
			return nil
		}()
	}()
	if err := <-inside; err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadDir("/"); err != nil {
		t.Errorf("the process is restricted: %v", err)
	}
}
