package view

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
)

var somebody = guest.User{UID: 1000, GID: 1000, Name: "somebody", Home: "/home/somebody", Shell: "/bin/bash"}

// fakeHost makes a host with everything that the contract names and much that it
// does not.
func fakeHost(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree(t, dir, guest.User{UID: os.Geteuid(), GID: os.Getegid()},
		"usr/", "usr/bin/", "usr/lib/", "usr/lib64/", "usr/share/zoneinfo/", "usr/share/zoneinfo/UTC", "usr/lib/os-release",
		"bin -> usr/bin", "sbin/", "lib -> usr/lib", "lib64 -> usr/lib64", "libs-of-mine/", "nix/", "nix/store/",
		"opt/", "home/", "root/", "srv/", "mnt/", "media/", "boot/", "sys/", "run/", "var/", "var/lib/", "var/lib/bundle",
		"etc/", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d/", "etc/ld.so.preload", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/openssl.cnf", "etc/ssl/private/",
		"etc/ca-certificates/", "etc/ca-certificates.conf", "etc/pki/", "etc/pki/tls/", "etc/pki/tls/certs/", "etc/pki/tls/private/", "etc/pki/ca-trust/", "etc/pki/ca-trust/extracted/",
		"etc/pki/tls/cert.pem -> ../../../var/lib/bundle", "etc/crypto-policies/", "etc/alternatives/", "etc/localtime -> static", "etc/static -> ../usr/share/zoneinfo/UTC",
		"etc/timezone", "etc/locale.alias", "etc/locale.conf", "etc/os-release -> ../usr/lib/os-release", "etc/services", "etc/protocols", "etc/mime.types", "etc/terminfo/",
		"etc/inputrc", "etc/profile", "etc/profile.d/", "etc/bash.bashrc", "etc/fonts/", "etc/gai.conf -> nowhere", "etc/magic", "etc/perl/", "etc/python3/", "etc/python3.11/",
		"etc/java-17-openjdk/", "etc/shadow", "etc/passwd", "etc/machine-id", "etc/ssh/", "etc/fstab")
	for name, mode := range map[string]os.FileMode{"etc/inputrc": 0o600, "etc/fonts": 0o711} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDefault(t *testing.T) {
	dir := fakeHost(t)
	type entry struct {
		kind guest.MountKind
		data string // of a link its target, of a bind the path on the host
	}
	at := func(p string) entry { return entry{guest.Bind, p} }
	want := map[string]entry{
		"/usr": at("/usr"), "/nix/store": at("/nix/store"),
		"/bin": {guest.Link, "usr/bin"}, "/sbin": at("/sbin"), "/lib": {guest.Link, "usr/lib"}, "/lib64": {guest.Link, "usr/lib64"},
		"/etc/localtime":        {guest.Link, "/usr/share/zoneinfo/UTC"}, // in one step: the view lacks the one in between
		"/etc/os-release":       {guest.Link, "../usr/lib/os-release"},
		"/etc/pki/tls/cert.pem": at("/var/lib/bundle"), // by content: the view lacks the target
		"/etc/passwd":           {guest.Text, ""}, "/etc/group": {guest.Text, ""}, "/etc/hosts": {guest.Text, ""}, "/etc/hostname": {guest.Text, ""},
		"/etc/nsswitch.conf": {guest.Text, ""}, "/etc/resolv.conf": {guest.Text, ""}, "/etc/machine-id": {guest.Text, ""},
		"/dev": {kind: guest.Devices}, "/proc": {kind: guest.Procs},
		"/tmp": {kind: guest.Private}, "/var/tmp": {kind: guest.Private}, "/run": {kind: guest.Private}, "/home/somebody": {kind: guest.Private},
	}
	for _, name := range []string{"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "pki/tls/certs",
		"pki/ca-trust/extracted", "crypto-policies", "alternatives", "timezone", "locale.alias", "locale.conf", "services", "protocols", "mime.types", "terminfo", "profile",
		"bash.bashrc", "magic", "perl", "python3", "python3.11", "java-17-openjdk"} {
		want["/etc/"+name] = at("/etc/" + name)
	}
	seen := make(map[string]bool)
	for _, m := range Default(somebody, Options{Host: dir}) {
		w, ok := want[m.Guest]
		if !ok || seen[m.Guest] {
			t.Errorf("%s is not in the contract, or twice", m.Guest)
			continue
		}
		seen[m.Guest] = true
		got := m.Data
		switch m.Kind {
		case guest.Bind:
			got = strings.TrimPrefix(m.Host, dir)
		case guest.Text:
			if got == "" {
				t.Errorf("%s is empty", m.Guest)
			}
			got = ""
		case guest.Private, guest.Link, guest.Devices, guest.Procs, guest.Mask, guest.Frozen:
		}
		if m.Kind != w.kind || got != w.data {
			t.Errorf("%s is kind %d of %q, not kind %d of %q", m.Guest, m.Kind, got, w.kind, w.data)
		}
		if m.Source != "default" || (m.Write != (m.Kind == guest.Private)) || m.File != nil {
			t.Errorf("%s: %+v", m.Guest, m)
		}
	}
	for p := range want {
		if !seen[p] {
			t.Errorf("%s is missing", p)
		}
	}
}

func TestDefaultLess(t *testing.T) {
	if got := Default(somebody, Options{Bare: true}); len(got) != 0 {
		t.Errorf("a bare view has %v", got)
	}
	got := Default(somebody, Options{Whole: true})
	if len(got) != 2 || got[0].Kind != guest.Devices || got[1].Kind != guest.Procs {
		t.Errorf("a whole view has %v", got)
	}
}

func TestPrivateDirectories(t *testing.T) {
	for home, want := range map[string]string{
		"/home/x": "/tmp /var/tmp /run /home/x", "/tmp/x": "/tmp /var/tmp /run /tmp/x", "/var": "/var /tmp /var/tmp /run", "/usrs/x": "/tmp /var/tmp /run /usrs/x",
		"": "/tmp /var/tmp /run", "/": "/tmp /var/tmp /run", "x": "/tmp /var/tmp /run", "/run": "/tmp /var/tmp /run", "/tmp/": "/tmp /var/tmp /run",
		"/usr/sbin": "/tmp /var/tmp /run", "/bin": "/tmp /var/tmp /run", "/dev": "/tmp /var/tmp /run", "/etc/x": "/tmp /var/tmp /run", "/x/../usr": "/tmp /var/tmp /run",
	} {
		if got := strings.Join(privateDirectories(home), " "); got != want {
			t.Errorf("home %q: %s, not %s", home, got, want)
		}
	}
}

func TestReadable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: files of other users need root")
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		uid, gid int
		mode     os.FileMode
		dir      bool
		want     bool
	}{
		{0, 0, 0o644, false, true}, {0, 0, 0o640, false, false}, {0, 1000, 0o640, false, true}, {1000, 0, 0o400, false, true},
		{1000, 1000, 0o044, false, false}, {0, 1000, 0o604, false, false}, {0, 0, 0o755, true, true}, {0, 0, 0o744, true, false},
	} {
		p := filepath.Join(dir, "x")
		var err error
		if tt.dir {
			err = os.Mkdir(p, 0o700)
		} else {
			err = os.WriteFile(p, nil, 0o600)
		}
		if err == nil {
			err = os.Chown(p, tt.uid, tt.gid)
		}
		if err == nil {
			err = os.Chmod(p, tt.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		h := host{root: dir, user: somebody}
		if got := h.readable("/x"); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
		if err := os.RemoveAll(p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTexts(t *testing.T) {
	text := func(u guest.User, name string) string {
		for _, m := range texts(u) {
			if m.Guest == "/etc/"+name {
				return m.Data
			}
		}
		t.Fatalf("no %s", name)
		return ""
	}
	root := guest.User{Name: "root", Home: "/root"}
	hostile := guest.User{UID: 7, GID: 7, Name: "a:b\nroot::0:0", Home: "/x:y", Shell: "z\n"}
	for _, tt := range []struct {
		user guest.User
		name string
		want string
	}{
		{somebody, "passwd", "root:x:0:0:root:/root:/bin/sh\nsomebody:x:1000:1000:somebody:/home/somebody:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{root, "passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{hostile, "passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:7:7:user:/:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{somebody, "group", "root:x:0:\ntty:x:5:\nsomebody:x:1000:\nnogroup:x:65534:\n"},
		{root, "group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
		{root, "hostname", "agentos\n"},
	} {
		if got := text(tt.user, tt.name); got != tt.want {
			t.Errorf("%s of %q:\n%s\nnot\n%s", tt.name, tt.user.Name, got, tt.want)
		}
	}
	a, b := text(root, "machine-id"), text(root, "machine-id")
	if len(a) != 33 || strings.Trim(a, "0123456789abcdef") != "\n" || a == b {
		t.Errorf("machine-id %q, then %q", a, b)
	}
}

func TestEnviron(t *testing.T) {
	got := Environ(somebody, []string{"PATH=/evil", "HOME=/evil", "LD_PRELOAD=x", "LANG=de", "LANG=en", "LC_ALL=C", "LC_TIME=x", "LCX=1", "TZ=UTC", "TERM=xterm", "COLORTERM=1",
		"NO_COLOR=", "AWS_SECRET=1", "TMPDIR=/evil", "broken", "=x"})
	want := []string{"COLORTERM=1", "HOME=/home/somebody", "LANG=de", "LC_ALL=C", "LC_TIME=x", "NO_COLOR=",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SHELL=/bin/bash", "TERM=xterm", "TMPDIR=/tmp", "TZ=UTC", "USER=somebody"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if got := Environ(guest.User{Home: "/", Name: "x"}, nil); !slices.Contains(got, "SHELL=/bin/sh") || len(got) != 5 {
		t.Errorf("without a caller: %q", got)
	}
}

func TestSplit(t *testing.T) {
	base := Default(somebody, Options{})
	all := append(slices.Clone(base), bind("/x", "/x", true), guest.Mount{Guest: "/y", Kind: guest.Text, Source: "default"})
	if a, b := Split(all); len(a) != len(base) || len(b) != 2 {
		t.Errorf("%d and %d", len(a), len(b))
	}
	if a, b := Split(append(slices.Clone(all), bind("/", "/", false))); len(a) != 0 || len(b) != len(all)+1 {
		t.Errorf("with a root of its own: %d and %d", len(a), len(b))
	}
	if Fingerprint(base) != Fingerprint(Default(somebody, Options{})) {
		t.Error("two views of the same user differ")
	}
	other := somebody
	other.Home = "/home/other"
	if Fingerprint(base) == Fingerprint(Default(other, Options{})) || Fingerprint(base) == Fingerprint(all) {
		t.Error("different views have the same fingerprint")
	}
}

func TestWritable(t *testing.T) {
	got := Writable([]guest.Mount{bind("/r", "/r", false), bind("/w", "/w", true), {Guest: "/p", Kind: guest.Private}, {Guest: "/t", Kind: guest.Text},
		{Guest: "/m", Kind: guest.Mask}, {Guest: "/f", Kind: guest.Frozen}, {Guest: "/l", Kind: guest.Link}, {Guest: "/dev", Kind: guest.Devices}, {Guest: "/proc", Kind: guest.Procs}})
	if want := []string{"/w", "/p", "/dev", "/proc"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestParseMountinfo(t *testing.T) {
	got, err := parseMountinfo("36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 shared:2 - ext3 /dev/root rw\n22 27 0:21 / /proc rw - proc proc rw\n")
	want := []mounted{{36, `/mnt 2\x`, "ext3"}, {22, "/proc", "proc"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"x\n", "36 35 98:0 / / rw shared:1\n", "36 35 98:0 / / rw -\n", "x 35 98:0 / / rw - ext3 a rw\n"} {
		if got, err := parseMountinfo(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

// The thread of a process that has not left the host's mounts must be refused: the
// rest would take the root from the host.
func TestBaseRefusesTheHost(t *testing.T) {
	before := hostMounts()
	root, err := Base(new(Trees), Config{})
	if err == nil {
		t.Fatal("a root was built in the host's namespace", root)
	}
	if !strings.Contains(err.Error(), "mount namespace") && !strings.Contains(err.Error(), "main thread") {
		t.Errorf("refused with: %v", err)
	}
	if hostMounts() != before {
		t.Error("the host's mounts changed")
	}
}
