package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// PrunePolicy says which finished records go. A record goes if it is not among the
// Keep youngest finished ones and its run began more than OlderThan ago; the zero
// policy removes every finished record.
type PrunePolicy struct {
	Keep      int
	OlderThan time.Duration
	DryRun    bool // only say what would go
}

// PruneResult says what a prune did.
type PruneResult struct {
	Removed     []string // ids, oldest first; with DryRun, those that would go
	Kept        int      // finished records that the policy keeps
	Live        int      // records of live runs
	Uncommitted int      // records with captured writes; commit or discard them first
	Unreadable  int      // records of a newer layout, or whose lock could not be examined; left alone
	Crashed     int      // records without a report whose kernel is dead; finished first, then treated like others
}

// Prune removes finished records and never a live or an uncommitted one. It also
// finishes any dead run that a sweep could not know of. Errors do not stop it.
func (d *Dir) Prune(ctx context.Context, p PrunePolicy) (PruneResult, error) {
	var res PruneResult
	entries, err := d.List()
	if err != nil {
		return res, err
	}
	var finished []*Entry
	var errs []error
	for _, e := range entries {
		newer := (*NewerLayout)(nil)
		switch {
		case e.Live:
			res.Live++
		case !e.dead || errors.As(e.Problem, &newer):
			res.Unreadable++
		case e.Uncommitted:
			res.Uncommitted++
		default:
			if !e.Finished {
				res.Crashed++
				if !p.DryRun {
					errs = append(errs, d.finish(e.ID, new(SweepResult)))
				}
			}
			finished = append(finished, e)
		}
	}
	keep := min(max(p.Keep, 0), len(finished))
	for i, e := range finished {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if i >= len(finished)-keep || d.now().Sub(e.started()) < p.OlderThan {
			res.Kept++
			continue
		}
		if !p.DryRun {
			// Dead is for ever, and so is finished; only an overlay could have
			// been committed meanwhile, and that is no loss.
			if err := d.discard(runsDir + "/" + e.ID); err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, fmt.Errorf("pruning run %s: %w", e.ID, err))
				}
				continue
			}
			errs = append(errs, d.unmark(e.ID))
		}
		res.Removed = append(res.Removed, e.ID)
	}
	if !p.DryRun && res.Crashed > 0 { // their scratch space
		_, err := d.emptyTrash(ctx)
		errs = append(errs, err)
	}
	return res, writeError(errors.Join(errs...))
}

// started returns when the run began, from its id if the record does not say.
func (e *Entry) started() time.Time {
	if !e.Description.Started.IsZero() {
		return e.Description.Started
	}
	return idTime(e.ID)
}
