package cli

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	agentos "github.com/agentos-kernel/agentos"
)

// printReport prints a report for people.
func printReport(w io.Writer, r *agentos.Report) error {
	rows := [][]string{
		{"run", r.Run},
		{"program", r.Program},
		{"domain", r.Domain},
		{"cause", causeOf(r)},
		{"status", strconv.Itoa(r.ExitCode)},
	}
	if r.Name != "" {
		rows = slices.Insert(rows, 1, []string{"name", r.Name})
	}
	rows = append(rows, usageRows(r)...)
	if r.Captured > 0 {
		rows = append(rows, []string{"captured", fmt.Sprintf("%d changed, as it ended", r.Captured)})
	}
	for i, f := range r.Backtrace {
		rows = append(rows, []string{first(i, "backtrace"), f})
	}
	for i, d := range r.Denials {
		rows = append(rows, []string{first(i, "denials"), denialLine(&d)})
	}
	if r.Audit != nil && r.Audit.Records > 0 {
		rows = append(rows, []string{"audit", r.Audit.Head}, []string{"", r.Audit.File})
	}
	for i, v := range r.View {
		rows = append(rows, []string{first(i, "view"), viewLine(&v)})
	}
	for i, p := range r.Policies {
		rows = append(rows, []string{first(i, "policies"), p})
	}
	names := make([]string, 0, len(r.Enforcement))
	for n := range r.Enforcement {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		rows = append(rows, []string{first(i, "enforcement"), n + ": " + r.Enforcement[n]})
	}
	for i, d := range r.Degraded {
		rows = append(rows, []string{first(i, "degraded"), d})
	}
	return table(w, rows)
}

// first is name on the first of several lines.
func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}

func causeOf(r *agentos.Report) string {
	if r.Detail != "" {
		return r.Cause + ": " + r.Detail
	}
	return r.Cause
}

// usageRows are what a run used and what was cleaned up after it.
func usageRows(r *agentos.Report) [][]string {
	u, c := r.Usage, r.Cleanup
	var kinds []string
	for k := range c.ByType {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%s %d", k, c.ByType[k])
	}
	by := ""
	if len(kinds) > 0 {
		by = " (" + strings.Join(kinds, ", ") + ")"
	}
	rows := [][]string{
		{"usage", fmt.Sprintf("%s wall, %s processor, %s memory at most, %d calls, %d denied, %s read, %s written",
			span(u.WallNS), span(u.CPUNS), formatBytes(u.MemoryPeakBytes), u.Syscalls, u.Denials, formatBytes(u.BytesRead), formatBytes(u.BytesWritten))},
		{"decisions", fmt.Sprintf("%d remembered, %d decided, %d of them anew, %d evicted", r.Decisions.Hits, r.Decisions.Misses, r.Decisions.Stale, r.Decisions.Evictions)},
		{"cleanup", fmt.Sprintf("%d resources%s, %s, in %d µs", c.ResourcesFreed, by, formatBytes(c.BytesFreed), c.DurationUS)},
	}
	for _, e := range c.Errors {
		rows = append(rows, []string{"", "error: " + e})
	}
	return rows
}

// span is a duration in ns with about three digits.
func span(ns int64) string {
	d := time.Duration(ns)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

func viewLine(v *agentos.ViewEntry) string {
	s := v.Right + " " + v.Path
	if v.Host != "" && v.Host != v.Path {
		s += " (" + v.Host + " on the host)"
	}
	return s + " from " + v.Source
}
