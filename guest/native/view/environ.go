package view

import (
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
)

// systemPath is the PATH of every native program. The caller's own names
// directories that the program does not have.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// handedOn are the variables that a program has from the caller, if set. They say
// how to speak to the person in front of the terminal and where nothing is.
var handedOn = []string{"LANG", "TZ", "TERM", "COLORTERM", "NO_COLOR"}

// Environ returns the environment that a native program of u has without asking,
// sorted. Of the caller's variables (KEY=VALUE; the first of a name counts) it
// takes the language, the time zone, and the terminal's properties.
func Environ(u guest.User, caller []string) []string {
	shell := u.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	env := []string{"PATH=" + systemPath, "HOME=" + u.Home, "USER=" + u.Name, "SHELL=" + shell, "TMPDIR=/tmp"}
	seen := make(map[string]bool)
	for _, kv := range caller {
		key, _, ok := strings.Cut(kv, "=")
		if !ok || seen[key] || !slices.Contains(handedOn, key) && !strings.HasPrefix(key, "LC_") {
			continue
		}
		seen[key] = true
		env = append(env, kv)
	}
	slices.Sort(env)
	return env
}
