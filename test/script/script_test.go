package script

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// built is where TestMain puts the binary and the guest.
var built string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "agentos-script-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	built = dir
	for _, b := range []struct {
		out, pkg string
		env      []string
	}{
		{"agentos", "../../cmd/agentos", nil},
		{"guest.wasm", "./testdata/guest", []string{"GOOS=wasip1", "GOARCH=wasm"}},
	} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, b.out), b.pkg)
		cmd.Env = append(os.Environ(), b.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", b.out, err, out)
			return 1
		}
	}
	return m.Run()
}

// binary and guest are the paths of what TestMain built.
func binary() string { return filepath.Join(built, "agentos") }
func guest() string  { return filepath.Join(built, "guest.wasm") }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cli",
		Setup: func(e *testscript.Env) error {
			warm.once.Do(func() { warm.dir, warm.err = warmState(built) })
			state := filepath.Join(e.WorkDir, ".state")
			if err := errors.Join(warm.err, os.Mkdir(state, 0o700)); err != nil {
				return err
			}
			if err := copyState(warm.dir, state); err != nil {
				return err
			}
			e.Setenv("AGENTOS_STATE", state)
			e.Setenv("GUEST", guest())
			e.Setenv("AGENTOS", binary())
			e.Setenv("PATH", built+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"json":   jsonAt,
			"bytes":  bytesTo,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "superuser" {
				return os.Geteuid() == 0, nil
			}
			if cond == "native" {
				return native(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// native reports whether native programs run here.
var native = sync.OnceValue(func() bool {
	cmd := exec.Command(binary(), "run", "/bin/true")
	cmd.Env = append(os.Environ(), "AGENTOS_STATE="+filepath.Join(built, "native"))
	return cmd.Run() == nil
})

// warm is a state directory in which the guest was run once, so that it is
// compiled. Every test has a copy, and so records of its own.
var warm struct {
	once sync.Once
	dir  string
	err  error
}

// warmState makes it, beneath dir.
func warmState(dir string) (string, error) {
	state := filepath.Join(dir, "state")
	cmd := exec.Command(binary(), "run", guest())
	cmd.Env = append(os.Environ(), "AGENTOS_STATE="+state)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hello\n" {
		return "", fmt.Errorf("the first run: %w\n%s", err, out)
	}
	return state, nil
}

// copyState copies the version and the cache of compiled programs, closed to
// others as they were.
func copyState(from, state string) error {
	v, err := os.ReadFile(filepath.Join(from, "version"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, "version"), v, 0o600); err != nil {
		return err
	}
	cache := filepath.Join(state, "cache")
	if err := os.CopyFS(cache, os.DirFS(filepath.Join(from, "cache"))); err != nil {
		return err
	}
	return filepath.WalkDir(cache, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return os.Chmod(p, 0o600)
	})
}

// status runs a command and compares its exit status: status N COMMAND ARG…
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [arg…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ee *exec.ExitError
		if !errors.As(err, &ee) {
			ts.Fatalf("%v", err)
		}
		got = ee.ExitCode()
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

// jsonAt compares a value in a JSON document: json FILE PATH WANT, where PATH is
// dotted keys and indexes, len the length of a list, and WANT the value as JSON or a bare
// word. FILE may be stdout.
func jsonAt(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json file path want")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	for _, key := range strings.Split(args[1], ".") {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[key]
			if !ok {
				ts.Fatalf("%s: no key %q", args[1], key)
			}
			doc = next
		case []any:
			if key == "len" {
				doc = float64(len(v))
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				ts.Fatalf("%s: no index %q among %d", args[1], key, len(v))
			}
			doc = v[i]
		default:
			ts.Fatalf("%s: nothing beneath %v", args[1], v)
		}
	}
	got, err := json.Marshal(doc)
	ts.Check(err)
	equal := string(got) == args[2] || fmt.Sprint(doc) == args[2]
	if equal == neg {
		ts.Fatalf("%s is %s, want (not: %t) %s", args[1], got, neg, args[2])
	}
}

// bytesTo writes bytes: bytes FILE HEX.
func bytesTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes file hex")
	}
	b, err := hex.DecodeString(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}
