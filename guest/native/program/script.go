package program

import (
	"bytes"
	"strings"
)

const (
	// scriptHead is how much of a file the kernel looks at for its #! line.
	scriptHead = 256
	// maxDepth is how many files with a #! line may stand one behind another.
	maxDepth = 5
)

// shebang is a #! line as the kernel splits it.
type shebang struct {
	interp string
	arg    string // one, whatever blanks are in it; "" if there is none
}

// parseShebang reads the #! line at the start of head, which holds as much of the
// file as there is, by the rules of fs/binfmt_script.c. A problem completes "the
// script …".
func parseShebang(head []byte) (s shebang, problem, fix string) {
	var buf [scriptHead]byte
	copy(buf[:], head)
	line := buf[2 : scriptHead-1]
	if i := bytes.IndexByte(buf[:], '\n'); i >= 0 {
		line = buf[2:i]
	} else {
		// Without a line's end the path must be seen to end, or it might be cut off.
		rest := bytes.TrimLeft(buf[2:], " \t")
		if len(rest) == 0 || !bytes.ContainsAny(rest, " \t\x00") {
			return s, "has a #! line that is longer than the kernel reads (256 bytes)", "shorten the path of its interpreter, e.g. with #!/usr/bin/env"
		}
	}
	line = bytes.TrimLeft(bytes.TrimRight(line, " \t"), " \t")
	if i := bytes.IndexAny(line, " \t\x00"); i >= 0 {
		s.interp = string(line[:i])
		if line[i] != 0 {
			arg := bytes.TrimLeft(line[i:], " \t")
			if j := bytes.IndexByte(arg, 0); j >= 0 {
				arg = arg[:j]
			}
			s.arg = string(arg)
		}
	} else {
		s.interp = string(line)
	}
	if s.interp == "" {
		return s, "has a #! line that names no interpreter", "write one after #!, e.g. #!/bin/sh"
	}
	return s, "", ""
}

// isEnv reports whether the interpreter is env, which looks for a command itself.
func (s *shebang) isEnv() bool { return s.interp[strings.LastIndexByte(s.interp, '/')+1:] == "env" }

// envCommand returns the command that env is given by the argument of a #! line,
// and the PATH that it sets for it, "" if it sets none. Without -S the whole
// argument is one word.
func envCommand(arg string) (command, path string, problem string) {
	words := []string{arg}
	split := func(s string) bool {
		w, ok := splitWords(s)
		words = w
		return ok
	}
	if s, ok := envSplit(arg); ok && !split(s) {
		return "", "", "has an env -S line with a quote that is not closed"
	}
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		name, value, assigns := strings.Cut(w, "=")
		switch {
		case w == "" || w == "-" || w == "-i" || w == "--ignore-environment" || w == "-v" || w == "--debug" || w == "--":
		case w == "-u" || w == "--unset" || w == "-C" || w == "--chdir" || w == "-a" || w == "--argv0":
			if len(words) > 0 {
				words = words[1:]
			}
		case strings.HasPrefix(w, "-"):
		case assigns:
			if name == "PATH" {
				path = value
			}
		default:
			if strings.ContainsAny(w, " \t") {
				return "", "", "has a #! line that hands env one word, \"" + w + "\": Linux passes what follows the interpreter as a single argument"
			}
			return w, path, ""
		}
	}
	return "", "", "has a #! line that gives env no command"
}

// envSplit returns what stands after -S in the argument of a #! line.
func envSplit(arg string) (string, bool) {
	for _, p := range [...]string{"-S", "--split-string=", "-vS", "-iS", "-ivS", "-viS"} {
		if rest, ok := strings.CutPrefix(arg, p); ok {
			return rest, true
		}
	}
	return "", false
}

// splitWords splits as env -S does, without its variables and rarer escapes.
func splitWords(s string) (words []string, closed bool) {
	var w strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			if s[i] == '_' && quote == 0 { // a blank that separates
				if in {
					words = append(words, w.String())
					w.Reset()
					in = false
				}
				continue
			}
			w.WriteByte(s[i])
			in = true
		case quote != 0:
			w.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f':
			if in {
				words = append(words, w.String())
				w.Reset()
				in = false
			}
		case c == '#' && !in:
			return words, true
		default:
			w.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, w.String())
	}
	return words, quote == 0
}
