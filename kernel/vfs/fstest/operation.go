package fstest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// record is how many bytes one operation is encoded in.
const record = 16

// slots is how many files a sequence can hold open at once.
const slots = 5

// far is where offsets begin that file systems bound differently.
const far = 1 << 43

// operation is one step, with all its randomness in it.
type operation struct {
	kind         string
	path, to     string
	base, toBase int // a slot that holds a directory, or -1 for the root
	slot         int
	flags        abi.OpenFlags
	mode         uint32
	off, n       int64
	follow       bool
	atime, mtime *int64
	code         []byte
}

func (o operation) String() string {
	s := o.kind
	switch o.kind {
	case "open", "mkdir", "rmdir", "unlink", "stat", "readlink", "times":
		s += fmt.Sprintf(" %s%q", at(o.base), short(o.path))
	case "rename", "link", "symlink", "across":
		s += fmt.Sprintf(" %s%q to %s%q", at(o.base), short(o.path), at(o.toBase), short(o.to))
	}
	switch o.kind {
	case "open":
		return s + fmt.Sprintf(" flags %b mode %o as #%d", o.flags, o.mode, o.slot)
	case "stat", "link", "across":
		return s + fmt.Sprintf(" follow %v", o.follow)
	case "times", "ftimes":
		return s + fmt.Sprintf(" #%d follow %v atime %s mtime %s", o.slot, o.follow, given(o.atime), given(o.mtime))
	case "mkdir", "rmdir", "unlink", "rename", "symlink", "readlink":
		return s
	case "setflags":
		return s + fmt.Sprintf(" #%d flags %b", o.slot, o.flags)
	}
	return s + fmt.Sprintf(" #%d off %d n %d", o.slot, o.off, o.n)
}

func at(base int) string {
	if base < 0 {
		return ""
	}
	return fmt.Sprintf("#%d/", base)
}

func short(p string) string {
	if len(p) > 60 {
		return fmt.Sprintf("%s…(%d bytes)", p[:20], len(p))
	}
	return p
}

func given(t *int64) string {
	if t == nil {
		return "-"
	}
	return fmt.Sprint(*t)
}

// isFar reports whether the operation depends on how large a file can be.
func (o operation) isFar() bool {
	switch o.kind {
	case "pread", "pwrite", "seek", "truncate":
		return o.off > far
	case "allocate":
		return o.off > far || o.n > far
	}
	return false
}

// random makes an encoded sequence.
func random(seed uint64, ops int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	code := make([]byte, ops*record)
	for i := 0; i < len(code); i += 8 {
		binary.LittleEndian.PutUint64(code[i:], rng.Uint64())
	}
	return code
}

// decode makes operations of any bytes.
func decode(code []byte, caps Caps) []operation {
	var ops []operation
	for len(code) >= record {
		ops = append(ops, decodeOne(code[:record], caps))
		code = code[record:]
	}
	return ops
}

// kinds is how often each operation is chosen.
var kinds = strings.Fields(`
	open open open open open open open close read read write write write pread pwrite pwrite seek truncate truncate
	allocate sync setflags fstat fstat ftimes mkdir mkdir mkdir mkdir rmdir rmdir unlink unlink unlink rename rename rename rename
	rename stat stat times list list piece piece piece symlink symlink symlink readlink link link link across`)

func decodeOne(b []byte, caps Caps) operation {
	o := operation{
		kind: kinds[int(b[0])%len(kinds)], path: pathOf(b[1], b[2], caps), to: pathOf(b[3], b[4], caps),
		base: baseOf(b[5]), toBase: baseOf(b[5] >> 4), slot: int(b[6]) % slots, follow: b[6]&0x80 != 0,
		off:  offsets(b[7], int64(binary.LittleEndian.Uint16(b[8:]))),
		n:    int64(binary.LittleEndian.Uint16(b[10:])) % 6000,
		mode: []uint32{0o644, 0o600, 0o755, 0o700}[b[12]>>6],
		code: b,
	}
	switch b[12] & 15 {
	case 0:
		o.n = 0
	case 1:
		o.n = 70_000
	case 2:
		if b[12]&0x30 == 0 {
			o.n = abi.MaxTransfer + 10
		}
	}
	if o.kind == "allocate" && b[12]&7 == 7 {
		o.n = []int64{-1, math.MaxInt64, 1 << 60, math.MinInt64}[b[12]>>3&3]
	}
	o.flags = []abi.OpenFlags{abi.ORead, abi.OWrite, abi.ORead | abi.OWrite, abi.ORead | abi.OWrite, 0}[int(b[13])%5]
	for i, f := range []abi.OpenFlags{abi.OCreate, abi.OExcl, abi.OTrunc, abi.OAppend, abi.ODirectory, abi.ONofollow} {
		if b[14]>>i&1 != 0 && (i == 0 || b[15]>>i&1 != 0) {
			o.flags |= f
		}
	}
	if o.flags&abi.OCreate == 0 {
		o.flags &^= abi.OExcl // has no meaning alone
	}
	if b[15]&0xc0 == 0xc0 {
		o.flags |= []abi.OpenFlags{abi.OSync, abi.ODsync, abi.ORsync, abi.ONonblock}[b[13]>>6]
	}
	o.atime, o.mtime = stamp(b[8]), stamp(b[9])
	if caps.NoLinks && (o.kind == "link" || o.kind == "across") || caps.NoSymlinks && (o.kind == "symlink" || o.kind == "readlink") {
		o.kind = "stat"
	}
	return o
}

func baseOf(b byte) int {
	if b&8 == 0 {
		return -1
	}
	return int(b&7) % slots
}

// pathOf makes a path. Few names and a small depth make collisions likely.
func pathOf(a, b byte, caps Caps) string {
	v := int(a) | int(b)<<8
	names := []string{"a", "b", "c", "d", "a", "b", ".", ".."}
	parts := []string{names[v&7], names[v>>3&7], names[v>>6&7]}
	depth := []int{1, 1, 2, 3}[v>>9&3]
	if depth == 1 && v&7 > 5 && v&0x38 != 0 {
		parts[0] = "a" // few operations on the root itself
	}
	p := strings.Join(parts[:depth], "/")
	switch v >> 11 {
	case 0, 1, 2:
		p += "/"
	case 3:
		p = strings.Replace(p, "/", "//", 1)
	case 4:
		p += "/."
	case 5:
		p = "/" + p
	case 6:
		p = strings.Repeat("n", 255)
	case 7:
		switch v & 7 {
		case 0:
			p = strings.Repeat("n", 256)
		case 1:
			p = ""
		case 2:
			p = strings.Repeat("./", 2047) + "a" // as long as a path can be
		case 3:
			p = strings.Repeat("./", 3000) + "a"
		case 4:
			p = "a\x00"
		case 5, 6:
			if !caps.NoRawNames {
				p = "\xff\xfe"
			}
		default:
			p = "/"
		}
	}
	return p
}

func offsets(class byte, v int64) int64 {
	switch class >> 3 {
	case 0:
		return 0
	case 1:
		return []int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt64 - 10, 1 << 62, math.MaxInt64 - abi.MaxTransfer, -4096, 1<<63 - 4096}[class&7]
	case 2:
		return []int64{1 << 20, 1<<32 + 5, 1 << 40, 1 << 31, 1<<31 - 1, 1<<32 - 1, 1 << 33, 1<<21 + 1}[class&7]
	case 3:
		return 4095 + int64(class&3)
	}
	return v % 9000
}

// stamp is a time to set: none, around 1970, long ago, ahead.
func stamp(b byte) *int64 {
	if b&7 == 0 {
		return nil
	}
	t := []int64{0, 1_500_000_000_123_456_789, 1, 999_999_999, -1, -86_400_000_000_005, 4_000_000_000_987_654_321, 1_000_000_007}[b>>3&7]
	return &t
}
