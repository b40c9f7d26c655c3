package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// victimEnv makes this test binary a writer that is to be killed; its value is the file.
const victimEnv = "AGENTOS_TEST_AUDIT"

func TestMain(m *testing.M) {
	if file := os.Getenv(victimEnv); file != "" {
		fmt.Fprintln(os.Stderr, victim(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim logs for ever, and says which record was acknowledged.
func victim(file string) error {
	l := New("r1", func() (File, error) {
		return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	})
	for i := 0; ; i++ {
		if err := l.Append(KindDenial, map[string]string{"requested": strings.Repeat("x", i%5000)}); err != nil {
			return err
		}
		if _, err := fmt.Println(i + 1); err != nil {
			return err
		}
	}
}

// TestKilled kills a writer: every record that was acknowledged is there, and what is
// there is intact.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	for i := range 8 {
		file := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), victimEnv+"="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(50+20*i)*time.Millisecond, func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
		acknowledged := uint64(0)
		for s := bufio.NewScanner(out); s.Scan(); {
			if n, err := strconv.ParseUint(s.Text(), 10, 64); err == nil {
				acknowledged = n
			}
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		data, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // killed before it began
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := Verify(bytes.NewReader(data), "r1", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Intact() || r.Head.Records < acknowledged {
			t.Errorf("%d were acknowledged, %d are there: %+v", acknowledged, r.Head.Records, r)
		}
		if lines := bytes.Count(data, []byte("\n")); uint64(lines) != r.Head.Records {
			t.Errorf("%d lines, %d records", lines, r.Head.Records)
		}
		most = max(most, acknowledged)
	}
	if most == 0 {
		t.Error("no writer lived long enough for this to prove anything")
	}
}
