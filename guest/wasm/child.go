package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

// helperEnv marks a process as a compiling child. It is the only variable that
// one has.
const helperEnv = "AGENTOS_HELPER"

const helperCompile = "wasm-compile"

// order is what the parent tells the child, as one line of JSON before the
// module on its standard input.
type order struct {
	Dir    string `json:"dir"`
	Limits Limits `json:"limits"`
}

// answer is the child's only output.
type answer struct {
	OK     bool           `json:"ok"`
	Kind   guest.LoadKind `json:"kind"`
	Reason string         `json:"reason"`
	Fix    string         `json:"fix"`
	Err    string         `json:"err"`
}

const (
	maxAnswer = 1 << 16
	// deathFD is the descriptor in the child of a pipe that nobody writes to. It
	// ends when the parent does, however that dies.
	deathFD = 3
)

// helperCommand returns how to start a child.
func (d *Domain) helperCommand() ([]string, error) {
	if len(d.options.Helper) > 0 {
		return d.options.Helper, nil
	}
	if self, err := os.Readlink("/proc/self/exe"); err == nil && self != "" {
		return []string{"/proc/self/exe"}, nil // also after the file was replaced
	}
	self, err := os.Executable()
	return []string{self}, err
}

// spawn has a child fill dir and waits for it. If ctx ends first the child and
// all it started are killed.
func (d *Domain) spawn(ctx context.Context, dir string, image []byte) error {
	failed := func(err error) error {
		return &guest.LoadError{Kind: guest.HostFailed, Reason: "the compiling child could not be started", Err: err}
	}
	argv, err := d.helperCommand()
	if err != nil {
		return failed(err)
	}
	head, err := json.Marshal(order{Dir: dir, Limits: d.limits})
	if err != nil {
		return failed(err)
	}
	death, life, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	defer func() { _ = life.Close() }() // the child is gone by then

	var stdout, stderr capped
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{helperEnv + "=" + helperCompile}
	cmd.Dir = "/"
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(head, '\n')), bytes.NewReader(image))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.ExtraFiles = []*os.File{death}
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	err = cmd.Start()
	_ = death.Close() // the child has its own
	if err != nil {
		return failed(err)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var a answer
	if json.Unmarshal(stdout.b, &a) == nil && (a.OK || a.Reason != "") {
		if a.OK {
			return nil
		}
		le := &guest.LoadError{Kind: a.Kind, Reason: a.Reason, Fix: a.Fix}
		if a.Err != "" {
			le.Err = errors.New(a.Err)
		}
		return le
	}
	return d.diedOf(err, stderr.String())
}

// diedOf explains a child that ended without an answer.
func (d *Domain) diedOf(err error, stderr string) error {
	if strings.HasPrefix(stderr, "SIGXCPU") || outOfTime(err) {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: "compilation took more processor time than " + d.limits.CompileTime.String()}
	}
	if strings.Contains(stderr, "out of memory") || strings.Contains(stderr, "cannot allocate memory") || outOfMemory(err) {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("compilation needs more than %d MiB of memory", d.limits.CompileMemory>>20)}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	if first == "" {
		first = "no output"
	}
	return &guest.LoadError{Kind: guest.HostFailed, Reason: "the compiling child failed: " + first, Err: err,
		Fix: "a program that embeds the kernel must call its helper entry first of all in main"}
}

// capped keeps the first maxAnswer bytes written to it.
type capped struct{ b []byte }

func (c *capped) Write(p []byte) (int, error) {
	c.b = append(c.b, p[:min(len(p), maxAnswer-len(c.b))]...)
	return len(p), nil
}

func (c *capped) String() string { return string(c.b) }

// HelperMain turns this process into a compiling child if it was started as
// one, and then never returns. Otherwise it returns at once. It must be the
// first thing that main does.
func HelperMain() {
	if os.Getenv(helperEnv) != helperCompile {
		return
	}
	os.Exit(helperRun())
}

// helperRun is the child. It returns the exit status.
func helperRun() int {
	go func() {
		_, _ = os.NewFile(deathFD, "death").Read(make([]byte, 1)) // returns when the parent is gone
		os.Exit(1)
	}()
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return complain(err)
	}
	head, image, ok := bytes.Cut(in, []byte("\n"))
	var o order
	if !ok {
		return complain(errors.New("no order"))
	}
	if err := json.Unmarshal(head, &o); err != nil {
		return complain(err)
	}
	if err := confine(o.Limits); err != nil {
		return complain(err)
	}
	a := answer{OK: true}
	if err := fill(context.Background(), o.Dir, image, o.Limits); err != nil {
		a = answer{Kind: guest.HostFailed, Reason: err.Error()}
		var le *guest.LoadError
		if errors.As(err, &le) {
			a = answer{Kind: le.Kind, Reason: le.Reason, Fix: le.Fix}
			if le.Err != nil {
				a.Err = le.Err.Error()
			}
		}
	}
	raw, err := json.Marshal(a)
	if err == nil {
		_, err = os.Stdout.Write(raw)
	}
	if err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	_, _ = fmt.Fprintln(os.Stderr, "agentos helper:", err) // nobody else to tell
	return 1
}
