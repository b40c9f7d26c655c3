package program

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// python installs a Python of that version and returns its interpreter.
func (w *world) python(dir, version string) string {
	w.mkdir(dir + "/lib/python" + version)
	w.program(dir + "/bin/python" + version)
	return w.link(dir+"/bin/python3", "python"+version)
}

// venv makes a virtual environment of such a Python.
func (w *world) venv(dir, base, version string) string {
	w.python(base, version)
	w.file(dir+"/pyvenv.cfg", "home = WORLD/"+base+"/bin\nversion = "+version+".1\n", 0o644)
	w.mkdir(dir + "/lib/python" + version)
	w.link(dir+"/bin/python3", "WORLD/"+base+"/bin/python3")
	return w.link(dir+"/bin/python", "python3")
}

// pyenv installs versions and the shims of pyenv.
func (w *world) pyenv(versions ...string) string {
	for _, v := range versions {
		w.python("home/u/.pyenv/versions/"+v, v[:strings.LastIndexByte(v, '.')])
	}
	w.file("home/u/.pyenv/libexec/pyenv", "#!/bin/sh\n", 0o755)
	return w.file("home/u/.pyenv/shims/python3", "#!/usr/bin/env bash\nexec \"WORLD/home/u/.pyenv/libexec/pyenv\" exec \"${0##*/}\" \"$@\"\n", 0o755)
}

func (w *world) rustup() string {
	for _, v := range []string{"stable-x86_64-unknown-linux-gnu", "nightly-x86_64-unknown-linux-gnu", "1.70-x86_64-unknown-linux-gnu"} {
		w.mkdir("home/u/.rustup/toolchains/" + v + "/lib/rustlib")
		w.program("home/u/.rustup/toolchains/" + v + "/bin/cargo")
	}
	w.file("home/u/.rustup/settings.toml", "version = \"12\"\ndefault_toolchain = \"stable-x86_64-unknown-linux-gnu\"\n\n[overrides]\n\"WORLD/project/sub\" = \"nightly-x86_64-unknown-linux-gnu\"\n", 0o644)
	w.program("home/u/.cargo/bin/rustup")
	return w.link("home/u/.cargo/bin/cargo", "rustup")
}

// TestShims: the real program of each version manager's shim, and what decides.
func TestShims(t *testing.T) {
	const py, rust = "home/u/.pyenv/versions/", "home/u/.rustup/toolchains/"
	for _, c := range []struct {
		name  string
		make  func(w *world) string
		real  string // beneath the world
		grant string
		words []string
	}{
		{"pyenv, global", func(w *world) string {
			w.file("home/u/.pyenv/version", "3.11.7\n", 0o644)
			return w.pyenv("3.9.1", "3.11.7")
		}, py + "3.11.7/bin/python3", py + "3.11.7", []string{"a shim of pyenv", "3.11.7 by WORLD/home/u/.pyenv/version", "--toolchain"}},
		{"pyenv, of a directory above", func(w *world) string {
			w.file("home/u/.pyenv/version", "3.11.7\n", 0o644)
			w.file("project/.python-version", "# ours\n3.9.1\n", 0o644)
			w.dir = w.at("project/a/b")
			w.mkdir("project/a/b")
			return w.pyenv("3.9.1", "3.11.7")
		}, py + "3.9.1/bin/python3", py + "3.9.1", []string{"3.9.1 by WORLD/project/.python-version"}},
		{"pyenv, variable first", func(w *world) string {
			w.file("project/.python-version", "3.9.1\n", 0o644)
			w.env["PYENV_VERSION"] = "3.11.7:3.9.1"
			return w.pyenv("3.9.1", "3.11.7")
		}, py + "3.11.7/bin/python3", py + "3.11.7", []string{"$PYENV_VERSION"}},
		{"pyenv, part of a version", func(w *world) string {
			w.env["PYENV_VERSION"] = "3.11"
			return w.pyenv("3.11.7", "3.11.12", "3.11.9", "3.1.1")
		}, py + "3.11.12/bin/python3", py + "3.11.12", nil},
		{"pyenv, second choice has it", func(w *world) string {
			w.env["PYENV_VERSION"] = "2.7.1:3.9.1"
			return w.pyenv("3.9.1")
		}, py + "3.9.1/bin/python3", py + "3.9.1", nil},
		{"pyenv, system", func(w *world) string {
			w.program("sys/bin/python3")
			p := w.pyenv("3.9.1")
			w.env["PYENV_VERSION"], w.env["PATH"] = "system", filepath.Dir(p)+":"+w.at("sys/bin")
			return p
		}, "sys/bin/python3", "sys/bin/python3", nil},
		{"pyenv, a version that climbs", func(w *world) string {
			w.program("evil/bin/python3")
			w.env["PYENV_VERSION"] = "../../../../evil:3.9.1"
			return w.pyenv("3.9.1")
		}, py + "3.9.1/bin/python3", py + "3.9.1", nil},
		{"rbenv", func(w *world) string {
			w.mkdir("home/u/.rbenv/versions/3.2.0/lib/ruby")
			w.program("home/u/.rbenv/versions/3.2.0/bin/ruby")
			w.file("project/.ruby-version", "3.2.0", 0o644)
			return w.file("home/u/.rbenv/shims/ruby", "#!/usr/bin/env bash\nexec rbenv exec\n", 0o755)
		}, "home/u/.rbenv/versions/3.2.0/bin/ruby", "home/u/.rbenv/versions/3.2.0", []string{"rbenv"}},
		{"asdf", func(w *world) string {
			w.mkdir("home/u/.asdf/installs/nodejs/20.1.0/lib/node_modules")
			w.program("home/u/.asdf/installs/nodejs/20.1.0/bin/node")
			w.file("project/.tool-versions", "python 3.1\nnodejs 20.1.0 # lts\n", 0o644)
			return w.file("home/u/.asdf/shims/node", "#!/usr/bin/env bash\n# asdf-plugin: nodejs 18.0.0\n# asdf-plugin: nodejs 20.1.0\nexec asdf exec \"node\"\n", 0o755)
		}, "home/u/.asdf/installs/nodejs/20.1.0/bin/node", "home/u/.asdf/installs/nodejs/20.1.0", []string{"asdf", "20.1.0 by WORLD/project/.tool-versions"}},
		{"mise", func(w *world) string {
			for _, v := range []string{"20.1.0", "22.0.0"} {
				w.mkdir("home/u/mise/installs/node/" + v + "/lib/node_modules")
				w.program("home/u/mise/installs/node/" + v + "/bin/node")
			}
			w.link("home/u/mise/installs/node/20", "./20.1.0")
			w.file("project/mise.toml", "[env]\nnode = \"x\"\n[tools]\nnode = [\"20\", \"22\"]\n", 0o644)
			return w.link("home/u/mise/shims/node", w.program("usr/bin/mise"))
		}, "home/u/mise/installs/node/20.1.0/bin/node", "home/u/mise/installs/node/20.1.0", []string{"mise", "20 by WORLD/project/mise.toml"}},
		{"volta", func(w *world) string {
			w.mkdir("home/u/.volta/tools/image/node/20.1.0/lib/node_modules")
			w.program("home/u/.volta/tools/image/node/20.1.0/bin/node")
			w.file("home/u/.volta/tools/user/platform.json", `{"node":{"runtime":"20.1.0","npm":null}}`, 0o644)
			w.program("home/u/.volta/bin/volta-shim")
			return w.link("home/u/.volta/bin/node", "volta-shim")
		}, "home/u/.volta/tools/image/node/20.1.0/bin/node", "home/u/.volta/tools/image/node/20.1.0", []string{"volta"}},
		{"rustup, default", func(w *world) string { return w.rustup() }, rust + "stable-x86_64-unknown-linux-gnu/bin/cargo", rust + "stable-x86_64-unknown-linux-gnu", []string{"a shim of rustup", "settings.toml"}},
		{"rustup, hard link", func(w *world) string {
			w.rustup()
			if err := linkFile(w.at("home/u/.cargo/bin/rustup"), w.at("home/u/.cargo/bin/hard")); err != nil {
				w.t.Fatal(err)
			}
			w.program(rust + "stable-x86_64-unknown-linux-gnu/bin/hard")
			return w.at("home/u/.cargo/bin/hard")
		}, rust + "stable-x86_64-unknown-linux-gnu/bin/hard", rust + "stable-x86_64-unknown-linux-gnu", nil},
		{"rustup, override", func(w *world) string { w.dir = w.at("project/sub"); return w.rustup() }, rust + "nightly-x86_64-unknown-linux-gnu/bin/cargo", rust + "nightly-x86_64-unknown-linux-gnu", nil},
		{"rustup, file", func(w *world) string {
			w.file("project/rust-toolchain.toml", "[toolchain]\nchannel = \"1.70\"\n", 0o644)
			return w.rustup()
		}, rust + "1.70-x86_64-unknown-linux-gnu/bin/cargo", rust + "1.70-x86_64-unknown-linux-gnu", []string{"rust-toolchain.toml"}},
		{"rustup, old file", func(w *world) string {
			w.file("project/rust-toolchain", "nightly\n", 0o644)
			return w.rustup()
		}, rust + "nightly-x86_64-unknown-linux-gnu/bin/cargo", rust + "nightly-x86_64-unknown-linux-gnu", nil},
		{"rustup, variable", func(w *world) string { w.env["RUSTUP_TOOLCHAIN"] = "nightly"; return w.rustup() }, rust + "nightly-x86_64-unknown-linux-gnu/bin/cargo", rust + "nightly-x86_64-unknown-linux-gnu", []string{"$RUSTUP_TOOLCHAIN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			shim := c.make(w)
			// Seeing the shim alone, even, is not enough.
			for _, v := range []*Mounts{w.view(), w.view(strings.TrimPrefix(filepath.Dir(shim), w.root+"/"))} {
				_, err := w.resolve(shim, v)
				w.refused(err, NotVisible, w.at(c.real), []string{c.grant}, append(c.words, w.at(c.real))...)
			}
			// What --toolchain adds makes the real one run.
			in, err := Toolchain(shim, w.surroundings())
			if err != nil {
				t.Fatal(err)
			}
			if in.Program != w.at(c.real) {
				t.Errorf("program %q, want %q", in.Program, w.at(c.real))
			}
			var read []string
			for _, d := range in.Dirs {
				read = append(read, strings.TrimPrefix(d, w.root+"/"))
			}
			if c.grant == c.real { // a file of the system, without an installation
				read = append(read, c.real)
			}
			if !slices.Equal(read, []string{c.grant}) {
				t.Errorf("grants %q, want %q", read, c.grant)
			}
			x, err := w.resolve(in.Program, w.view(read...))
			if err != nil || x.Guest != w.at(c.real) {
				t.Errorf("%+v, %v", x, err)
			}
			// The shim is still no other name for it.
			if _, err := w.resolve(shim, w.view(read...)); err == nil {
				t.Error("the shim was replaced by the real program")
			}
		})
	}
}

// TestShimUndecided: what cannot be known is said, with what there is.
func TestShimUndecided(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(w *world) string
		words []string
	}{
		{"pyenv without that version", func(w *world) string { w.env["PYENV_VERSION"] = "2.7.1"; return w.pyenv("3.9.1") },
			[]string{"pyenv chooses 2.7.1 by $PYENV_VERSION, and that has no python3", "WORLD/home/u/.pyenv/versions/3.9.1/bin/python3"}},
		{"rustup without a default", func(w *world) string {
			p := w.rustup()
			w.file("home/u/.rustup/settings.toml", "", 0o644)
			return p
		}, []string{"no toolchain is chosen"}},
		{"volta without a version", func(w *world) string {
			w.program("home/u/.volta/bin/volta-shim")
			return w.link("home/u/.volta/bin/node", "volta-shim")
		}, []string{"not known", "install it with volta"}},
		{"mise with two", func(w *world) string {
			for _, v := range []string{"20.1.0", "22.0.0"} {
				w.program("home/u/mise/installs/node/" + v + "/bin/node")
			}
			return w.link("home/u/mise/shims/node", w.program("usr/bin/mise"))
		}, []string{"20.1.0/bin/node", "22.0.0/bin/node"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			shim := c.make(w)
			_, err := w.resolve(shim, w.view())
			w.refused(err, NoInterpreter, "", nil, c.words...)
			_, err = Toolchain(shim, w.surroundings())
			w.refused(err, NoInterpreter, "", nil, c.words...)
		})
	}
}

// TestShimVisible: a shim that the guest sees with all it needs runs as it is.
func TestShimVisible(t *testing.T) {
	w := newWorld(t)
	w.file("home/u/.pyenv/version", "3.9.1", 0o644)
	shim := w.pyenv("3.9.1")
	x, err := w.resolve(shim, w.view("home/u/.pyenv"))
	if err != nil || x.Guest != shim {
		t.Errorf("%+v, %v", x, err)
	}
}

// TestShimInterpreter: a shim behind a #! line is found out as well.
func TestShimInterpreter(t *testing.T) {
	w := newWorld(t)
	w.file("home/u/.pyenv/version", "3.9.1", 0o644)
	shim := w.pyenv("3.9.1")
	p := w.file("project/x.py", "#!"+shim+"\n", 0o755)
	_, err := w.resolve(p, w.view("project"))
	w.refused(err, NotVisible, "WORLD/home/u/.pyenv/versions/3.9.1/bin/python3", []string{"home/u/.pyenv/versions/3.9.1"}, "a shim of pyenv for")

	w.env["PATH"] = filepath.Dir(shim)
	w.file("project/x.py", "#!/usr/bin/env python3\n", 0o755)
	w.path = "/nowhere"
	_, err = w.resolve(p, w.view("project"))
	w.refused(err, NotVisible, "", []string{"home/u/.pyenv/versions/3.9.1"}, "WORLD/home/u/.pyenv/versions/3.9.1/bin/python3 (by pyenv)")
}

// TestVenv: an interpreter of a virtual environment needs the environment and its
// base, and is not replaced by the base.
func TestVenv(t *testing.T) {
	w := newWorld(t)
	python := w.venv("project/venv", "opt/py3", "3.11")
	for _, c := range []struct {
		name   string
		read   []string
		grants []string
	}{
		{"nothing", nil, []string{"project/venv", "opt/py3"}},
		{"environment", []string{"project/venv"}, []string{"opt/py3"}},
		{"base", []string{"opt/py3"}, []string{"project/venv"}},
		{"links without settings", []string{"project/venv/bin", "opt/py3"}, []string{"project/venv"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.resolve(python, w.view(c.read...))
			w.refused(err, NotVisible, "", c.grants, "the virtual environment WORLD/project/venv", "--toolchain")
		})
	}
	x, err := w.resolve(python, w.view("project/venv", "opt/py3"))
	if err != nil || x.Guest != python {
		t.Errorf("%+v, %v", x, err)
	}
	in, err := Toolchain(python, w.surroundings())
	if err != nil || in.Program != python || !slices.Equal(in.Dirs, []string{w.at("project/venv"), w.at("opt/py3")}) {
		t.Errorf("toolchain %+v, %v", in, err)
	}
	script := w.file("project/venv/bin/pytest", "#!"+python+"\n", 0o755)
	in, err = Toolchain(script, w.surroundings())
	if err != nil || in.Program != script || !slices.Equal(in.Dirs, []string{w.at("project/venv"), w.at("opt/py3")}) {
		t.Errorf("toolchain of a script %+v, %v", in, err)
	}
	t.Run("base is gone", func(t *testing.T) {
		w := newWorld(t)
		w.program("project/venv/bin/python")
		w.file("project/venv/pyvenv.cfg", "home = WORLD/gone/bin\n", 0o644)
		_, err := w.resolve(w.at("project/venv/bin/python"), w.view("project"))
		w.refused(err, NoInterpreter, "WORLD/gone/bin", nil, "make it anew")
	})
}

func TestPrefix(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		make func() string
		want string
	}{
		{"python", func() string { return w.python("opt/py", "3.12") }, "opt/py"},
		{"node", func() string { w.mkdir("opt/node/lib/node_modules"); return w.program("opt/node/bin/node") }, "opt/node"},
		{"npm", func() string {
			w.program("opt/node/lib/node_modules/npm/bin/npm-cli.js")
			return w.link("opt/node/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js")
		}, "opt/node"},
		{"java", func() string {
			w.file("opt/jdk/release", "JAVA_VERSION=\"17\"\n", 0o644)
			return w.program("opt/jdk/bin/java")
		}, "opt/jdk"},
		{"go", func() string { w.file("opt/go/VERSION", "go1.26\n", 0o644); return w.program("opt/go/bin/go") }, "opt/go"},
		{"go's tool", func() string { return w.program("opt/go/pkg/tool/linux_amd64/compile") }, "opt/go"},
		{"rust", func() string { w.mkdir("opt/rust/lib/rustlib"); return w.program("opt/rust/bin/rustc") }, "opt/rust"},
		{"homebrew", func() string {
			w.program("brew/Cellar/jq/1.7/bin/jq")
			return w.link("brew/bin/jq", "../Cellar/jq/1.7/bin/jq")
		}, "brew"},
		{"some installation", func() string { w.mkdir("opt/x/share"); return w.program("opt/x/bin/x") }, "opt/x"},
		{"shape alone", func() string { return w.program("opt/y/bin/y") }, ""},
		{"no bin", func() string { w.mkdir("opt/z/lib"); return w.program("opt/z/z") }, ""},
		{"home", func() string { w.mkdir("home/u/lib/python3.12"); return w.program("home/u/bin/x") }, ""},
		{"above the home", func() string { w.mkdir("home/lib/python3.12"); return w.program("home/bin/x") }, ""},
		{"another's home", func() string {
			w.mkdir("home2/v/.ssh")
			w.mkdir("home2/v/lib/python3.12")
			return w.program("home2/v/bin/x")
		}, ""},
		{"local", func() string { w.mkdir("home/u/.local/share"); return w.program("home/u/.local/bin/x") }, ""},
		{"pip's user directory", func() string { w.mkdir("home/u/.local/lib/python3.12"); return w.program("home/u/.local/bin/pytest") }, ""},
		{"environment that is a project", func() string {
			w.mkdir("project/p/.git")
			w.file("project/p/pyvenv.cfg", "", 0o644)
			return w.program("project/p/bin/python")
		}, ""},
		{"cargo", func() string { w.mkdir("home/u/.cargo/lib"); return w.program("home/u/.cargo/bin/x") }, ""},
		{"missing", func() string { return w.at("no/bin/x") }, ""},
		{"system", func() string { return "/bin/sh" }, ""},
	} {
		p := c.make()
		got, ok := Prefix(p)
		want := c.want
		if want != "" {
			want = w.at(want)
		}
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v, want %q", c.name, got, ok, want)
		}
	}
}

// TestToolchainTrustsNoFile: a #! line or a pyvenv.cfg cannot choose a directory to
// be read that is no installed runtime.
func TestToolchainTrustsNoFile(t *testing.T) {
	w := newWorld(t)
	w.mkdir("desk/secrets/lib")
	w.program("desk/secrets/bin/python3")
	script := w.file("project/x", "#!WORLD/desk/secrets/bin/python3\n", 0o755)
	w.file("project/venv/pyvenv.cfg", "home = WORLD/desk/secrets/bin\n", 0o644)
	w.program("project/venv/bin/python")
	for _, c := range []struct {
		program string
		want    []string
	}{{script, nil}, {w.at("project/venv/bin/python"), []string{w.at("project/venv")}}} {
		in, err := Toolchain(c.program, w.surroundings())
		if err != nil || !slices.Equal(in.Dirs, c.want) {
			t.Errorf("%s: %+v, %v, want %q", c.program, in, err, c.want)
		}
	}
	for _, version := range []string{"../../../../desk/secrets", "/desk/secrets", "3.9.1/../../../../../desk/secrets", "."} {
		w.env["PYENV_VERSION"] = version
		if in, err := Toolchain(w.pyenvOnce(), w.surroundings()); err == nil {
			t.Errorf("PYENV_VERSION=%s: %+v", version, in)
		}
	}
}

// pyenvOnce installs one version of Python with pyenv, unless it is there.
func (w *world) pyenvOnce() string {
	if shim := w.at("home/u/.pyenv/shims/python3"); exists(shim) {
		return shim
	}
	return w.pyenv("3.9.1")
}

// TestErrorsAreWhole: a refusal of Toolchain or Resolve is an *Error and never a
// nil one in an interface.
func TestErrorsAreWhole(t *testing.T) {
	w := newWorld(t)
	p := w.program("x")
	if _, err := w.resolve(p, w.view("x")); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := Toolchain(p, w.surroundings()); err != nil {
		t.Errorf("%v", err)
	}
	_, err := Toolchain(w.at("none"), w.surroundings())
	var e *Error
	if !errors.As(err, &e) || e.Kind != NotFound {
		t.Errorf("%v", err)
	}
	if s := fmt.Sprint(&Error{Path: "p", Problem: "is", Fix: "do"}); s != "p: is; do" {
		t.Errorf("%q", s)
	}
}
