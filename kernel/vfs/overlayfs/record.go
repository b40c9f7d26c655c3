package overlayfs

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// The journal holds frames, each of one or more operations that count together
// or not at all. An operation is a byte for its kind and then its fields:
// numbers as varints, strings with their length before them.
const (
	opHeader = 1 + iota // version, labels
	opNode              // everything about one object, replacing what was known
	opName              // a name in a directory means a node, or, with 0, nothing any more
	opBase              // what the lower layer has at a path that is departed from
	opDone              // the host has the change of this path now
)

const (
	version   = 1
	rootNum   = 1        // the number of the root
	maxTarget = 4095     // bytes in a target that a guest makes
	maxName   = 255      // bytes in a name
	maxPlain  = 64 << 10 // bytes in a target or a label
	maxPath   = 4096     // bytes in a path relative to the root
)

// record is what the journal says about one object.
type record struct {
	num    uint64
	typ    abi.FileType
	mode   uint32
	merged bool   // the lower layer's object at the same path shows through
	object uint64 // number of the content, 0 for none
	origin string // path in the lower layer that has the same content; "" for none
	target string
	timed  bool // atime and mtime are set
	atime  int64
	mtime  int64
}

const (
	flagMerged = 1 << iota
	flagTimed
)

var errRecord = errors.New("not a record")

func putString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func putHeader(b []byte, labels map[string]string, keys []string) []byte {
	b = append(b, opHeader)
	b = binary.AppendUvarint(b, version)
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = putString(putString(b, k), labels[k])
	}
	return b
}

func putNode(b []byte, r *record) []byte {
	var flags byte
	if r.merged {
		flags |= flagMerged
	}
	if r.timed {
		flags |= flagTimed
	}
	b = append(b, opNode)
	b = binary.AppendUvarint(b, r.num)
	b = append(b, byte(r.typ), flags)
	b = binary.AppendUvarint(b, uint64(r.mode))
	b = binary.AppendUvarint(b, r.object)
	b = putString(b, r.origin)
	b = putString(b, r.target)
	b = binary.AppendVarint(b, r.atime)
	return binary.AppendVarint(b, r.mtime)
}

func putName(b []byte, dir uint64, name string, num uint64) []byte {
	b = append(b, opName)
	b = binary.AppendUvarint(b, dir)
	b = putString(b, name)
	return binary.AppendUvarint(b, num)
}

func putBase(b []byte, path string, base *Base) []byte {
	b = append(b, opBase)
	b = putString(b, path)
	b = append(b, byte(base.Type))
	b = binary.AppendUvarint(b, uint64(base.Mode))
	b = binary.AppendUvarint(b, base.Nlink)
	b = binary.AppendVarint(b, base.Size)
	b = binary.AppendVarint(b, base.Mtime)
	b = binary.AppendVarint(b, base.Ctime)
	return putString(b, base.Target)
}

func putDone(b []byte, path string) []byte { return putString(append(b, opDone), path) }

// reader takes fields off the front of a frame. After the first that is not
// there, it returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if r.bad || len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string(max uint64) string {
	n := r.uint()
	if r.bad || n > max || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) mode() uint32 {
	m := r.uint()
	if m > 0o777 {
		r.bad = true
	}
	return uint32(m & 0o777)
}

func (r *reader) typ() abi.FileType {
	t := abi.FileType(r.byte())
	if t == abi.TypeUnknown || t >= abi.NumFileTypes {
		r.bad = true
	}
	return t
}

func (r *reader) path() string {
	p := r.string(maxPath)
	if !validPath(p) {
		r.bad = true
	}
	return p
}

// validName reports whether s can be one component.
func validName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxName && !strings.ContainsAny(s, "/\x00")
}

// validPath reports whether p is "." or made of valid names.
func validPath(p string) bool {
	if p == "." {
		return true
	}
	for c := range strings.SplitSeq(p, "/") {
		if !validName(c) {
			return false
		}
	}
	return true
}

// applier is told what a frame says, in order.
type applier interface {
	header(version uint64, labels map[string]string) error
	node(r record) error
	name(dir uint64, name string, num uint64) error
	base(path string, b Base) error
	done(path string) error
}

// decode reads one frame.
func decode(frame []byte, to applier) error {
	r := &reader{b: frame}
	for len(r.b) > 0 {
		var apply func() error
		switch r.byte() {
		case opHeader:
			v, n := r.uint(), r.uint()
			labels := map[string]string{}
			for ; n > 0 && !r.bad; n-- {
				k := r.string(maxPlain)
				labels[k] = r.string(maxPlain)
			}
			apply = func() error { return to.header(v, labels) }
		case opNode:
			var n record
			n.num = r.uint()
			n.typ = r.typ()
			flags := r.byte()
			n.merged, n.timed = flags&flagMerged != 0, flags&flagTimed != 0
			n.mode = r.mode()
			n.object = r.uint()
			if n.origin = r.string(maxPath); n.origin != "" && !validPath(n.origin) {
				return errRecord
			}
			n.target = r.string(maxPlain)
			n.atime, n.mtime = r.int(), r.int()
			if n.num == 0 || n.num > math.MaxInt64 || flags&^(flagMerged|flagTimed) != 0 {
				return errRecord
			}
			apply = func() error { return to.node(n) }
		case opName:
			dir, name, num := r.uint(), r.string(maxName), r.uint()
			if !validName(name) {
				return errRecord
			}
			apply = func() error { return to.name(dir, name, num) }
		case opBase:
			p := r.path()
			b := Base{Type: r.typ(), Mode: r.mode(), Nlink: r.uint(), Size: r.int(), Mtime: r.int(), Ctime: r.int(), Target: r.string(maxPlain)}
			apply = func() error { return to.base(p, b) }
		case opDone:
			p := r.path()
			apply = func() error { return to.done(p) }
		default:
			return errRecord
		}
		if r.bad {
			return errRecord
		}
		if err := apply(); err != nil {
			return err
		}
	}
	return nil
}
