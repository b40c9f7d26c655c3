package bench

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// contestant is one way to run a program to its end.
type contestant struct {
	name string
	run  func(program string) (status int, err error)
	took []float64 // nanoseconds, one of each round
	peer bool      // it may fail: then it is left out
}

// spawn executes a program in the cheapest way that Go has, with nothing on its
// streams, and waits for its end. os/exec would cost half as much again.
func spawn(argv, env []string) (status int, err error) {
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(null)
	fd := uintptr(null)
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Dir: "/", Env: env, Files: []uintptr{fd, fd, fd}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	hung := time.AfterFunc(patience, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) }) // it can only have ended
	defer hung.Stop()
	var ws syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("wait for %s: %w", argv[0], err)
	}
	if !ws.Exited() {
		return 0, fmt.Errorf("%s: ended by %v", argv[0], ws.Signal())
	}
	return ws.ExitStatus(), nil
}

// patience is how long a program may take before it is killed. Some sandboxes hang on
// some hosts.
const patience = 20 * time.Second

// proper fails unless c runs programs: one that does not would win.
func (c *contestant) proper() error {
	for program, want := range map[string]int{"/bin/true": 0, "/bin/false": 1} {
		status, err := c.run(program)
		if err == nil && status != want {
			err = fmt.Errorf("status %d, want %d", status, want)
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", c.name, program, err)
		}
	}
	return nil
}

// contest has all run /bin/true by turns, n times in a row, and reports. Who begins
// changes from round to round, so that none always runs after the same one. Before each
// there is a pause, in which what the one before left behind ends.
func contest(b *testing.B, all []*contestant, rounds, n int, bounds []bound) {
	b.Helper()
	for _, c := range all {
		if err := c.proper(); err != nil {
			b.Fatal(err)
		}
	}
	first := 0
	for b.Loop() {
		for range rounds {
			for i := range all {
				c := all[(first+i)%len(all)]
				if c.took == nil && first > 0 {
					continue // left out
				}
				time.Sleep(pause)
				begin := time.Now()
				err := c.repeat(n)
				switch took := time.Since(begin); {
				case err == nil:
					c.took = append(c.took, float64(took)/float64(n))
				case c.peer:
					b.Logf("NOT CHECKED: %v", err)
					c.took = nil
				default:
					b.Fatal(err)
				}
			}
			first++
		}
	}
	all = slices.DeleteFunc(all, func(c *contestant) bool { return c.took == nil })
	settle(b, all, bounds)
}

// repeat runs /bin/true n times.
func (c *contestant) repeat(n int) error {
	for range n {
		status, err := c.run("/bin/true")
		if err == nil && status != 0 {
			err = fmt.Errorf("status %d", status)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// pause is long enough for a kernel to fill its stock of sandboxes.
const pause = 20 * time.Millisecond

// bound is what a ratio of two contestants should be.
type bound struct {
	of, to string
	limit  float64
	least  bool // the ratio should be at least, not at most, the limit
}

// met reports whether a ratio is as it should be.
func (d bound) met(r float64) bool {
	switch {
	case d.limit == 0:
		return true // only reported
	case d.least:
		return r >= d.limit
	}
	return r <= d.limit
}

func (d bound) String() string {
	if d.limit == 0 {
		return ""
	}
	if d.least {
		return fmt.Sprintf("≥ %g×", d.limit)
	}
	return fmt.Sprintf("≤ %g×", d.limit)
}

// settle reports medians, and the ratios of the bounds as medians of the ratios of each
// round: the speed of a machine drifts from round to round.
func settle(b *testing.B, all []*contestant, bounds []bound) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of all together: it says nothing
	// Ten lines are all that the testing package shows.
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(w, "\nwhat\tlowest\tquarter\tmedian\t3 quarters\tratio\tbound\t")
	for _, c := range all {
		_, _ = fmt.Fprintf(w, "\n%s\t", c.name)
		for _, q := range []float64{0, 0.25, 0.5, 0.75} {
			_, _ = fmt.Fprintf(w, "%v\t", time.Duration(quantile(c.took, q)).Round(time.Microsecond))
		}
		b.ReportMetric(quantile(c.took, 0.5)/1e3, c.name+"-µs")
		for _, d := range bounds {
			i := slices.IndexFunc(all, func(c *contestant) bool { return c.name == d.to })
			if d.of != c.name || i < 0 {
				continue
			}
			ratios := make([]float64, len(c.took))
			for n := range ratios {
				ratios[n] = c.took[n] / all[i].took[n]
			}
			r := quantile(ratios, 0.5)
			b.ReportMetric(r, d.of+"/"+d.to)
			_, _ = fmt.Fprintf(w, "%.2f× %s\t%v\t", r, d.to, d)
			if !d.met(r) {
				_, _ = fmt.Fprint(w, "MISSED")
			}
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	b.Log(text.String())
}

// quantile interpolates between the two neighbours.
func quantile(values []float64, q float64) float64 {
	s := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	if len(s) == 0 {
		return math.NaN()
	}
	at := q * float64(len(s)-1)
	low := int(at)
	return s[low] + (at-float64(low))*(s[min(low+1, len(s)-1)]-s[low])
}
