package launch

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// benched makes a launcher and a job of an ordinary view.
func benched(b *testing.B, ready int) (*Launcher, *Job) {
	if os.Geteuid() != 0 {
		b.Skip("NOT CHECKED: needs root")
	}
	l, err := New(Options{Name: fmt.Sprintf("bench-%d", os.Getpid()), Ready: ready})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	if !l.namespaces {
		b.Skipf("NOT CHECKED: no namespaces: %s", l.facts.Why)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = null.Close() })
	user := guest.User{Name: "root", Home: "/root", Shell: "/bin/sh"}
	return l, &Job{
		Program: "/usr/bin/true", Args: []string{"true"}, Dir: "/", User: user, Mounts: view.Default(user, view.Options{}),
		Stdio: func(*os.File) ([3]*os.File, error) { return [3]*os.File{null, null, null}, nil },
	}
}

// spent returns the processor time of this process and of the children it waited for.
func spent(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// BenchmarkCell tells what a sandbox costs that nothing is run in. Time on a busy
// machine says little; cpu-µs/op is what it takes of a processor, without what the
// operating system does later.
func BenchmarkCell(b *testing.B) {
	l, job := benched(b, 0)
	s := stageOf(job)
	p := l.plans.take(l, s)
	defer l.plans.give(p)
	before := spent(b)
	var made time.Duration
	n := 0
	for b.Loop() {
		t := spent(b)
		c, err := l.newCell(s, p)
		made += spent(b) - t
		if err != nil {
			b.Fatal(err)
		}
		if err := c.close(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64((spent(b)-before).Microseconds())/float64(n), "cpu-µs/op")
	b.ReportMetric(float64(made.Microseconds())/float64(n), "make-cpu-µs/op")
}

// BenchmarkTree runs /bin/true in sandboxes that are made ahead.
func BenchmarkTree(b *testing.B) {
	l, job := benched(b, 4)
	before := spent(b)
	n := 0
	for b.Loop() {
		t, err := l.Start(context.Background(), job)
		if err != nil {
			b.Fatal(err)
		}
		t.Go()
		<-t.Done()
		if e := t.End(); e.Err != nil || !e.Exited || e.Status != 0 {
			b.Fatalf("%+v", e)
		}
		n++
	}
	b.ReportMetric(float64((spent(b)-before).Microseconds())/float64(n), "cpu-µs/op")
}
