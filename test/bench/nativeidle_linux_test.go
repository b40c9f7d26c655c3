package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
)

// idlers is how many native programs are idle at once.
const idlers = 200

// BenchmarkNativeIdle is what a native program that sleeps costs its kernel: memory,
// goroutines, threads, and descriptors of the kernel's process, the memory of pid 1 of
// each sandbox, and what Linux itself keeps for it, as far as it tells. The last counts
// whatever else the host does meanwhile.
func BenchmarkNativeIdle(b *testing.B) {
	k := nativeKernel(b, func(c *agentos.Config) { c.NoState, c.NativeReady = true, -1 })
	var supervisor, loose, stubs, program, linux, goroutines, threads, files float64
	for b.Loop() {
		before := look(b, true)
		started := make([]*agentos.Process, 0, idlers)
		for range idlers {
			p, err := k.Start(b.Context(), agentos.Spec{Program: "/bin/sleep", Args: []string{"1000"}, Domain: "native"})
			if err != nil {
				b.Fatalf("after %d: %v", len(started), err)
			}
			started = append(started, p)
		}
		inits, sleepers := children(b, idlers)
		after := look(b, false)
		settled := look(b, true)
		stubs += pss(b, inits) / idlers
		program += pss(b, sleepers) / idlers
		for _, p := range started {
			if err := p.Kill(); err != nil {
				b.Fatal(err)
			}
		}
		for _, p := range started {
			if r, err := p.Wait(b.Context()); err != nil || r.Cause != "killed" {
				b.Fatalf("%v %+v", err, r)
			}
		}
		each := func(of func(*state) float64) float64 { return (of(&settled) - of(&before)) / idlers }
		loose += (after.rss - before.rss) / idlers
		supervisor += each(func(s *state) float64 { return s.rss })
		linux += each(func(s *state) float64 { return s.linux })
		goroutines += each(func(s *state) float64 { return s.goroutines })
		threads += each(func(s *state) float64 { return s.threads })
		files += each(func(s *state) float64 { return s.files })
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(loose/n, "supervisor-KiB")
	b.ReportMetric(supervisor/n, "collected-KiB")
	b.ReportMetric(stubs/n, "pid1-KiB")
	b.ReportMetric(program/n, "program-KiB")
	b.ReportMetric(linux/n, "linux-KiB")
	b.ReportMetric(goroutines/n, "goroutines")
	b.ReportMetric(threads/n, "threads")
	b.ReportMetric(files/n, "files")
	if loose/n > 1024 {
		b.Log("MISSED: the supervisor's memory should be at most 1 MiB for each")
	}
}

// state is what this process has, in KiB and numbers.
type state struct{ rss, linux, goroutines, threads, files float64 }

// look reads it, after a collection of garbage if asked for.
func look(b *testing.B, collect bool) (s state) {
	b.Helper()
	if collect {
		debug.FreeOSMemory()
	}
	s.rss = field(b, "/proc/self/smaps_rollup", "Rss")
	s.threads = field(b, "/proc/self/status", "Threads")
	for _, name := range []string{"Slab", "KernelStack", "PageTables", "Percpu"} {
		s.linux += field(b, "/proc/meminfo", name)
	}
	s.goroutines = float64(runtime.NumGoroutine())
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	s.files = float64(len(fds))
	return s
}

// field returns the number after a name.
func field(b *testing.B, path, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("%s has no %s", path, name)
	return 0
}

// children waits until n programs sleep, and tells them from the first processes of
// their sandboxes, which have no file of this host.
func children(b *testing.B, n int) (inits, sleepers []string) {
	b.Helper()
	for range 1000 {
		inits, sleepers = nil, nil
		lists, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			b.Fatal(err)
		}
		for _, list := range lists {
			text, err := os.ReadFile(list)
			if err != nil {
				continue // a thread that has ended
			}
			for _, pid := range strings.Fields(string(text)) {
				switch line, err := os.ReadFile("/proc/" + pid + "/cmdline"); {
				case err != nil: // it has ended
				case bytes.HasPrefix(line, []byte("/bin/sleep\x00")):
					sleepers = append(sleepers, pid)
				case bytes.HasPrefix(line, []byte("init\x00")):
					inits = append(inits, pid)
				}
			}
		}
		if len(sleepers) == n && len(inits) > 0 {
			return inits, sleepers
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal(fmt.Errorf("%d of %d programs are there", len(sleepers), n))
	return nil, nil
}

// pss adds up the memory of processes, of what they share each its part.
func pss(b *testing.B, pids []string) (sum float64) {
	b.Helper()
	for _, pid := range pids {
		sum += field(b, "/proc/"+pid+"/smaps_rollup", "Pss")
	}
	return sum
}
