package cli

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Exit statuses of the tool itself.
const (
	statusRefused     = 125
	statusNotRunnable = 126
	statusNotFound    = 127
	statusSignal      = 128
)

// Failure is an error of the tool with the status it ends with: where, what is
// wrong, and what to do.
type Failure struct {
	Status  int
	Code    Code
	Where   string // the flag, file, or command concerned
	Problem string
	Fix     string // may be empty
	Err     error
}

// Error returns the whole sentence, with its code.
func (f *Failure) Error() string {
	var b strings.Builder
	if f.Where != "" {
		b.WriteString(f.Where)
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Fix != "" {
		b.WriteString("; ")
		b.WriteString(f.Fix)
	}
	b.WriteString(" [")
	b.WriteString(string(f.Code))
	b.WriteString("]")
	return b.String()
}

// Unwrap returns the underlying error.
func (f *Failure) Unwrap() error { return f.Err }

// refuse returns a Failure with status 125.
func refuse(code Code, where, problem, fix string) *Failure {
	return &Failure{Status: statusRefused, Code: code, Where: where, Problem: problem, Fix: fix}
}

// split cuts a sentence of the form "problem; fix".
func split(err error) (problem, fix string) {
	problem, fix, _ = strings.Cut(err.Error(), "; ")
	return problem, fix
}

// asFailure returns err as a Failure, whatever it is.
func asFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Status: statusRefused, Code: CodeSetup, Problem: err.Error(), Err: err}
}

// printable returns s on one line, with everything escaped that a terminal would
// obey rather than show: a program chooses the paths that its denials quote.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r != utf8.RuneError && unicode.IsPrint(r) {
			b.WriteString(s[:n])
		} else {
			q := strconv.QuoteToASCII(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
