package view

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// tree makes files beneath dir, all owned by the user; a name that ends in a slash
// is a directory, "a -> b" a link.
func tree(t *testing.T, dir string, user guest.User, names ...string) {
	t.Helper()
	for _, name := range names {
		p := filepath.Join(dir, name)
		var err error
		link, target, ok := strings.Cut(name, " -> ")
		switch {
		case ok:
			p = filepath.Join(dir, link)
			err = os.Symlink(target, p)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(name), 0o644)
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(p, user.UID, user.GID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func bind(guestPath, host string, write bool) guest.Mount {
	return guest.Mount{Guest: guestPath, Kind: guest.Bind, Host: host, Write: write, Source: "flag"}
}

// grantedTree makes what the tests below grant.
func grantedTree(t *testing.T, dir string, user guest.User) string {
	t.Helper()
	host := filepath.Join(dir, "host")
	tree(t, dir, user, "host/", "host/ro/", "host/ro/file", "host/rw/", "host/rw/file", "host/rw/.git/", "host/rw/.git/hooks/", "host/rw/.git/hooks/old",
		"host/rw/.git/config", "host/rw/secret/", "host/rw/secret/key", "host/rw/secret.txt", "host/rw/windows/", "host/rw/inner/", "host/rw/inner/file",
		"host/rw/link -> /etc", "host/single", "host/home/", "host/home/file", "host/window -> /proc")
	return host
}

func TestGrants(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		for _, template := range []bool{false, true} {
			t.Run(fmt.Sprintf("template=%v", template), func(t *testing.T) { testGrants(t, root, user, template) })
		}
	})
}

func testGrants(t *testing.T, root bool, user guest.User, template bool) {
	dir, binary := scratch(t)
	host := grantedTree(t, dir, user)
	id, err := os.ReadFile("/usr/bin/id")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host+"/rw/id", id, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// Somebody else's, so that running it would make the program somebody else.
		if err := os.Chown(host+"/rw/id", 1234, 1234); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod(host+"/rw/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(host+"/rw/null", 0o666); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("NOT CHECKED: a device and a setuid file in a granted directory, which only root can make")
	}
	if err := os.Chmod(host+"/rw/id", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	grants := []guest.Mount{
		bind("/ro", host+"/ro", false),
		bind("/work", host+"/rw", true),
		bind("/work/inner", host+"/ro", false), // a narrower grant over a wider one
		bind(user.Home+"/deep/er/place", host+"/home", true),
		bind("/tmp/single", host+"/single", true),
		{Guest: "/work/file", Kind: guest.Text, Data: "words"},
		{Guest: "/work/secret", Kind: guest.Mask, Dir: true},
		{Guest: "/work/secret.txt", Kind: guest.Mask},
		{Guest: "/work/.git/hooks", Kind: guest.Frozen, Dir: true},
		{Guest: "/work/.git/config", Kind: guest.Frozen},
		{Guest: "/work/.mcp.json", Kind: guest.Frozen},
		{Guest: "/work/not/yet", Kind: guest.Mask},
		{Guest: "/work/link/passwd", Kind: guest.Mask},
		{Guest: "/work/file/not/yet", Kind: guest.Mask},
		{Guest: "/tmp/own", Kind: guest.Mask},
		{Guest: "/work/secret/key", Kind: guest.Mask}, // hidden already
		{Guest: "/work/secret/a/b/c", Kind: guest.Frozen},
		{Guest: "/etc/shadow", Kind: guest.Mask},
		{Guest: "/etc/hosts", Kind: guest.Text, Data: "words"},
	}
	if !template { // which has no place for them
		grants = append(grants, bind("/etc/single", host+"/single", false), guest.Mount{Guest: "/etc/text", Kind: guest.Text, Data: "words"})
	}
	out := carryOut(t, binary, order{Probe: "grants", User: user, Rbind: [][2]string{{"/proc", host + "/rw/windows"}}, Grants: grants, Template: template}, root)
	check(t, out)
	var left []string
	for _, l := range out.Left {
		left = append(left, l.Guest)
	}
	if want := []string{"/work/.mcp.json", "/work/not/yet", "/work/link/passwd", "/work/file/not/yet"}; !slices.Equal(left, want) {
		t.Errorf("left to others: %v, not %v", out.Left, want)
	}
	if b, err := os.ReadFile(host + "/rw/new"); err != nil || string(b) != "new" {
		t.Errorf("what was written did not reach the host: %q, %v", b, err)
	}
	if b, err := os.ReadFile(host + "/rw/file"); err != nil || string(b) != "host/rw/file" {
		t.Errorf("a file of the host beneath a text became %q, %v", b, err)
	}
}

func probeGrants(w *world) {
	for p, want := range map[string]string{"/ro/file": "host/ro/file", "/work/inner/file": "host/ro/file", w.User.Home + "/deep/er/place/file": "host/home/file",
		"/etc/single": "host/single", "/tmp/single": "host/single", "/etc/text": "words", "/etc/hosts": "words", "/work/file": "words", "/work/.git/config": "host/rw/.git/config",
		"/work/.git/hooks/old": "host/rw/.git/hooks/old"} {
		if w.Template && (p == "/etc/single" || p == "/etc/text") {
			continue
		}
		if b, err := os.ReadFile(p); err != nil || string(b) != want {
			w.errorf("%s: %q, %v", p, b, err)
		}
	}
	w.writable("/work", "/work/.git", w.User.Home, w.User.Home+"/deep", w.User.Home+"/deep/er/place")
	w.unwritable("/ro", "/work/inner", "/work/.git/hooks", "/work/secret", "/work/windows", "/etc")
	w.unreadable("/work/secret", "/work/secret/key", "/work/secret.txt", "/work/windows", "/work/windows/self", "/work/windows/1/environ")
	for _, p := range []string{"/work/file", "/work/.git/config", "/etc/single", "/etc/text", "/work/secret.txt", "/ro/file"} {
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			w.errorf("%s can be written to", p)
			w.close(f)
		}
		if err := os.Chmod(p, 0o777); err == nil {
			w.errorf("the mode of %s can be changed", p)
		}
	}
	for _, p := range []string{"/work/secret", "/work/.git/hooks", "/work/.git/config", "/work/secret.txt"} {
		if err := os.Rename(p, "/work/moved"); err == nil {
			w.errorf("%s can be moved away", p)
		}
		if err := unix.Unmount(p, unix.MNT_DETACH); err == nil {
			w.errorf("%s can be unmounted", p)
		}
	}
	// The mask goes where what it hides goes.
	if err := os.Rename("/work/.git", "/work/git"); err != nil {
		w.errorf("%v", err)
	}
	w.unwritable("/work/git/hooks")
	if err := os.WriteFile("/work/new", []byte("new"), 0o644); err != nil {
		w.errorf("%v", err)
	}
	if _, err := os.Lstat("/work/null"); err == nil {
		if f, err := os.OpenFile("/work/null", os.O_RDWR, 0); !errors.Is(err, unix.EACCES) {
			w.errorf("a device in a granted directory: %v", err)
			w.close(f)
		}
	}
	if b, err := exec.Command("/work/id", "-u").CombinedOutput(); err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(w.User.UID) {
		w.errorf("the setuid program says %q, %v", b, err)
	}
	if err := unix.Mount("none", "/tmp", "tmpfs", 0, ""); err == nil {
		w.errorf("something can be mounted")
	}
	probeMounts(w)
}

// A place inside what other programs see must not be made there.
func TestSharedPlaces(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		dir, binary := scratch(t)
		host := grantedTree(t, dir, user)
		for _, m := range []guest.Mount{bind("/etc/single", host+"/single", false), bind("/etc/deep/er", host+"/ro", false), bind("/dev/x", host+"/single", false),
			{Guest: "/etc/text", Kind: guest.Text, Data: "words"}, {Guest: "/etc/link", Kind: guest.Link, Data: "words"}} {
			t.Run(m.Guest, func(t *testing.T) {
				out := carryOut(t, binary, order{Probe: "none", User: user, Grants: []guest.Mount{m}, Template: true}, root)
				if !strings.Contains(out.Err, ErrShared.Error()) {
					t.Errorf("%q does not say %q", out.Err, ErrShared)
				}
			})
		}
	})
}

func TestRefusedGrants(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		dir, binary := scratch(t)
		host := grantedTree(t, dir, user)
		for _, tt := range []struct{ guest, host, want string }{
			{"/work/link", host + "/ro", "symbolic link"},
			{"/work/link/alternatives", host + "/ro", "symbolic link"},
			{"/work/missing", host + "/ro", "change the host"},
			{"/work/missing/deep", host + "/ro", "does not exist"},
			{"/ro/missing", host + "/ro", "read-only"},
			{"/usr/missing", host + "/ro", "read-only"},
			{"/bin/missing", host + "/single", "read-only"},
			{"/ro/file", host + "/ro", "cannot be put"},
			{"/ro/file/x", host + "/ro", "not a directory"},
			{"/work", host + "/single", "cannot be put"},
			{"/x", "/proc", "(proc)"},
			{"/x", "/proc/self/mem", "(proc)"},
			{"/x", "/sys", "(sysfs)"},
			{"/x", "/dev", "(devtmpfs)"},
			{"/x", "/dev/pts", "(devpts)"},
			{"/x", "/dev/zero", "is a device"},
			{"/x", "/sys/fs/cgroup/pids", "(cgroup)"},
		} {
			t.Run(strings.TrimPrefix(tt.host, host)+" at "+tt.guest, func(t *testing.T) {
				if _, err := os.Stat(tt.host); err != nil {
					t.Skipf("NOT CHECKED: %v", err)
				}
				for _, template := range []bool{false, true} {
					out := carryOut(t, binary, order{Probe: "none", User: user, Grants: []guest.Mount{
						bind("/ro", host+"/ro", false), bind("/work", host+"/rw", true), bind(tt.guest, tt.host, true)}, Template: template}, root)
					for _, f := range out.Failures {
						t.Error(f)
					}
					if !strings.Contains(out.Err, tt.want) {
						t.Errorf("%q does not say %q", out.Err, tt.want)
					}
				}
			})
		}
		for _, p := range []string{"/rw/missing", "/ro/missing"} {
			if _, err := os.Lstat(host + p); err == nil {
				t.Errorf("%s was made on the host", p)
			}
		}
	})
}

func TestQuota(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		_, binary := scratch(t)
		check(t, carryOut(t, binary, order{Probe: "quota", User: user, Disk: 4 << 20}, root))
		check(t, carryOut(t, binary, order{Probe: "quota", User: user, Disk: 64 << 20, Grow: 4 << 20}, root))
		check(t, carryOut(t, binary, order{Probe: "quota", User: user, Grow: 4 << 20}, root))
	})
}

// probeQuota fills private space that holds 4 MiB.
func probeQuota(w *world) {
	chunk := make([]byte, 3<<20)
	if err := os.WriteFile("/tmp/a", chunk, 0o600); err != nil {
		w.errorf("%v", err)
	}
	for _, p := range []string{"/tmp/b", w.User.Home + "/b", "/dev/shm/b", "/var/tmp/b", "/run/b"} {
		if err := os.WriteFile(p, chunk, 0o600); !errors.Is(err, unix.ENOSPC) {
			w.errorf("%s: %v, not ENOSPC", p, err)
		}
		if err := os.Remove(p); err != nil {
			w.errorf("%v", err)
		}
	}
	n := 0
	var err error
	for ; n < 10_000 && err == nil; n++ {
		err = os.Mkdir(fmt.Sprintf("/run/%d", n), 0o700)
	}
	if !errors.Is(err, unix.ENOSPC) {
		w.errorf("%d directories: %v, not ENOSPC", n, err)
	}
}

func TestWholeRoot(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		dir, binary := scratch(t)
		secret := filepath.Join(dir, "secret")
		tree(t, dir, user, "secret")
		for _, callee := range []bool{false, true} {
			out := carryOut(t, binary, order{Probe: "whole", User: user, Whole: true, Callee: callee, Grants: []guest.Mount{bind("/", "/", false),
				{Guest: secret, Kind: guest.Mask}, {Guest: "/etc", Kind: guest.Mask, Dir: true}},
				Args: map[string]string{"secret": secret}}, root)
			check(t, out)
		}
	})
}

func probeWhole(w *world) {
	w.unwritable("/", "/usr", "/tmp", "/sys", "/proc", "/dev")
	w.unreadable(w.Args["secret"], "/etc", "/etc/passwd", "/sys", "/sys/kernel", "/proc/kcore", "/proc/keys", "/dev/kmsg")
	if b, err := os.ReadFile("/proc/1/comm"); err != nil || string(b) != "cat\n" {
		w.errorf("pid 1 is %q, %v", b, err)
	}
	if err := os.WriteFile("/dev/null", []byte("x"), 0); err != nil {
		w.errorf("%v", err)
	}
	w.writable("/dev/shm")
	probeTerminal(w)
	probeMounts(w)
}

func TestBare(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		dir, binary := scratch(t)
		host := grantedTree(t, dir, user)
		// What a dynamically linked probe needs and nothing else.
		grants := []guest.Mount{bind("/usr", "/usr", false), bind("/work", host+"/rw", true), {Guest: "/work/secret.txt", Kind: guest.Mask}, {Guest: "/work/secret", Kind: guest.Mask}}
		for _, l := range []string{"/lib", "/lib64"} {
			if real, err := filepath.EvalSymlinks(l); err == nil {
				grants = append(grants, bind(l, real, false))
			}
		}
		check(t, carryOut(t, binary, order{Probe: "bare", User: user, Bare: true, Grants: grants}, root))
	})
}

func probeBare(w *world) {
	w.absent("/proc", "/dev", "/etc", "/tmp", "/bin", "/root", "/home", "/run", "/var")
	w.unreadable("/work/secret.txt", "/work/secret", "/work/secret/key")
	w.unwritable("/", "/usr")
	w.writable("/work")
}
