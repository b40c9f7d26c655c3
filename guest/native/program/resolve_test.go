package program

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestResolve: what runs, under which path, and what it needs.
func TestResolve(t *testing.T) {
	w := newWorld(t)
	w.program("app/tool")
	w.link("app/alias", "tool")
	w.link("app/round", "alias")
	w.file("app/run.sh", "#!WORLD/app/tool -x\n", 0o755)
	w.file("app/twice.sh", "#!WORLD/app/run.sh\n", 0o755)
	w.file("app/env.sh", "#!WORLD/app/env -S A=1 tool\n", 0o755)
	w.program("app/env")
	w.link("elsewhere", "WORLD/app")
	w.path = w.at("app") + ":/nowhere"
	v := w.view("app")
	for _, c := range []struct {
		name, program, guest string
		needs                []string
	}{
		{"file", "app/tool", "app/tool", nil},
		{"link keeps its name", "app/alias", "app/alias", nil},
		{"links", "app/round", "app/round", nil},
		{"script", "app/run.sh", "app/run.sh", []string{"app/tool"}},
		{"script of a script", "app/twice.sh", "app/twice.sh", []string{"app/run.sh", "app/tool"}},
		{"env", "app/env.sh", "app/env.sh", []string{"app/env", "app/tool"}},
		{"through a linked directory", "elsewhere/alias", "app/alias", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := w.resolve(w.at(c.program), v)
			if err != nil {
				t.Fatal(err)
			}
			if x.Guest != w.at(c.guest) {
				t.Errorf("guest path %q, want %q", x.Guest, w.at(c.guest))
			}
			var needs []string
			for _, n := range x.Needs {
				needs = append(needs, strings.TrimPrefix(n.Host, w.root+"/"))
			}
			if !slices.Equal(needs, c.needs) {
				t.Errorf("needs %q, want %q", needs, c.needs)
			}
			if real, _ := filepath.EvalSymlinks(w.at(c.program)); x.Host != real {
				t.Errorf("real file %q, want %q", x.Host, real)
			}
		})
	}
	t.Run("another place", func(t *testing.T) {
		x, err := w.resolve(w.at("app/alias"), w.view("app:/desk"))
		if err != nil || x.Guest != "/desk/alias" {
			t.Errorf("%+v, %v", x, err)
		}
	})
	t.Run("the file alone", func(t *testing.T) {
		x, err := w.resolve(w.at("app/tool"), w.view("app/tool"))
		if err != nil || x.Guest != w.at("app/tool") {
			t.Errorf("%+v, %v", x, err)
		}
	})
	t.Run("dot dot through a link", func(t *testing.T) {
		w.link("deep/in/here", "WORLD/app")
		x, err := w.resolve(w.at("deep/in")+"/here/../app/tool", v)
		if err != nil || x.Guest != w.at("app/tool") {
			t.Errorf("%+v, %v", x, err)
		}
	})
}

// TestRefusals: each with the real file and what would help.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func(w *world) (program string, v View)
		kind   Kind
		real   string
		grants []string
		words  []string
	}{
		{"missing", func(w *world) (string, View) { return w.at("none"), w.view() }, NotFound, "", nil, []string{"no such file"}},
		{"below a file", func(w *world) (string, View) { return w.program("x") + "/y", w.view() }, NotFound, "", nil, []string{"no such file"}},
		{"broken link", func(w *world) (string, View) { return w.link("x", "WORLD/gone"), w.view() }, NotFound, "WORLD/gone", nil, []string{"symbolic link to WORLD/gone, which does not exist"}},
		{"link in a circle", func(w *world) (string, View) { w.link("y", "x"); return w.link("x", "y"), w.view() }, NotRunnable, "", nil, []string{"in a circle"}},
		{"directory", func(w *world) (string, View) { return w.at("project"), w.view("project") }, NotRunnable, "", nil, []string{"is a directory", "name a program file in it"}},
		{"device", func(w *world) (string, View) { return "/dev/null", w.view() }, NotRunnable, "", nil, []string{"is a device"}},
		{"empty", func(w *world) (string, View) { return w.file("x", "", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"is empty"}},
		{"text", func(w *world) (string, View) { return w.file("x", "echo hello\n", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"text without a #! line", "agentos run sh WORLD/x"}},
		{"byte order mark", func(w *world) (string, View) { return w.file("x", "\xef\xbb\xbf#!/bin/sh\n", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"byte order mark"}},
		{"UTF-16", func(w *world) (string, View) { return w.file("x", "\xff\xfe#\x00!\x00", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"UTF-16"}},
		{"HTML", func(w *world) (string, View) { return w.file("x", "\n<!DOCTYPE HTML>\n<p>404", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"HTML page", "download it again"}},
		{"Windows", func(w *world) (string, View) { return w.file("x", "MZ\x90\x00", 0o755), w.view("x") }, WrongArch, "", nil, []string{"for Windows"}},
		{"macOS", func(w *world) (string, View) {
			return w.file("x", "\xcf\xfa\xed\xfe\x07\x00\x00\x01", 0o755), w.view("x")
		}, WrongArch, "", nil, []string{"for macOS"}},
		{"fat macOS", func(w *world) (string, View) {
			return w.file("x", "\xca\xfe\xba\xbe\x00\x00\x00\x02", 0o755), w.view("x")
		}, WrongArch, "", nil, []string{"for macOS"}},
		{"Java class", func(w *world) (string, View) {
			return w.file("x", "\xca\xfe\xba\xbe\x00\x00\x00\x3d", 0o755), w.view("x")
		}, NotRunnable, "", nil, []string{"Java class"}},
		{"zip", func(w *world) (string, View) { return w.file("x", "PK\x03\x04\x00", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"java -jar"}},
		{"gzip", func(w *world) (string, View) { return w.file("x", "\x1f\x8b\x08\x00", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"is compressed"}},
		{"Python bytecode", func(w *world) (string, View) { return w.file("x", "\xa7\x0d\r\n\x00\x00\x00\x00", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"Python bytecode"}},
		{"module", func(w *world) (string, View) { return w.file("x", "\x00asm\x01\x00\x00\x00", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"WebAssembly"}},
		{"bytes", func(w *world) (string, View) { return w.file("x", "\x01\x02\x03\x04\x05", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"not in a format"}},
		{"not executable", func(w *world) (string, View) { return w.file("x y", "#!/bin/sh\n", 0o644), w.view("x y") }, NotExecutable, "", nil, []string{"is not executable", "chmod +x 'WORLD/x y'"}},
		{"object by a link", func(w *world) (string, View) {
			w.file("x.o", string(elfOf(header{kind: elfRelocatable})), 0o755)
			return w.link("x", "x.o"), w.view("x")
		}, NotRunnable, "WORLD/x.o", nil, []string{"is WORLD/x.o, which is an object file"}},
		{"32 bit", func(w *world) (string, View) {
			return w.file("x", string(elfOf(header{class: elfClass32, machine: machine386})), 0o755), w.view("x")
		}, WrongArch, "WORLD/x", nil, []string{"built for 32-bit x86, this machine is " + hostArch()}},

		{"not granted", func(w *world) (string, View) { return w.program("x"), w.view() }, NotVisible, "WORLD/x", []string{"x"}, []string{"outside what the guest can see", "--read WORLD/x"}},
		{"installation not granted", func(w *world) (string, View) { w.mkdir("opt/tool/lib"); return w.program("opt/tool/bin/x"), w.view() }, NotVisible, "", []string{"opt/tool"}, []string{"--read WORLD/opt/tool, or --toolchain"}},
		{"link leads out", func(w *world) (string, View) {
			w.program("opt/x")
			return w.link("app/x", "WORLD/opt/x"), w.view("app")
		}, NotVisible, "WORLD/opt/x", []string{"opt/x"}, []string{"is WORLD/opt/x, which lies outside"}},
		{"link leads out by another name", func(w *world) (string, View) {
			w.program("opt/busybox")
			return w.link("app/ls", "WORLD/opt/busybox"), w.view("opt")
		}, NotVisible, "WORLD/opt/busybox", []string{"app/ls"}, []string{"is WORLD/opt/busybox"}},
		{"another file at its path", func(w *world) (string, View) {
			w.program("other/x")
			return w.program("app/x"), w.view("app", "other:"+w.at("app"))
		}, NotVisible, "WORLD/app/x", nil, []string{"another file to the guest, which finds WORLD/other/x there", "HOST:GUEST"}},
		{"in a home", func(w *world) (string, View) { w.mkdir("home/u/lib"); return w.program("home/u/bin/x"), w.view() }, NotVisible, "", []string{"home/u/bin/x"}, nil},

		{"no interpreter", func(w *world) (string, View) { return w.file("x", "#!/usr/bin/no-such-thing -x\n", 0o755), w.view("x") }, NoInterpreter, "/usr/bin/no-such-thing", nil, []string{"is run by /usr/bin/no-such-thing, which is not installed"}},
		{"Windows line ends", func(w *world) (string, View) { return w.file("x", "#!/bin/sh\r\necho\r\n", 0o755), w.view("x") }, NoInterpreter, "WORLD/x", nil, []string{"Windows line ends", `/bin/sh\r`, "sed -i"}},
		{"Windows line ends and env", func(w *world) (string, View) {
			return w.file("x", "#!/usr/bin/env sh\r\necho\r\n", 0o755), w.view("x")
		}, NoInterpreter, "WORLD/x", nil, []string{"Windows line ends", `sh\r`}},
		{"relative interpreter", func(w *world) (string, View) { return w.file("x", "#!python3\n", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"relative", "#!/usr/bin/env python3"}},
		{"env with two words", func(w *world) (string, View) { return w.file("x", "#!/usr/bin/env sh -e\n", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"single argument", "#!/usr/bin/env -S sh -e"}},
		{"env finds nothing", func(w *world) (string, View) {
			return w.file("x", "#!/usr/bin/env no-such-thing\n", 0o755), w.view("x")
		}, NoInterpreter, "no-such-thing", nil, []string{"in no directory of the guest's PATH"}},
		{"env, on the caller's PATH", func(w *world) (string, View) {
			w.env["PATH"] = filepath.Dir(w.program("opt/deno/deno"))
			return w.file("x", "#!/usr/bin/env deno\n", 0o755), w.view("x")
		}, NotVisible, "WORLD/opt/deno/deno", []string{"opt/deno/deno"}, []string{"on yours it is WORLD/opt/deno/deno", "--env PATH=WORLD/opt/deno:" + SystemPath}},
		{"interpreter leads out", func(w *world) (string, View) {
			w.mkdir("opt/py/lib/python3.9")
			w.program("opt/py/bin/python3")
			return w.file("x", "#!WORLD/opt/py/bin/python3\n", 0o755), w.view("x")
		}, NotVisible, "WORLD/opt/py/bin/python3", []string{"opt/py"}, []string{"is run by WORLD/opt/py/bin/python3, which lies outside", "--toolchain"}},
		{"interpreter is a directory", func(w *world) (string, View) { return w.file("x", "#!/usr/bin\n", 0o755), w.view("x") }, NotRunnable, "", nil, []string{"/usr/bin, which is not a program"}},
		{"interpreter for another processor", func(w *world) (string, View) {
			w.file("app/py", string(elfOf(header{machine: 243})), 0o755)
			return w.file("app/x", "#!WORLD/app/py\n", 0o755), w.view("app")
		}, WrongArch, "WORLD/app/py", nil, []string{"is run by WORLD/app/py, which is built for RISC-V"}},
		{"interpreter of a circle", func(w *world) (string, View) { return w.file("app/x", "#!WORLD/app/x\n", 0o755), w.view("app") }, NotRunnable, "", nil, []string{"deeper than the kernel follows"}},
		{"line too long", func(w *world) (string, View) {
			return w.file("x", "#!/"+strings.Repeat("a", 300)+"\n", 0o755), w.view("x")
		}, NotRunnable, "", nil, []string{"longer than the kernel reads (256 bytes)"}},

		{"musl", func(w *world) (string, View) {
			if exists("/lib/ld-musl-none.so.1") {
				w.t.Fatal("the loader that no host has is there")
			}
			return w.file("x", string(elfOf(header{interp: "/lib/ld-musl-none.so.1"})), 0o755), w.view("x")
		}, NoInterpreter, "/lib/ld-musl-none.so.1", nil, []string{"needs the dynamic loader /lib/ld-musl-none.so.1, which is not installed", "install musl"}},
		{"Nix loader", func(w *world) (string, View) {
			return w.file("x", string(elfOf(header{interp: "/nix/store/none-glibc/lib/ld.so"})), 0o755), w.view("x")
		}, NoInterpreter, "", nil, []string{"Nix package"}},
		{"loader not granted", func(w *world) (string, View) {
			w.program("opt/ld.so")
			return w.file("x", string(elfOf(header{interp: w.at("opt/ld.so")})), 0o755), w.view("x")
		}, NotVisible, "WORLD/opt/ld.so", []string{"opt/ld.so"}, []string{"needs the dynamic loader WORLD/opt/ld.so, which lies outside"}},
		{"relative loader", func(w *world) (string, View) {
			return w.file("x", string(elfOf(header{interp: "ld.so"})), 0o755), w.view("x")
		}, NotRunnable, "", nil, []string{"relative"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			program, v := c.make(w)
			x, err := w.resolve(program, v)
			if err == nil {
				t.Fatalf("runs as %+v", x)
			}
			if !strings.HasPrefix(err.Error(), program+": ") {
				t.Errorf("%q does not begin with the program's name", err)
			}
			w.refused(err, c.kind, c.real, c.grants, c.words...)
		})
	}
}

// TestGrantsHelp: with the grants that a refusal asks for, the program runs.
func TestGrantsHelp(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(w *world) string
	}{
		{"file", func(w *world) string { return w.program("x") }},
		{"link out", func(w *world) string { w.program("opt/a/x"); return w.link("app/y", "WORLD/opt/a/x") }},
		{"links out", func(w *world) string {
			w.program("opt/a/x")
			w.link("opt/b/x", "../a/x")
			return w.link("app/y", "WORLD/opt/b/x")
		}},
		{"script", func(w *world) string { w.program("opt/a/x"); return w.file("s", "#!WORLD/opt/a/x\n", 0o755) }},
		{"venv", func(w *world) string { return w.venv("project/venv", "opt/py3", "3.11") }},
		{"console script", func(w *world) string {
			py := w.venv("project/venv", "opt/py3", "3.11")
			return w.file("project/venv/bin/pytest", "#!"+py+"\n", 0o755)
		}},
		{"linked directory", func(w *world) string { w.program("opt/a/x"); w.link("opt/current", "a"); return w.at("opt/current/x") }},
		{"loader", func(w *world) string {
			w.program("opt/ld.so")
			return w.file("x", string(elfOf(header{interp: w.at("opt/ld.so")})), 0o755)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			program := c.make(w)
			var read []string
			for range 4 {
				x, err := w.resolve(program, w.view(read...))
				if err == nil {
					if real, _ := filepath.EvalSymlinks(program); x.Host != real {
						t.Errorf("runs %s, want %s", x.Host, real)
					}
					if len(read) == 0 {
						t.Error("runs without a grant")
					}
					return
				}
				var e *Error
				if !errors.As(err, &e) || e.Kind != NotVisible || len(e.Grants) == 0 {
					t.Fatalf("with %q: %v", read, err)
				}
				for _, g := range e.Grants {
					read = append(read, strings.TrimPrefix(g, w.root+"/"))
				}
			}
			t.Errorf("does not run with %q", read)
		})
	}
}

// TestSamePathOtherFile: the guest's file at the program's path is not run in its
// place.
func TestSamePathOtherFile(t *testing.T) {
	w := newWorld(t)
	w.program("other/x")
	p := w.program("app/x")
	x, err := w.resolve(p, w.view("app:/elsewhere", "other:"+w.at("app")))
	if err != nil || x.Guest != "/elsewhere/x" {
		t.Errorf("%+v, %v: want the program at its other path", x, err)
	}
	w.link("app/y", "WORLD/app/x")
	x, err = w.resolve(w.at("app/y"), w.view("app:/elsewhere", "other:"+w.at("app")))
	if err == nil {
		t.Errorf("runs as %+v, though its link leads to another file in the guest", x)
	}
}

// TestSkippedLink: a link that the guest does not see may be left out if nothing
// depends on it, and it is said.
func TestSkippedLink(t *testing.T) {
	w := newWorld(t)
	w.program("store/pkg/bin/hello")
	p := w.link("profile/bin/hello", "WORLD/store/pkg/bin/hello")
	x, err := w.resolve(p, w.view("store"))
	if err != nil {
		t.Fatal(err)
	}
	if x.Guest != w.at("store/pkg/bin/hello") || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], p) {
		t.Errorf("%+v", x)
	}
}

// TestPrivilege: a set-user-id program runs without, and that is said.
func TestPrivilege(t *testing.T) {
	w := newWorld(t)
	p := w.program("app/su")
	if err := os.Chmod(p, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	x, err := w.resolve(p, w.view("app"))
	if err != nil || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "set-user-id") {
		t.Errorf("%+v, %v", x, err)
	}
}
