package program

import (
	"testing"

	"github.com/agentos-kernel/agentos/guest"
)

func bind(g, host string) guest.Mount {
	return guest.Mount{Guest: g, Kind: guest.Bind, Host: host, Dir: true}
}

func TestViewLook(t *testing.T) {
	v := NewView([]guest.Mount{
		bind("/usr", "/usr"),
		{Guest: "/bin", Kind: guest.Link, Data: "usr/bin"},
		{Guest: "/tmp", Kind: guest.Private},
		{Guest: "/etc/passwd", Kind: guest.Text},
		bind("/tmp/in", "/srv/data"),
		bind("/desk", "/home/u/desk"),
		{Guest: "/desk/secret", Kind: guest.Mask, Source: "flag"},
		{Guest: "/desk/.git", Kind: guest.Frozen},
		bind("/gone", "/no/such/path"),
		{Guest: "/opt/gone", Kind: guest.Bind, Host: "/no/such/path", Optional: true},
	})
	for _, c := range []struct {
		path string
		want Entry
	}{
		{"/", Entry{Kind: Folder}},
		{"/usr", Entry{Kind: OnHost, Host: "/usr"}},
		{"/usr/bin/sh", Entry{Kind: OnHost, Host: "/usr/bin/sh"}},
		{"/usr2", Entry{}},
		{"/bin", Entry{Kind: Symlink, Target: "usr/bin"}},
		{"/tmp", Entry{Kind: Folder}},
		{"/tmp/x", Entry{Why: "the program has a /tmp of its own"}},
		{"/tmp/in", Entry{Kind: OnHost, Host: "/srv/data"}},
		{"/tmp/in/a/b", Entry{Kind: OnHost, Host: "/srv/data/a/b"}},
		{"/etc", Entry{Kind: Folder}},
		{"/etc/passwd", Entry{Kind: Other}},
		{"/etc/shadow", Entry{}},
		{"/desk", Entry{Kind: OnHost, Host: "/home/u/desk"}},
		{"/desk/secret", Entry{Why: "/desk/secret is hidden from it (flag)"}},
		{"/desk/secret/x", Entry{Why: "/desk/secret is hidden from it (flag)"}},
		{"/desk/secrets", Entry{Kind: OnHost, Host: "/home/u/desk/secrets"}},
		{"/desk/.git/config", Entry{Kind: OnHost, Host: "/home/u/desk/.git/config"}},
		{"/gone/x", Entry{Kind: OnHost, Host: "/no/such/path/x"}},
		{"/opt", Entry{}},
		{"/home/u/desk", Entry{}},
	} {
		if got := v.Look(c.path); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
	for _, c := range []struct {
		host, want string
	}{
		{"/usr/bin/sh", "/usr/bin/sh"},
		{"/home/u/desk/a", "/desk/a"},
		{"/home/u/desk/secret", ""},
		{"/home/u/desk/secret/a", ""},
		{"/home/u", ""},
		{"/srv/data/x", "/tmp/in/x"},
		{"/tmp/in/x", ""},
		{"/etc/passwd", ""},
	} {
		if got, ok := v.Guest(c.host); got != c.want || ok != (c.want != "") {
			t.Errorf("guest of %s: %q %v, want %q", c.host, got, ok, c.want)
		}
	}
	if got, ok := v.Host("/bin"); !ok || got != "/usr/bin" {
		t.Errorf("host of /bin: %q %v", got, ok)
	}
	if got, ok := v.Host("/etc"); ok {
		t.Errorf("/etc of the view's own leads to %q", got)
	}
}

// TestViewShadow: what is mounted later lies on top, parents included.
func TestViewShadow(t *testing.T) {
	v := NewView([]guest.Mount{bind("/a/b", "/old"), bind("/a", "/new"), bind("/x", "/first"), bind("/x", "/second"), bind("/y", "/first")})
	for path, want := range map[string]string{"/a/b": "/new/b", "/x/f": "/second/f", "/y": "/first"} {
		if e := v.Look(path); e.Kind != OnHost || e.Host != want {
			t.Errorf("%s: %+v, want %s", path, e, want)
		}
	}
	if g, ok := v.Guest("/old"); ok {
		t.Errorf("what is covered is visible at %s", g)
	}
	if g, ok := v.Guest("/first/f"); !ok || g != "/y/f" {
		t.Errorf("/first/f is at %q, want /y/f", g)
	}
	whole := NewView([]guest.Mount{bind("/", "/"), {Guest: "/proc", Kind: guest.Procs}})
	if g, ok := whole.Guest("/etc/x"); !ok || g != "/etc/x" {
		t.Errorf("with the whole root /etc/x is at %q", g)
	}
	if _, ok := whole.Guest("/proc/1"); ok {
		t.Error("the host's /proc is visible")
	}
}
