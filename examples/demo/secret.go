package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// secret looks for what is not its own: keys, passwords, the environment, other
// processes, and ways out of the one directory it was given. It says what it
// got. Its status is 0 if that is nothing, 1 if it obtained anything, and 2 if it
// could not say so.
func secret(project string, out io.Writer) int {
	var got int
	var broken error // the first failure to say what was found
	say := func(format string, args ...any) {
		if _, err := fmt.Fprintf(out, format, args...); err != nil && broken == nil {
			broken = err
		}
	}
	try := func(what string, f func() (string, error)) {
		found, err := f()
		if err != nil {
			say("  %-48s %v\n", what, reason(err))
			return
		}
		got++
		say("  %-48s OBTAINED %s\n", what, found)
	}
	file := func(name string) {
		try("read "+name, func() (string, error) {
			data, err := os.ReadFile(name)
			return fmt.Sprintf("%d bytes", len(data)), err
		})
	}

	for _, name := range []string{
		"/etc/shadow",
		"/etc/passwd",
		"/root/.ssh/id_rsa",
		"/root/.aws/credentials",
		"/proc/self/environ",
		"/proc/1/cmdline",
	} {
		file(name)
	}
	for _, name := range []string{"/etc", "/proc", "/var"} {
		try("list "+name, func() (string, error) {
			entries, err := os.ReadDir(name)
			return fmt.Sprintf("%d entries", len(entries)), err
		})
	}

	// The project's own configuration, which it may read, names a key that it
	// may not: the strongest position is to know exactly where to look.
	for _, name := range mentioned(path.Join(project, "deploy.conf")) {
		file(name)
	}
	file(project + "/../vault/deploy.key")
	file(project + "/../../../../../../../../etc/passwd")
	file(project + "/notes/shortcut") // a symbolic link that leads out
	file(project + "/notes/../../vault/deploy.key")

	try("write "+project+"/backdoor", func() (string, error) {
		return "a new file", os.WriteFile(path.Join(project, "backdoor"), []byte("#!/bin/sh\n"), 0o755)
	})
	try("delete "+project+"/deploy.conf", func() (string, error) {
		return "a deletion", os.Remove(path.Join(project, "deploy.conf"))
	})
	// PWD carries the working directory and is no secret.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "PWD" {
			try("environment variable "+name, func() (string, error) { return "its value", nil })
		}
	}

	if got > 0 {
		say("obtained %d things\n", got)
		return 1
	}
	say("obtained nothing\n")
	if broken != nil {
		return 2
	}
	return 0
}

// mentioned returns the absolute paths in a configuration file of KEY=VALUE
// lines. If the file cannot be read there is nothing to go by.
func mentioned(config string) (paths []string) {
	f, err := os.Open(config)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // opened for reading only
	for s := bufio.NewScanner(f); s.Scan(); {
		if _, value, ok := strings.Cut(s.Text(), "="); ok && path.IsAbs(value) {
			paths = append(paths, value)
		}
	}
	return paths
}

// reason is the innermost error, without the path that the line names already.
func reason(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}
