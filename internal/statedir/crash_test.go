//go:build unix

package statedir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// playRole runs the test binary as another kernel. It returns the exit status.
func playRole(role, path string) int {
	roles := map[string]func(*Dir) error{"churn": churn, "neighbour": neighbour}
	d, err := Open(Options{Path: path})
	if err == nil {
		err = roles[role](d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// churn does everything that a kernel does to the directory, until it is killed.
func churn(d *Dir) error {
	fmt.Println("ready")
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(time.Now().UnixNano())))
	for i := 0; ; i++ {
		r, err := d.Create(Description{Program: "churn.wasm", KernelPID: os.Getpid()})
		if err != nil {
			return err
		}
		s, err := r.Scratch()
		if err != nil {
			return err
		}
		err = errors.Join(s.MkdirAll("a/b/c", 0o700), s.WriteFile("a/b/f", []byte("x"), 0o600), s.Symlink("/etc", "a/l"), s.Close())
		if err != nil {
			return err
		}
		l, err := r.Listen()
		if err != nil {
			return err
		}
		if err := errors.Join(r.AppendDenial([]byte(`{"count":1}`)), r.WriteDescription(Description{Program: "churn.wasm", PID: 3}), l.Close()); err != nil {
			return err
		}
		switch rnd.IntN(8) {
		case 0:
			err = r.Abandon()
		case 1:
			err = r.Close() // without a report
		case 2:
			_, err = d.Prune(context.Background(), PrunePolicy{Keep: 5})
			err = errors.Join(err, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)), r.Close())
		case 3:
			_, err = d.Sweep(context.Background())
			err = errors.Join(err, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)), r.Close())
		default:
			err = errors.Join(r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)), r.Close())
		}
		if err != nil {
			return err
		}
	}
}

// kernelProcess starts the test binary in a role.
func kernelProcess(t *testing.T, role, path string, env ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "STATEDIR_TEST_ROLE="+role, "STATEDIR_TEST_DIR="+path)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return cmd, out
}

// TestKillAtAnyInstant kills a busy kernel with SIGKILL at 200 random instants, some
// of them while it lays out a new directory; the next start must find everything and
// leave nothing.
func TestKillAtAnyInstant(t *testing.T) {
	kills := 200
	if testing.Short() || raceEnabled { // what is killed is another process, which the detector only slows
		kills = 40
	}
	const lanes = 2
	var mu sync.Mutex
	var sum SweepResult
	var dirty int
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			path := filepath.Join(quickDir(t), "state")
			for i := range kills / lanes {
				target := path
				if i%5 == 0 { // a directory that is just being made
					target = filepath.Join(quickDir(t), "new", "state")
				}
				res, ok := killOnce(t, target, target == path)
				if !ok {
					return
				}
				mu.Lock()
				sum.Crashed += res.Crashed
				sum.Closed += res.Closed
				sum.HalfCreated += res.HalfCreated
				sum.Scratch += res.Scratch
				sum.Sockets += res.Sockets
				sum.Temporary += res.Temporary
				sum.Trash += res.Trash
				if res.Any() {
					dirty++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d kills, %d left something: %+v", kills, dirty, sum)
	if dirty < kills/4 {
		t.Errorf("only %d of %d kills left anything to sweep: the test does not test", dirty, kills)
	}
}

func killOnce(t *testing.T, path string, awaitReady bool) (SweepResult, bool) {
	cmd, out := kernelProcess(t, "churn", path)
	if awaitReady {
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Errorf("the kernel did not start: %v", err)
		}
	}
	// The instant is what varies here; nothing is asserted about time.
	time.Sleep(time.Duration(rand.Int64N(int64(12 * time.Millisecond))))
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	err := cmd.Wait()
	if ee := (*exec.ExitError)(nil); !errors.As(err, &ee) || ee.ExitCode() != -1 {
		t.Errorf("the kernel ended by itself: %v", err)
		return SweepResult{}, false
	}
	d, err := Open(Options{Path: path})
	if err != nil {
		t.Error(err)
		return SweepResult{}, false
	}
	res, err := d.Sweep(context.Background())
	if err = errors.Join(err, d.Close()); err != nil {
		t.Error(err)
	}
	checkClean(t, path)
	return res, !t.Failed()
}

// neighbour lives beside other kernels and checks that they leave its runs alone.
func neighbour(d *Dir) error {
	n, err := strconv.Atoi(os.Getenv("STATEDIR_TEST_RUNS"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i := range n {
		r, err := d.Create(Description{Program: "neighbour.wasm", KernelPID: os.Getpid()})
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		s, err := r.Scratch()
		if err != nil {
			return err
		}
		if err := s.WriteFile("mine", []byte(r.ID()), 0o600); err != nil {
			return err
		}
		l, err := r.Listen()
		if err != nil {
			return err
		}
		if res, err := d.Sweep(ctx); err != nil || res.Crashed+res.HalfCreated > 0 {
			// Every neighbour writes its reports and none is killed.
			return fmt.Errorf("sweep did %+v: %w", res, err)
		}
		if i%5 == 0 {
			if _, err := d.Prune(ctx, PrunePolicy{Keep: 1000}); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
		}
		e, err := d.Find(r.ID())
		if err != nil || !e.Live || e.Finished {
			return fmt.Errorf("a neighbour took %s for dead: %+v, %w", r.ID(), e, err)
		}
		live, err := d.ListLive()
		if err != nil || len(live) == 0 {
			return fmt.Errorf("ListLive = %v, %w", live, err)
		}
		if b, err := s.ReadFile("mine"); err != nil || string(b) != r.ID() {
			return fmt.Errorf("scratch of %s: %q, %w", r.ID(), b, err)
		}
		c, err := e.Dial(ctx)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		if err := errors.Join(c.Close(), l.Close(), s.Close(), r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)), r.Close()); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return d.Close()
}

// TestKernelsSideBySide runs four kernels that start, sweep, and prune at once,
// beginning with a directory that does not exist.
func TestKernelsSideBySide(t *testing.T) {
	const kernels, runs = 4, 40
	path := filepath.Join(t.TempDir(), "state")
	var cmds []*exec.Cmd
	for range kernels {
		cmd, _ := kernelProcess(t, "neighbour", path, "STATEDIR_TEST_RUNS="+strconv.Itoa(runs))
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	d := open(t, path)
	list, err := d.List()
	must(t, err)
	if len(list) != kernels*runs {
		t.Errorf("%d records, want %d", len(list), kernels*runs)
	}
	for _, e := range list {
		if c := causeOf(t, e); c != "exited" {
			t.Errorf("run %s ended as %s", e.ID, c)
		}
	}
	checkClean(t, path)
}
