package overlayfs

import (
	"errors"
	"fmt"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// state is what the frames of a journal come to. It implements applier.
type state struct {
	labels map[string]string
	nodes  map[uint64]*known
	bases  map[string]*Base
	gone   map[string]bool // changes that the host has
}

// known is a record and, of a directory, its names.
type known struct {
	record
	names map[string]*known
}

func newState() *state {
	return &state{nodes: map[uint64]*known{}, bases: map[string]*Base{}, gone: map[string]bool{}}
}

var errOrder = errors.New("the header is not where it belongs")

// NewerError is why a store cannot be read: it was made by a newer version.
type NewerError struct{ Version uint64 }

// Error returns one sentence.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the overlay's journal has version %d, and this program knows %d", e.Version, version)
}

func (s *state) header(v uint64, labels map[string]string) error {
	if s.labels != nil {
		return errOrder
	}
	if v != version {
		return &NewerError{v}
	}
	s.labels = labels
	return nil
}

func (s *state) node(r record) error {
	if s.labels == nil {
		return errOrder
	}
	k := s.nodes[r.num]
	if k == nil {
		k = new(known)
		s.nodes[r.num] = k
		if r.typ == abi.TypeDirectory {
			k.names = map[string]*known{}
		}
	} else if k.typ != r.typ {
		return fmt.Errorf("object %d changes from %s to %s", r.num, k.typ, r.typ)
	}
	k.record = r
	return nil
}

func (s *state) name(dir uint64, name string, num uint64) error {
	d := s.nodes[dir]
	if d == nil || d.names == nil {
		return fmt.Errorf("a name in %d, which is no directory", dir)
	}
	if num == 0 {
		delete(d.names, name)
		return nil
	}
	n := s.nodes[num]
	if n == nil || num == rootNum {
		return fmt.Errorf("a name for %d, which cannot have one", num)
	}
	d.names[name] = n
	return nil
}

// base keeps the first: what is at a path that was departed from is the
// overlay's own.
func (s *state) base(path string, b Base) error {
	if s.labels == nil {
		return errOrder
	}
	if s.bases[path] == nil {
		s.bases[path] = &b
	}
	return nil
}

func (s *state) done(path string) error {
	if s.labels == nil {
		return errOrder
	}
	s.gone[path] = true
	return nil
}
