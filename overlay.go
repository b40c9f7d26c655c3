package agentos

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// The labels of a store: which directory of the host it belongs to, and where the
// program saw it.
const (
	labelHost  = "host"
	labelGuest = "guest"
)

// stateFix says what to do about a missing state directory.
func (k *Kernel) stateFix() string {
	for _, d := range k.degraded {
		if why, ok := strings.CutPrefix(d, "state: "); ok {
			return why
		}
	}
	return "give $AGENTOS_STATE a directory of your own"
}

// openStores makes the place for captured writes, if the run has overlays. Without a
// record there is none, and the run is refused: what it writes would be lost.
func (p *Process) openStores() error {
	if p.view.overlays() == 0 {
		return nil
	}
	if p.record == nil {
		why := "the run has no record"
		if len(p.missing) > 0 {
			why = p.missing[len(p.missing)-1]
		}
		return refuse("STATE", "--overlay", "captured writes have no place: "+why, "give $AGENTOS_STATE a directory that can be written", nil)
	}
	dir, err := p.record.Overlay()
	if err != nil {
		return refuse("STATE", "--overlay", "captured writes have no place: "+err.Error(), "give $AGENTOS_STATE a directory that can be written", err)
	}
	p.view.store = dir
	return nil
}

// capture lays an overlay over a read-only file system of the host, which it takes
// over.
func (v *view) capture(p *proc.Process, m mount, lower *hostfs.FS) (vfs.FileSystem, error) {
	fs, err := overlayfs.New(lower, filepath.Join(v.store, strconv.Itoa(m.overlay)), overlayfs.Options{
		Account: p.Account(),
		Labels:  map[string]string{labelHost: m.host, labelGuest: m.guest},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the overlay's store: %w", err), lower.Close())
	}
	return fs, nil
}

// countCaptured counts what the overlays of the run hold, once it is dead, and
// removes their place if that is nothing.
func (p *Process) countCaptured() error {
	if p.view.store == "" {
		return nil
	}
	total := 0
	for n := range p.view.overlays() {
		layer, err := overlayfs.Load(filepath.Join(p.view.store, strconv.Itoa(n+1)))
		if err != nil {
			return fmt.Errorf("captured writes: %w", err)
		}
		total += len(layer.Changes())
		if err := layer.Close(); err != nil {
			return fmt.Errorf("captured writes: %w", err)
		}
	}
	p.captured = total
	if total > 0 {
		return nil
	}
	return p.record.DropOverlay()
}
