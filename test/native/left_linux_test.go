package native

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mark is a word in the environment of everything that a run starts.
type mark string

const markKey = "AGENTOS_TEST_MARK="

func markOf(t *testing.T) mark {
	t.Helper()
	return mark(rand.Text())
}

func (m mark) env() string { return markKey + string(m) }

// processes returns whose environment has the mark. The tool has it only among its
// arguments.
func (m mark) processes(t *testing.T) (found []string) {
	t.Helper()
	list, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		// What cannot be read is another user's, or gone.
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && strings.Contains(string(env), m.env()) {
			name, _ := os.ReadFile("/proc/" + e.Name() + "/comm") // it may have ended just now
			found = append(found, e.Name()+" "+strings.TrimSpace(string(name)))
		}
	}
	return found
}

// gone holds that a run left nothing: no process, no mount in this namespace, no
// control group of the kernel with this pid, no scratch.
func (m mark) gone(t *testing.T, u *user, pid int) {
	t.Helper()
	if left := m.processes(t); len(left) > 0 {
		t.Errorf("processes outlive the run: %q", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), u.h.dir) {
		t.Errorf("mounts outlive the run:\n%s", mounts)
	}
	if left := groups(t, pid); len(left) > 0 {
		t.Errorf("control groups outlive the run: %q", left)
	}
	for _, place := range []string{"live", "staging", "trash"} {
		list, err := os.ReadDir(filepath.Join(u.keep, place))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range list {
			t.Errorf("in the state directory %s/%s outlives the run", place, e.Name())
		}
	}
}

// groups returns the control groups of a kernel, which are named after its process. The
// host's kernel takes a moment to let go of one.
func groups(t *testing.T, pid int) (found []string) {
	t.Helper()
	name := fmt.Sprintf("-%d-", pid)
	for range 20 {
		found = nil
		err := filepath.WalkDir("/sys/fs/cgroup", func(dir string, e fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir // gone, or closed to this user
			}
			if e.IsDir() && strings.HasPrefix(e.Name(), "agentos-") && strings.Contains(e.Name(), name) {
				found = append(found, dir)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return found
}
