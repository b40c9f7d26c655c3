package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
)

// statusLeft is the status of a commit that left something uncommitted.
const statusLeft = 1

// withCaptured runs f with the captured writes of the run that is named, or of the last
// that has any.
func (inv *invocation) withCaptured(ref string, f func(context.Context, *agentos.Captured) error) error {
	return inv.withState(func(d *statedir.Dir) error {
		id, err := capturedRun(d, ref)
		if err != nil {
			return err
		}
		return inv.openCaptured(d, id, f)
	})
}

func (inv *invocation) openCaptured(d *statedir.Dir, id string, f func(context.Context, *agentos.Captured) error) error {
	c, err := agentos.OpenCaptured(d, id)
	if err != nil {
		return capturedFailure(id, err)
	}
	// The first INT or TERM ends the work between two files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = f(ctx, c)
	if cerr := c.Close(); cerr != nil && err == nil {
		err = stateFailure(cerr)
	}
	return err
}

// capturedRun finds the run. Without a name it is the youngest that has captured writes
// and has ended.
func capturedRun(d *statedir.Dir, ref string) (string, error) {
	if ref != "" || d == nil {
		e, err := find(d, ref)
		if err != nil {
			return "", err
		}
		if !e.Live && !e.Uncommitted {
			return "", noneCaptured("run " + e.ID)
		}
		return e.ID, nil
	}
	list, err := d.List()
	if err != nil {
		return "", stateFailure(err)
	}
	live := ""
	for i := len(list) - 1; i >= 0; i-- {
		switch e := list[i]; {
		case !e.Uncommitted:
		case e.Live:
			live = e.ID
		default:
			return e.ID, nil
		}
	}
	if live != "" {
		return live, nil // refused as such
	}
	return "", noneCaptured("last run")
}

func noneCaptured(where string) *Failure {
	return refuse(CodeNothing, where, "has no captured writes, or none that were not dealt with", "agentos run --overlay DIR captures them")
}

// capturedFailure says why captured writes cannot be had or worked on.
func capturedFailure(run string, err error) *Failure {
	where := "run " + run
	f := &Failure{Status: statusRefused, Where: where, Err: err}
	switch {
	case errors.Is(err, statedir.ErrLive):
		f.Code, f.Problem, f.Fix = CodeLive, "is still going on", "agentos wait "+run+" waits for its end"
	case errors.Is(err, statedir.ErrBusy):
		f.Code, f.Problem, f.Fix = CodeBusy, "another agentos commits or discards it just now", "try again when that is done"
	case errors.Is(err, statedir.ErrNothingCaptured):
		return noneCaptured(where)
	case errors.Is(err, statedir.ErrNoRun):
		f.Code, f.Problem, f.Fix = CodeNoRun, "no such run", "agentos runs lists them"
	case errors.Is(err, agentos.ErrNoChange):
		f.Code, f.Problem, f.Fix = CodeNoChange, err.Error(), "agentos diff --stat "+run+" lists what was captured"
	case errors.Is(err, context.Canceled):
		f.Status, f.Code, f.Problem, f.Fix = statusSignal+int(syscall.SIGINT), CodeInterrupted, "interrupted between two files", "run it again to go on"
	default:
		f.Code, f.Problem = CodeState, err.Error()
	}
	return f
}

// minRunRef is how many letters of a run's id tell it from a path. Less would make a
// short file name a run by chance, and a commit of that file one of everything.
const minRunRef = 4

// splitRun tells RUN from the paths after it: the first argument is the run if it
// names one, with enough letters. A path like that is written ./PATH.
func (inv *invocation) splitRun(args []string) (ref string, paths []string, err error) {
	if len(args) == 0 || len(args[0]) < minRunRef {
		return "", args, nil
	}
	err = inv.withState(func(d *statedir.Dir) error {
		if d == nil {
			return nil
		}
		_, ferr := d.Find(args[0])
		var many *statedir.Ambiguous
		switch {
		case ferr == nil:
			ref, paths = args[0], args[1:]
		case errors.As(ferr, &many): // a path is seldom the beginning of many ids
			return refuse(CodeNoRun, args[0], many.Error(), "give more of its letters")
		case errors.Is(ferr, statedir.ErrNoRun):
			paths = args
		default:
			return stateFailure(ferr)
		}
		return nil
	})
	if ref == "" && paths == nil {
		paths = args
	}
	return ref, paths, err
}

// label is a kind of change as people read it.
func label(c *agentos.Change) string {
	switch {
	case c.Kind == "modified" && c.WasType != c.Type:
		return "type"
	case c.Kind == "modified" && c.Type == "symlink":
		return "symlink"
	}
	return c.Kind
}

// detailOf is what there is to say of a change besides its content.
func detailOf(c *agentos.Change) string {
	what := func(typ, target string) string {
		if typ == "symlink" {
			return "symlink to " + target
		}
		return typ
	}
	s := ""
	switch {
	case c.Kind == "deleted":
		if c.WasType != "regular" {
			s = what(c.WasType, c.WasTarget)
		}
	case c.Kind == "added":
		if c.Type != "regular" {
			s = what(c.Type, c.Target)
		} else if c.Link != "" {
			s = "another name of " + c.Link
		}
	case c.WasType != c.Type || c.Type == "symlink":
		s = what(c.WasType, c.WasTarget) + " → " + what(c.Type, c.Target)
	}
	if c.Kind != "deleted" && c.Kind != "added" && c.Mode != c.WasMode && c.Type != "symlink" {
		if s != "" {
			s += ", "
		}
		s += c.WasMode + " → " + c.Mode
	}
	if c.Kind == "mode" && s == "" {
		s = "times"
	}
	return s
}

// finishCaptured does what --on-exit says with what a run captured, and says what there
// is to do otherwise.
func (inv *invocation) finishCaptured(onExit string, rep *agentos.Report) error {
	if rep.Captured == 0 {
		return nil
	}
	keep := strconv.Itoa(rep.Captured) + " changed: agentos diff | commit | discard"
	switch onExit {
	case "discard":
		return inv.withState(func(d *statedir.Dir) error {
			return inv.openCaptured(d, rep.Run, func(ctx context.Context, c *agentos.Captured) error {
				n, err := c.Discard(ctx)
				if err != nil {
					return capturedFailure(rep.Run, err)
				}
				inv.screen.note("", strconv.Itoa(n)+" changed: discarded")
				return nil
			})
		})
	case "commit":
		if rep.Cause != "exited" || rep.ExitCode != 0 {
			inv.screen.note(yellow, "not committed, since the run did not end by itself with status 0")
			break
		}
		return inv.withState(func(d *statedir.Dir) error {
			return inv.openCaptured(d, rep.Run, func(ctx context.Context, c *agentos.Captured) error {
				changes, err := c.Commit(ctx, nil, false)
				left := inv.notCommitted(rep.Run, changes)
				if err != nil {
					return capturedFailure(rep.Run, err)
				}
				if left > 0 {
					inv.status = statusLeft
					inv.screen.note("", fmt.Sprintf("%d of %d changed: committed; agentos diff | commit | discard", len(changes)-left, len(changes)))
					return nil
				}
				inv.screen.note("", strconv.Itoa(len(changes))+" changed: committed")
				return nil
			})
		})
	}
	inv.screen.note("", keep)
	return nil
}
