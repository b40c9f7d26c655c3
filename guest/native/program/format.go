package program

import (
	"bytes"
	"fmt"
	"io/fs"
	"unicode/utf8"
)

// form is what the first bytes of a file show it to be.
type form uint8

const (
	formOther form = iota
	formELF
	formScript
)

// headSize is how much of a file is looked at to tell what it is.
const headSize = 4096

// classify tells what a file with these first bytes is. If it is nothing that can
// be executed, the error says what it is and what would run it.
func classify(path string, head []byte) (form, *Error) {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	not := func(problem, fix string) (form, *Error) {
		return formOther, &Error{Kind: NotRunnable, Problem: problem, Fix: fix}
	}
	foreign := func(system string) (form, *Error) {
		return formOther, &Error{Kind: WrongArch, Problem: "is a program for " + system + ", this system is Linux", Fix: "build or install it for Linux on " + hostArch()}
	}
	switch {
	case len(head) == 0:
		return not("is empty", "build or copy it again")
	case has("\x7fELF"):
		return formELF, nil
	case has("#!"):
		return formScript, nil
	case has("\xef\xbb\xbf#!"):
		return not("begins with a byte order mark, so that its #! line is not seen", "save it as UTF-8 without one")
	case has("\xff\xfe") || has("\xfe\xff"):
		return not("is text in UTF-16", "save it as UTF-8 with a #! line")
	case has("\x00asm"):
		return not("is a WebAssembly module", "leave --domain native out")
	case has("MZ"):
		return foreign("Windows")
	case has("\xca\xfe\xba\xbe") && len(head) >= 8 && head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] < 32,
		has("\xcf\xfa\xed\xfe"), has("\xce\xfa\xed\xfe"), has("\xfe\xed\xfa\xcf"), has("\xfe\xed\xfa\xce"):
		return foreign("macOS")
	case has("\xca\xfe\xba\xbe"):
		return not("is a Java class", "run it with java, which takes its name without .class")
	case has("PK\x03\x04"):
		return not("is a zip archive", "unpack it first; a JAR is run with java -jar, a Python application with python3")
	case has("\x1f\x8b"), has("\x28\xb5\x2f\xfd"), has("\xfd7zXZ\x00"), has("BZh"):
		return not("is compressed", "unpack it first")
	case has("!<arch>\n"):
		return not("is a library archive or a Debian package, not a program", "link or install it")
	case has("BC\xc0\xde"):
		return not("is LLVM bitcode", "compile it, or run it with lli")
	case len(head) >= 4 && head[2] == '\r' && head[3] == '\n' && !isText(head):
		return not("is Python bytecode", "run it with python3")
	case isHTML(head):
		return not("is an HTML page: the download went wrong", "download it again")
	case isText(head):
		return not("is text without a #! line, and the kernel cannot tell what runs it", "begin it with one, e.g. #!/bin/sh, or name the interpreter: agentos run sh "+quote(path))
	}
	return not("is not in a format that this system runs", "name a program, or the interpreter that runs this")
}

func isHTML(head []byte) bool {
	t := bytes.ToLower(bytes.TrimLeft(head[:min(len(head), 256)], " \t\r\n"))
	return bytes.HasPrefix(t, []byte("<!doctype html")) || bytes.HasPrefix(t, []byte("<html"))
}

// isText reports whether head could be the beginning of a text in UTF-8.
func isText(head []byte) bool {
	for i := 0; i < len(head); {
		c, n := utf8.DecodeRune(head[i:])
		if c == utf8.RuneError && n == 1 && len(head)-i >= utf8.UTFMax {
			return false // not only cut off at the end
		}
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\x1b' {
			return false
		}
		i += n
	}
	return true
}

// irregular says what a file is that is none to read.
func irregular(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "is a directory"
	case m&fs.ModeNamedPipe != 0:
		return "is a named pipe, not a file"
	case m&fs.ModeSocket != 0:
		return "is a socket, not a file"
	case m&fs.ModeDevice != 0:
		return "is a device, not a file"
	}
	return fmt.Sprintf("is not a regular file (%s)", m.Type())
}
