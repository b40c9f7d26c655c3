package cli

import (
	"strconv"
	"time"

	agentos "github.com/agentos-kernel/agentos"
)

// printPlan answers --dry-run on standard output: nothing runs, so that it is
// the tool's.
func (inv *invocation) printPlan(p *agentos.Plan, asJSON bool) error {
	if asJSON {
		return writeJSON(inv.Stdout, p)
	}
	l := &p.Limits
	rows := [][]string{
		{"program", p.Program},
		{"domain", p.Domain},
		{"directory", orNone(p.Dir)},
	}
	if p.Compile != "" {
		rows = append(rows, []string{"compiled first", p.Compile})
	}
	for i, v := range p.View {
		rows = append(rows, []string{first(i, "view"), viewLine(&v)})
	}
	if len(p.View) == 0 {
		rows = append(rows, []string{"view", "nothing"})
	}
	for i, name := range p.Policy {
		rows = append(rows, []string{first(i, "policies"), name})
	}
	for i, name := range p.Env {
		rows = append(rows, []string{first(i, "environment"), name})
	}
	if len(p.Env) == 0 {
		rows = append(rows, []string{"environment", "none"})
	}
	rows = append(rows,
		[]string{"limits", "timeout " + orNone(timeLimit(l.TimeoutNS))},
		[]string{"", "cpu-time " + orNone(timeLimit(l.CPUTimeNS))},
		[]string{"", "memory " + orNone(sizeLimit(l.Memory))},
		[]string{"", "disk " + orNone(sizeLimit(l.Disk))},
		[]string{"", "output " + orNone(sizeLimit(l.Output))},
		[]string{"", "files " + orNone(countLimit(l.Files))},
		[]string{"", "pids " + orNone(countLimit(l.Pids))},
	)
	for i, m := range p.Missing {
		rows = append(rows, []string{first(i, "missing"), m})
	}
	return table(inv.Stdout, rows)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func timeLimit(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Duration(ns).String()
}

func sizeLimit(n uint64) string {
	if n == 0 {
		return ""
	}
	return formatBytes(n)
}

func countLimit(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
