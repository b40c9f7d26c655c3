package cli

import (
	"fmt"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxLines bounds the denials and the frames that are printed after a run. The
// report has them all.
const maxLines = 10

// explain says how a run ended, where the program's own status does not, and
// what was refused it.
func (inv *invocation) explain(r *agentos.Report, sp *agentos.Spec) {
	for _, d := range r.Degraded {
		inv.screen.noteOnce(d)
	}
	for i, d := range r.Denials {
		if i == maxLines {
			inv.screen.note(yellow, fmt.Sprintf("%d more kinds of denial; --report FILE lists them all", len(r.Denials)-i))
			break
		}
		inv.screen.note(yellow, denialLine(&d))
	}
	if line := causeLine(r, &sp.Limits); line != "" {
		// How a run ended against its will is an error, which --quiet
		// leaves.
		inv.screen.line(red, line)
	}
	if broke(r) {
		inv.backtrace(r.Backtrace)
	}
	for _, e := range r.Cleanup.Errors {
		inv.screen.line(red, "cleanup: "+e)
	}
}

// broke reports whether a run ended by something that went wrong at one place,
// the program's doing or ours. For every other end one line is enough; where the
// program was then is in the report.
func broke(r *agentos.Report) bool {
	return r.Cause == abi.CauseFault.String() || r.Cause == abi.CauseKernelError.String()
}

// backtrace says where, innermost first.
func (inv *invocation) backtrace(frames []string) {
	for i, f := range frames {
		if i == maxLines {
			inv.screen.line("", fmt.Sprintf("  … %d more frames", len(frames)-i))
			return
		}
		inv.screen.line("", "  at "+f)
	}
}

// denialLine folds one kind of denial into a line, with the flag that would
// grant it.
func denialLine(d *agentos.Denial) string {
	var b strings.Builder
	b.WriteString("denied " + d.Syscall)
	if what := subject(d); what != "" {
		b.WriteString(" " + what)
	}
	if d.Count > 1 {
		fmt.Fprintf(&b, " (%d times)", d.Count)
	}
	if d.Errno != "" {
		b.WriteString(": " + d.Errno)
	}
	switch {
	case d.Grant != "":
		b.WriteString("; " + d.Grant + " would allow it")
	case d.Rule != "":
		b.WriteString("; " + d.Rule + ", which no flag lifts")
	}
	if d.Code != "" {
		b.WriteString(" [" + d.Code + "]")
	}
	return b.String()
}

// subject is what a denial was about, as an absolute path where there is one: a
// program often names a path relative to a directory that it holds.
func subject(d *agentos.Denial) string {
	if d.Canonical != "" && !strings.HasPrefix(d.Requested, "/") {
		return d.Canonical
	}
	return d.Requested
}

// causeLine is the one line that says why a run ended, "" for one that exited by
// itself.
func causeLine(r *agentos.Report, l *agentos.Limits) string {
	cause, ok := abi.ParseCause(r.Cause)
	if !ok {
		return "ended: " + r.Cause + detail(r)
	}
	of := func(set bool, limit string) string {
		if set {
			return " of " + limit
		}
		return ""
	}
	switch cause {
	case abi.CauseExited, abi.CauseNone:
		return ""
	case abi.CauseTimeout:
		after := ""
		if l.Timeout > 0 {
			after = " after " + l.Timeout.String()
		}
		return "timeout" + after + "; --timeout sets it"
	case abi.CauseCPULimit:
		return "processor time limit" + of(l.CPUTime > 0, l.CPUTime.String()) + " reached; --cpu-time sets it"
	case abi.CauseMemoryLimit:
		return "memory limit" + of(l.Memory > 0, formatBytes(l.Memory)) + " reached" + detail(r) + "; --memory sets it"
	case abi.CauseOutputLimit:
		return "output limit" + of(l.Output > 0, formatBytes(l.Output)) + " reached; --output sets it"
	case abi.CauseSignaled:
		return "ended by SIG" + abi.Signal(r.Signal).String() + detail(r)
	case abi.CauseKilled:
		return "killed" + detail(r)
	case abi.CausePolicy:
		return "ended by policy" + detail(r)
	case abi.CauseFault:
		return "fault" + detail(r)
	case abi.CauseSetupFailed:
		return "could not be set up" + detail(r)
	case abi.CauseKernelError:
		return "the kernel failed while it ran" + detail(r)
	default:
		return "ended: " + r.Cause + detail(r)
	}
}

func detail(r *agentos.Report) string {
	if r.Detail == "" {
		return ""
	}
	return ": " + r.Detail
}
