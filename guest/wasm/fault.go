package wasm

import (
	"errors"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// wazero prints a trap as "wasm error: REASON\nwasm stack trace:\n\tFRAME\n\t…",
// innermost frame first, and a panic of a host function as "TEXT (recovered by
// wazero)\n…". Its error type is internal, so the text is the interface; a test
// holds it for the version in use.
const (
	trapPrefix = "wasm error: "
	tracePart  = "\nwasm stack trace:\n\t"
	hostPanic  = " (recovered by wazero)"
)

// traps rewords wazero's reasons the way a person would say them.
var traps = map[string]string{
	"unreachable":                   "unreachable executed",
	"stack overflow":                "stack overflow",
	"out of bounds memory access":   "out of bounds memory access",
	"invalid table access":          "out of bounds or empty table entry",
	"indirect call type mismatch":   "indirect call of a function of another type",
	"integer divide by zero":        "integer divide by zero",
	"integer overflow":              "integer overflow",
	"invalid conversion to integer": "invalid conversion to integer",
}

// faultOf turns the error of a call into an Exit. An error that is not a trap of
// the guest's is the kernel's own failure.
func faultOf(err error) guest.Exit {
	head, trace, _ := strings.Cut(err.Error(), tracePart)
	var rule brokenRule
	if errors.As(err, &rule) {
		return guest.Exit{Cause: abi.CauseFault, Detail: string(rule), Backtrace: frames(trace)}
	}
	if reason, ok := strings.CutPrefix(head, trapPrefix); ok {
		return guest.Exit{Cause: abi.CauseFault, Detail: trapText(reason), Backtrace: frames(trace)}
	}
	if _, ok := traps[head]; ok { // a stack overflow comes bare
		return guest.Exit{Cause: abi.CauseFault, Detail: trapText(head), Backtrace: frames(trace)}
	}
	return guest.Exit{Cause: abi.CauseKernelError, Detail: strings.TrimSuffix(head, hostPanic), Backtrace: frames(trace)}
}

func trapText(reason string) string {
	if text, ok := traps[reason]; ok {
		return text
	}
	return reason
}

// frames splits a trace into function names, without the types that wazero
// prints behind each and without the Go stack that may follow.
func frames(trace string) (names []string) {
	trace, _, _ = strings.Cut(trace, "\n\n")
	for line := range strings.SplitSeq(trace, "\n") {
		line = strings.TrimPrefix(line, "\t")
		if line == "" || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "... ") {
			continue
		}
		if name := frameName(line); name != yieldFrame {
			names = append(names, name)
		}
	}
	return names
}

// yieldFrame is the frame of the rewriter's import, which is no part of the
// program.
const yieldFrame = rewrite.ImportModule + "." + rewrite.ImportYield

// frameName cuts the signature, "(i32,i64) i32", and the empty module name off.
func frameName(line string) string {
	if i := strings.LastIndexByte(line, ')'); i >= 0 {
		// A result list is parenthesized too, and a name may hold parentheses,
		// so the parameter list is the last group that a name precedes.
		open := strings.LastIndexByte(line[:i+1], '(')
		if open > 0 && line[open-1] == ' ' {
			if j := strings.LastIndexByte(line[:open], '('); j >= 0 {
				open = j
			}
		}
		if open > 0 {
			line = line[:open]
		}
	}
	return strings.TrimPrefix(line, ".")
}

// brokenRule ends a guest for what no instruction of its own traps on.
type brokenRule string

// Error implements error, so that wazero wraps it together with the trace.
func (b brokenRule) Error() string { return string(b) }
