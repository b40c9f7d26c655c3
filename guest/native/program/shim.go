package program

import (
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// shim is a program that only decides which other to run. What it would decide is
// read from the files and variables that it would read; it is never run.
type shim struct {
	tool    string
	real    string // the program that it would run, "" if that is not known
	by      string // what decided: a variable or a file
	service bool   // it hands over to a service of the host, which no grant replaces
	problem string // why real is not known
	fix     string
}

func (s *shim) what() string {
	if s.service {
		return "a launcher of " + s.tool
	}
	return "a shim of " + s.tool
}

// findShim tells whether one of the names of a program belongs to a version
// manager, nil if not.
func findShim(names []string, s *Surroundings) *shim {
	real := names[len(names)-1]
	switch base := filepath.Base(real); {
	case real == "/usr/bin/snap" && filepath.Base(names[0]) != "snap":
		return &shim{tool: "snap", service: true, problem: "it starts its program through snapd, which no guest can reach", fix: "install the program in another way, e.g. with the system's package manager"}
	case strings.Contains(real, "/flatpak/exports/bin/"):
		return &shim{tool: "flatpak", service: true, problem: "it starts its program through flatpak, which no guest can do", fix: "install the program in another way, e.g. with the system's package manager"}
	case base == "volta-shim":
		return volta(names, s)
	case base == "mise" && filepath.Base(names[0]) != "mise":
		return mise(names, s)
	}
	for _, n := range names {
		dir := dirOf(n)
		if filepath.Base(dir) == "shims" {
			if sh := inShims(filepath.Dir(dir), filepath.Base(n), real, s); sh != nil {
				return sh
			}
		}
	}
	return rustup(names, s)
}

// family is a version manager of the kind of rbenv.
type family struct{ tool, variable, file string }

func families() []family {
	return []family{
		{"pyenv", "PYENV_VERSION", ".python-version"}, {"rbenv", "RBENV_VERSION", ".ruby-version"},
		{"nodenv", "NODENV_VERSION", ".node-version"}, {"goenv", "GOENV_VERSION", ".go-version"},
		{"jenv", "JENV_VERSION", ".java-version"}, {"plenv", "PLENV_VERSION", ".perl-version"},
		{"phpenv", "PHPENV_VERSION", ".php-version"},
	}
}

// inShims answers for a file in ROOT/shims.
func inShims(root, name, real string, s *Surroundings) *shim {
	text, _ := readSmall(real) // the shim's own text, if it is one
	if strings.Contains(text, "asdf") {
		return asdf(root, name, text, s)
	}
	for _, f := range families() {
		if !strings.Contains(text, f.tool) && !strings.Contains(filepath.Base(root), f.tool) || !isDir(filepath.Join(root, "versions")) {
			continue
		}
		return f.choose(root, name, s)
	}
	return nil
}

// choose decides as `pyenv exec` and its relatives do: a variable, a file in the
// caller's directory or above it, the file of the whole user, the system.
func (f *family) choose(root, name string, s *Surroundings) *shim {
	sh := &shim{tool: f.tool}
	wanted, by := strings.FieldsFunc(s.env(f.variable), func(c rune) bool { return c == ':' }), "$"+f.variable
	if len(wanted) == 0 {
		var text string
		if text, by = above(s.Dir, f.file); by == "" {
			by = filepath.Join(root, "version")
			text, _ = readSmall(by)
		}
		wanted = words(text)
	}
	if len(wanted) == 0 {
		wanted, by = []string{"system"}, "no version is set"
	} else {
		by = strings.Join(wanted, ":") + " by " + by
	}
	sh.by = by
	for _, v := range wanted {
		if v == "system" {
			if p := onPath(name, filepath.Join(root, "shims"), s); p != "" {
				sh.real = p
				return sh
			}
			continue
		}
		if dir := version(filepath.Join(root, "versions"), strings.TrimPrefix(v, "python-")); dir != "" {
			if p := filepath.Join(dir, "bin", name); runnable(p) {
				sh.real = p
				return sh
			}
		}
	}
	sh.problem = f.tool + " chooses " + by + ", and that has no " + name
	sh.offer(filepath.Join(glob(root), "versions", "*", "bin", name))
	return sh
}

// offer names the programs that a pattern finds as what could be meant.
func (s *shim) offer(patterns ...string) {
	var found []string
	for _, p := range patterns {
		f, err := filepath.Glob(p)
		if err != nil {
			continue // a name with brackets in it; nothing is offered
		}
		found = append(found, f...)
	}
	sort.Strings(found)
	if len(found) == 0 {
		s.fix = "install it with " + s.tool
		return
	}
	if len(found) > 4 {
		found = found[len(found)-4:]
	}
	s.fix = "choose a version with " + s.tool + ", or name the program itself: " + strings.Join(found, ", ")
}

// version finds the directory of a version, which may be given in part: 3.11 is
// the highest 3.11.x. A version that is a path is none.
func version(dir, v string) string {
	if v == "" || strings.HasPrefix(v, ".") || strings.HasPrefix(v, "/") || slices.Contains(strings.Split(v, "/"), "..") {
		return ""
	}
	if d := filepath.Join(dir, v); isDir(d) {
		return d
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	best := ""
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, v+".") && (best == "" || newer(n, best)) {
			best = n
		}
	}
	if best == "" {
		return ""
	}
	return filepath.Join(dir, best)
}

// newer compares versions by their numbers.
func newer(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		if len(x[i]) != len(y[i]) {
			return len(x[i]) > len(y[i])
		}
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return len(x) > len(y)
}

// asdf reads the plugin and its versions from the shim's own comments, and the
// choice from a variable or .tool-versions.
func asdf(root, name, text string, s *Surroundings) *shim {
	sh := &shim{tool: "asdf"}
	var patterns []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "# asdf-plugin: ")
		f := strings.Fields(rest)
		if !ok || len(f) < 2 {
			continue
		}
		plugin := f[0]
		installs := filepath.Join(root, "installs", plugin)
		patterns = append(patterns, filepath.Join(glob(installs), "*", "bin", name))
		variable := "ASDF_" + strings.ToUpper(strings.ReplaceAll(plugin, "-", "_")) + "_VERSION"
		wanted, by := strings.Fields(s.env(variable)), "$"+variable
		if len(wanted) == 0 {
			wanted, by = toolVersions(plugin, s)
		}
		for _, v := range wanted {
			p := filepath.Join(installs, v, "bin", name)
			if v == "system" {
				p = onPath(name, filepath.Join(root, "shims"), s)
			} else if version(installs, v) != filepath.Join(installs, v) {
				continue
			}
			if p != "" && runnable(p) {
				sh.real, sh.by = p, v+" by "+by
				return sh
			}
		}
	}
	sh.problem = "no .tool-versions chooses a version that has " + name
	sh.offer(patterns...)
	return sh
}

// toolVersions looks a tool up in the .tool-versions that count.
func toolVersions(tool string, s *Surroundings) (wanted []string, by string) {
	find := func(text string) []string {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if f := strings.Fields(line); len(f) > 1 && f[0] == tool {
				return f[1:]
			}
		}
		return nil
	}
	for d := s.Dir; filepath.IsAbs(d); d = filepath.Dir(d) {
		p := filepath.Join(d, ".tool-versions")
		if text, ok := readSmall(p); ok {
			if w := find(text); w != nil {
				return w, p
			}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if s.Home != "" {
		p := filepath.Join(s.Home, ".tool-versions")
		text, _ := readSmall(p) // there need not be one
		return find(text), p
	}
	return nil, ""
}

// above finds a file in dir or the nearest directory above it.
func above(dir, name string) (text, path string) {
	for d := dir; filepath.IsAbs(d); d = filepath.Dir(d) {
		p := filepath.Join(d, name)
		if text, ok := readSmall(p); ok {
			return text, p
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	return "", ""
}

// words splits a version file: one version a line, # begins a comment.
func words(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		out = append(out, strings.FieldsFunc(line, func(c rune) bool { return c == ':' || c <= ' ' })...)
	}
	return out
}

// onPath finds a program on the caller's PATH, but not in one directory.
func onPath(name, except string, s *Surroundings) string {
	for _, dir := range filepath.SplitList(s.env("PATH")) {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) == except {
			continue
		}
		if p := filepath.Join(dir, name); runnable(p) {
			return p
		}
	}
	return ""
}

// runnable reports whether p is a file that somebody may execute.
func runnable(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
