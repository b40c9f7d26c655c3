package program

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// rustup answers for cargo, rustc, and the others that are rustup by another name.
func rustup(names []string, s *Surroundings) *shim {
	name := filepath.Base(names[0])
	real := names[len(names)-1]
	if name == "rustup" || name == "rustup-init" {
		return nil
	}
	if filepath.Base(real) != "rustup" {
		a, aerr := os.Stat(real)
		b, berr := os.Stat(filepath.Join(filepath.Dir(real), "rustup"))
		if aerr != nil || berr != nil || !os.SameFile(a, b) {
			return nil // not a hard link to it either
		}
	}
	sh := &shim{tool: "rustup"}
	root := s.env("RUSTUP_HOME")
	if root == "" {
		root = filepath.Join(s.Home, ".rustup")
	}
	channel, by := s.env("RUSTUP_TOOLCHAIN"), "$RUSTUP_TOOLCHAIN"
	settings := filepath.Join(root, "settings.toml")
	text, _ := readSmall(settings) // there need not be one
	for d := s.Dir; channel == "" && filepath.IsAbs(d); d = filepath.Dir(d) {
		if channel = tomlString(text, "overrides", d); channel != "" {
			by = settings
			break
		}
		for _, file := range [...]string{"rust-toolchain", "rust-toolchain.toml"} {
			by = filepath.Join(d, file)
			own, ok := readSmall(by)
			if !ok {
				continue
			}
			if channel = tomlString(own, "toolchain", "channel"); channel == "" && !strings.Contains(own, "[") {
				channel = strings.TrimSpace(own)
			}
			if channel != "" {
				break
			}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if channel == "" {
		channel, by = tomlString(text, "", "default_toolchain"), settings
	}
	toolchains := filepath.Join(root, "toolchains")
	sh.by = channel + " by " + by
	if channel != "" && !strings.Contains(channel, "/") && !strings.HasPrefix(channel, ".") {
		dirs := []string{filepath.Join(toolchains, channel)}
		if more, err := filepath.Glob(filepath.Join(glob(toolchains), glob(channel)+"-*-linux-*")); err == nil {
			dirs = append(dirs, more...)
		}
		for _, d := range dirs {
			if p := filepath.Join(d, "bin", name); runnable(p) {
				sh.real = p
				return sh
			}
		}
		sh.problem = "it chooses " + sh.by + ", and that has no " + name
	} else {
		sh.problem = "no toolchain is chosen"
	}
	sh.offer(filepath.Join(glob(toolchains), "*", "bin", name))
	return sh
}

// volta answers for node and its companions, and for the programs of packages that
// volta installed.
func volta(names []string, s *Surroundings) *shim {
	sh := &shim{tool: "volta"}
	name := filepath.Base(names[0])
	root := s.env("VOLTA_HOME")
	if root == "" {
		root = filepath.Dir(dirOf(names[0]))
	}
	tools := filepath.Join(root, "tools")
	var bin struct {
		Package string `json:"package"`
	}
	if text, ok := readSmall(filepath.Join(tools, "user", "bins", name+".json")); ok && json.Unmarshal([]byte(text), &bin) == nil && bin.Package != "" {
		p := filepath.Join(tools, "image", "packages", filepath.Join("/", bin.Package), "bin", name)
		if runnable(p) {
			sh.real, sh.by = p, "package "+bin.Package
			return sh
		}
	}
	var project struct {
		Volta struct {
			Node string `json:"node"`
		} `json:"volta"`
	}
	var user struct {
		Node struct {
			Runtime string `json:"runtime"`
		} `json:"node"`
	}
	chosen := ""
	if text, by := above(s.Dir, "package.json"); by != "" && json.Unmarshal([]byte(text), &project) == nil && project.Volta.Node != "" {
		chosen, sh.by = project.Volta.Node, by
	} else {
		sh.by = filepath.Join(tools, "user", "platform.json")
		if text, ok := readSmall(sh.by); ok && json.Unmarshal([]byte(text), &user) == nil {
			chosen = user.Node.Runtime
		}
	}
	images := filepath.Join(tools, "image", "node")
	if chosen != "" && version(images, chosen) == filepath.Join(images, chosen) {
		if p := filepath.Join(images, chosen, "bin", name); runnable(p) {
			sh.real, sh.by = p, chosen+" by "+sh.by
			return sh
		}
	}
	sh.problem = "the version that it chooses is not known"
	sh.offer(filepath.Join(glob(images), "*", "bin", name))
	return sh
}

// mise answers for a link in its shims directory, which is mise itself.
func mise(names []string, s *Surroundings) *shim {
	sh := &shim{tool: "mise"}
	name := filepath.Base(names[0])
	root := s.env("MISE_DATA_DIR")
	if root == "" {
		root = filepath.Dir(dirOf(names[0]))
	}
	installs := filepath.Join(root, "installs")
	pattern := filepath.Join(glob(installs), "*", "*", "bin", name)
	found, err := filepath.Glob(pattern)
	if err != nil {
		found = nil // a name with brackets in it; nothing is found by it
	}
	real := map[string]bool{}
	tools := map[string]bool{}
	for _, p := range found {
		if r, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil && runnable(p) {
			real[filepath.Join(r, name)] = true
			tools[filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(p))))] = true
		}
	}
	for tool := range tools {
		wanted, by := miseWants(tool, s)
		if d := version(filepath.Join(installs, tool), wanted); d != "" && runnable(filepath.Join(d, "bin", name)) {
			sh.real, sh.by = filepath.Join(dirOf(filepath.Join(d, "bin", name)), name), wanted+" by "+by
			return sh
		}
	}
	if len(real) == 1 && len(tools) == 1 {
		for p := range real {
			sh.real, sh.by = p, "the only one installed"
		}
		return sh
	}
	sh.problem = "the version that it chooses is not known"
	sh.offer(pattern)
	return sh
}

// miseWants returns the version of a tool that mise is told to use.
func miseWants(tool string, s *Surroundings) (version, by string) {
	variable := "MISE_" + strings.ToUpper(strings.ReplaceAll(tool, "-", "_")) + "_VERSION"
	if v := s.env(variable); v != "" {
		return v, "$" + variable
	}
	for d := s.Dir; filepath.IsAbs(d); d = filepath.Dir(d) {
		for _, file := range [...]string{"mise.toml", ".mise.toml"} {
			p := filepath.Join(d, file)
			if text, ok := readSmall(p); ok {
				if v := tomlString(text, "tools", tool); v != "" {
					return v, p
				}
			}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if w, by := toolVersions(tool, s); len(w) > 0 {
		return w[0], by
	}
	p := filepath.Join(s.Home, ".config", "mise", "config.toml")
	text, _ := readSmall(p) // there need not be one
	return tomlString(text, "tools", tool), p
}

// tomlString finds key = "value" in one table of a TOML document, or the first
// string of a list. It knows as much of TOML as the settings of version managers
// use; what it does not know it does not find.
func tomlString(text, table, key string) string {
	at := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			at = strings.Trim(line, "[] \t")
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok || at != table || strings.Trim(strings.TrimSpace(k), `"'`) != key {
			continue
		}
		v = strings.TrimLeft(v, " \t[")
		if v == "" || v[0] != '"' && v[0] != '\'' {
			continue
		}
		if end := strings.IndexByte(v[1:], v[0]); end >= 0 {
			return v[1 : 1+end]
		}
	}
	return ""
}
