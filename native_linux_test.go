package agentos_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// nativeEnv makes this test binary a kernel that runs native programs until it is
// killed; its value is the state directory.
const nativeEnv = "AGENTOS_TEST_NATIVE_KERNEL"

// testRoles makes this binary what its environment says, if anything.
func testRoles() {
	if state := os.Getenv(nativeEnv); state != "" {
		fmt.Fprintln(os.Stderr, nativeVictim(state))
		os.Exit(1)
	}
	if state := os.Getenv(doctorEnv); state != "" {
		os.Exit(doctorRole(state))
	}
}

// sh runs a line of shell as a native program.
func sh(t testing.TB, k *agentos.Kernel, spec agentos.Spec, line string) (*agentos.Report, string) {
	t.Helper()
	var out bytes.Buffer
	spec.Program, spec.Args, spec.Stdout, spec.Stderr = "/bin/sh", []string{"-c", line}, &out, &out
	r, err := k.Run(t.Context(), spec)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if len(r.Cleanup.Errors) > 0 {
		t.Errorf("%s: cleanup: %v", line, r.Cleanup.Errors)
	}
	return r, out.String()
}

func TestNativeCauses(t *testing.T) {
	k := open(t, nil)
	for _, c := range []struct {
		line  string
		spec  agentos.Spec
		cause string
		code  int
	}{
		{"true", agentos.Spec{}, "exited", 0},
		{"exit 7", agentos.Spec{}, "exited", 7},
		{"kill -TERM $$", agentos.Spec{}, "signaled", 143},
		{"kill -KILL $$", agentos.Spec{}, "signaled", 137},
		{"kill -SEGV $$", agentos.Spec{}, "fault", 139},
		{"sleep 100", agentos.Spec{Limits: agentos.Limits{Timeout: 100 * time.Millisecond}}, "timeout", 124},
		{"trap '' TERM; sleep 100; sleep 100", agentos.Spec{Limits: agentos.Limits{Timeout: 100 * time.Millisecond}, KillAfter: 100 * time.Millisecond}, "timeout", 124},
		{"trap 'exit 9' TERM; sleep 100 & wait", agentos.Spec{Limits: agentos.Limits{Timeout: 200 * time.Millisecond}}, "timeout", 124},
		{"while :; do :; done", agentos.Spec{Limits: agentos.Limits{CPUTime: 200 * time.Millisecond}}, "cpu_limit", 152},
		{"(while :; do :; done) & (while :; do :; done) & wait", agentos.Spec{Limits: agentos.Limits{CPUTime: 300 * time.Millisecond}}, "cpu_limit", 152},
		{"while :; do echo line; done", agentos.Spec{Limits: agentos.Limits{Output: 1000}}, "output_limit", 153},
		{"head -c 300M /dev/zero | tail -n 1 >/dev/null", agentos.Spec{Limits: agentos.Limits{Memory: 64 << 20}}, "memory_limit", 137},
		{"exec tail -n 1 /dev/zero", agentos.Spec{Limits: agentos.Limits{Memory: 64 << 20}}, "memory_limit", 137},
	} {
		t.Run(c.line, func(t *testing.T) {
			r, out := sh(t, k, c.spec, c.line)
			if r.Cause != c.cause || r.ExitCode != c.code {
				t.Errorf("%s %d (%s), want %s %d; it said %.200q", r.Cause, r.ExitCode, r.Detail, c.cause, c.code, out)
			}
			if r.Domain != "native" || len(r.Enforcement) == 0 {
				t.Errorf("domain %s, enforcement %v", r.Domain, r.Enforcement)
			}
		})
	}
}

// TestNativeOwnCode: a program that fails because one of its children ran out of
// memory keeps its own status.
func TestNativeOwnCode(t *testing.T) {
	k := open(t, nil)
	r, _ := sh(t, k, agentos.Spec{Limits: agentos.Limits{Memory: 64 << 20}}, "tail -n 1 /dev/zero; exit 5")
	if r.Cause != "memory_limit" || r.ExitCode != 5 {
		t.Errorf("%s %d (%s)", r.Cause, r.ExitCode, r.Detail)
	}
	r, _ = sh(t, k, agentos.Spec{Limits: agentos.Limits{Memory: 64 << 20}}, "tail -n 1 /dev/zero; exit 0")
	if r.Cause != "exited" || r.ExitCode != 0 {
		t.Errorf("one that copes: %s %d (%s)", r.Cause, r.ExitCode, r.Detail)
	}
}

func TestNativeLimits(t *testing.T) {
	k := open(t, nil)
	r, out := sh(t, k, agentos.Spec{Limits: agentos.Limits{Pids: 8, Timeout: 20 * time.Second}}, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done 2>&1; wait")
	if r.ExitCode == 0 || !strings.Contains(strings.ToLower(out), "fork") {
		t.Errorf("pids: %s %d %q", r.Cause, r.ExitCode, out)
	}
	_, out = sh(t, k, agentos.Spec{Limits: agentos.Limits{Files: 20}}, "ulimit -n; ulimit -Hn")
	if out != "20\n20\n" {
		t.Errorf("files: %q", out)
	}
	_, out = sh(t, k, agentos.Spec{Limits: agentos.Limits{Disk: 1 << 20}}, "cd; head -c 700K /dev/zero >a && head -c 700K /dev/zero >/tmp/b; ls -s a /tmp/b >/dev/null && echo ended; df -k /tmp | tail -n 1")
	if !strings.Contains(out, "No space left") || !strings.Contains(out, " 1024 ") {
		t.Errorf("disk: %q", out)
	}
	r, out = sh(t, k, agentos.Spec{Limits: agentos.Limits{CPUs: 0.5}}, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done")
	if out != "done\n" {
		t.Errorf("cpus: %s %q", r.Cause, out)
	}
}

func TestNativeStreams(t *testing.T) {
	k := open(t, nil)
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	var out bytes.Buffer
	r, err := k.Run(t.Context(), agentos.Spec{Program: "/bin/cat", Stdin: bytes.NewReader(data), Stdout: &out})
	if err != nil || r.Cause != "exited" || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("%v %v, %d bytes", r, err, out.Len())
	}
	if r.Usage.BytesRead < uint64(len(data)) || r.Usage.BytesWritten < uint64(len(data)) || r.Usage.CPUNS == 0 || r.Usage.MemoryPeakBytes == 0 {
		t.Errorf("usage %+v", r.Usage)
	}
	// A child in the background holds the pipe; the run does not wait for it.
	began := time.Now()
	r, text := sh(t, k, agentos.Spec{}, "sleep 1000 & setsid sleep 1000 & echo said")
	if text != "said\n" || r.Cause != "exited" || time.Since(began) > time.Minute {
		t.Errorf("background: %s %q after %v", r.Cause, text, time.Since(began))
	}
}

// TestNativeSignals: a program handles what it is sent.
func TestNativeSignals(t *testing.T) {
	k := open(t, nil)
	for _, c := range []struct {
		line  string
		sig   abi.Signal
		cause string
		code  int
	}{
		{"trap 'exit 4' INT; echo ready; while :; do sleep 0.05; done", abi.SIGINT, "exited", 4},
		{"echo ready; exec sleep 1000", abi.SIGINT, "signaled", 130},
		{"echo ready; exec sleep 1000", abi.SIGTERM, "signaled", 143},
		{"trap '' TERM HUP; echo ready; exec sleep 1000", abi.SIGKILL, "killed", 137},
	} {
		pr, pw, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.Start(t.Context(), agentos.Spec{Program: "/bin/sh", Args: []string{"-c", c.line}, Stdout: pw})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := bufio.NewReader(pr).ReadString('\n'); s != "ready\n" {
			t.Fatalf("%q %v", s, err)
		}
		if err := p.Signal(c.sig); err != nil {
			t.Error(err)
		}
		r, err := p.Wait(t.Context())
		if err != nil || r.Cause != c.cause || r.ExitCode != c.code {
			t.Errorf("%s: %s %d, %v", c.line, r.Cause, r.ExitCode, err)
		}
		_, _ = pr.Close(), pw.Close()
	}
}

// TestNativeStop: what is stopped does not run on, and goes on afterwards.
func TestNativeStop(t *testing.T) {
	k := open(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	p, err := k.Start(t.Context(), agentos.Spec{Program: "/bin/sh", Args: []string{"-c", "while :; do echo .; sleep 0.01; done"}, Stdout: pw})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pr)
	next := func(within time.Duration) bool {
		if err := pr.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		_, err := lines.ReadString('\n')
		return err == nil
	}
	if !next(10 * time.Second) {
		t.Fatal("it does not run")
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	quiet := false
	for range 200 { // what it had written before
		if !next(300 * time.Millisecond) {
			quiet = true
			break
		}
	}
	if !quiet {
		t.Error("it runs on although it was stopped")
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	if !next(10 * time.Second) {
		t.Error("it does not go on")
	}
	if err := p.Stop(); err != nil { // killed while stopped
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Wait(t.Context()); err != nil || r.Cause != "killed" {
		t.Errorf("%v %v", r, err)
	}
}

// escapees is a line that leaves processes in every way there is; each has cookie in
// its arguments.
func escapees(cookie string) string {
	return fmt.Sprintf(`for w in "" "setsid" "nohup"; do $w sh -c 'trap "" TERM HUP INT; while :; do sleep 1; done' %[1]s & done
(setsid sh -c '(sleep 1000 %[1]s &) ; exec sleep 1000' %[1]s &)
sh -c 'kill -STOP $$; sleep 1000' %[1]s &
sleep 0.05`, cookie)
}

// running returns the processes of the host that have a word in their arguments.
func running(t testing.TB, cookie string) (pids []string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		b, err := os.ReadFile(d + "/cmdline")
		if err == nil && bytes.Contains(b, []byte(cookie)) && filepath.Base(d) != fmt.Sprint(os.Getpid()) {
			pids = append(pids, filepath.Base(d)+" "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return pids
}

func TestNativeKillMeansGone(t *testing.T) {
	k := open(t, nil)
	for _, end := range []string{"exit 0", "kill -9 $$", "sleep 1000"} {
		cookie := fmt.Sprintf("cookie-%d-%d", os.Getpid(), rand.Uint32())
		r, out := sh(t, k, agentos.Spec{Limits: agentos.Limits{Timeout: 2 * time.Second}, KillAfter: time.Millisecond}, escapees(cookie)+"; "+end)
		if left := running(t, cookie); len(left) > 0 {
			t.Errorf("%s (%s %s): left %v", end, r.Cause, out, left)
		}
	}
}

// hostState is what the native programs of a process might leave on the host. Other
// kernels may be at work beside the tests.
func hostState(t testing.TB, pid int) (s []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		// A view that reached the host would lie on one of its directories. Beneath the
		// temporary one other tests mount.
		if f := strings.Fields(line); len(f) > 4 && !strings.HasPrefix(f[4], os.TempDir()+"/") {
			s = append(s, "mount "+f[4])
		}
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "agentos-") && strings.Contains(d.Name(), fmt.Sprintf("-%d-", pid)) {
			s = append(s, p)
		}
		return nil // others come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNativeNothingIsLeft(t *testing.T) {
	after, atOnce := 100, 20
	if *soak {
		after, atOnce = 2000, 200
	}
	mounts := hostState(t, os.Getpid())
	k := open(t, func(c *agentos.Config) { c.NativeReady = 2 })
	round := func() {
		if r, out := sh(t, k, agentos.Spec{}, "echo $((6*7)) | cat"); r.Cause != "exited" || out != "42\n" {
			t.Errorf("%s %s %q", r.Cause, r.Detail, out)
		}
	}
	crowd := func() {
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(round)
		}
		wg.Wait()
	}
	for range 10 {
		round()
	}
	crowd()
	time.Sleep(200 * time.Millisecond) // the stock is filled up
	before := measure(t, cache)
	t.Logf("before:            %v", before)
	for range after {
		round()
	}
	crowd()
	time.Sleep(200 * time.Millisecond)
	end := measure(t, cache)
	t.Logf("after %d, and %d at once: %v", after, atOnce, end)
	// A watcher of the stock may be on its way.
	if end.goroutines > before.goroutines+2 || end.descriptors > before.descriptors+8 || end.scratch > before.scratch || end.mappings > before.mappings+50 {
		t.Errorf("%v, before %v", end, before)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if now := hostState(t, os.Getpid()); !slices.Equal(now, mounts) {
		t.Errorf("the host has %v, before %v", now, mounts)
	}
}

// nativeVictim is a kernel that runs native programs, which leave processes in every
// way they know, until it is killed.
func nativeVictim(state string) error {
	k, err := agentos.Open(agentos.Config{State: state, NativeReady: 1})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	cookie := os.Getenv("AGENTOS_TEST_COOKIE")
	for range 2 {
		wg.Go(func() {
			for {
				r, err := k.Run(context.Background(), agentos.Spec{Program: "/bin/sh", Args: []string{"-c", escapees(cookie)}, Stdout: io.Discard, Stderr: io.Discard})
				if err != nil || r.Cause != "exited" {
					fmt.Fprintln(os.Stderr, "victim:", r, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKilledNativeKernel kills a kernel at random instants. Its programs must be gone
// at once, and with the next start everything else.
func TestKilledNativeKernel(t *testing.T) {
	rounds := 40
	if *soak {
		rounds = 200
	}
	if testing.Short() || raceEnabled {
		rounds = 8
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	before := hostState(t, 0)
	left := 0
	for i := range rounds {
		cookie := fmt.Sprintf("victim-%d-%d-%d", os.Getpid(), i, rand.Uint32())
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), nativeEnv+"="+state, "AGENTOS_TEST_COOKIE="+cookie)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if s, err := bufio.NewReader(out).ReadString('\n'); s != "ready\n" {
			t.Fatalf("%q %v", s, err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(400 * time.Millisecond))))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Fatalf("the kernel ended by itself: %v", cmd.ProcessState)
		}
		if len(hostState(t, cmd.Process.Pid)) > len(before) {
			left++
		}
		// The trees end when their pid 1 sees that the kernel is gone.
		deadline := time.Now().Add(5 * time.Second)
		for len(running(t, cookie)) > 0 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if still := running(t, cookie); len(still) > 0 {
			t.Fatalf("round %d: outlived the kernel: %v", i, still)
		}
		k, err := agentos.Open(agentos.Config{State: state})
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := sh(t, k, agentos.Spec{}, "true"); r.Cause != "exited" {
			t.Errorf("%s %s", r.Cause, r.Detail)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if now := hostState(t, cmd.Process.Pid); !slices.Equal(now, before) {
			t.Fatalf("round %d: after the next start the host has %v, before %v", i, now, before)
		}
	}
	t.Logf("%d kills, %d left groups for the next start to sweep", rounds, left)
}
