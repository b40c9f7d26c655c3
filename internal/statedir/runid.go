package statedir

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// A run id is a ULID in lower case (https://github.com/ulid/spec): 48 bits of
// milliseconds since 1970 and 80 random bits, in 26 characters of Crockford's
// base 32. Ids sort by time; those of one Dir are strictly increasing.
const (
	idLength = 26
	idDigits = "0123456789abcdefghjkmnpqrstvwxyz"
)

// rawID is a run id as a number, high word first.
type rawID struct{ hi, lo uint64 }

func newRawID(now time.Time) rawID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	ms := uint64(max(now.UnixMilli(), 0)) & (1<<48 - 1)
	return rawID{
		hi: ms<<16 | uint64(binary.BigEndian.Uint16(b[:2])),
		lo: binary.BigEndian.Uint64(b[8:]),
	}
}

func (r rawID) less(o rawID) bool { return r.hi < o.hi || r.hi == o.hi && r.lo < o.lo }

// after returns the smallest id above r.
func (r rawID) after() rawID {
	r.lo++
	if r.lo == 0 {
		r.hi++
	}
	return r
}

func (r rawID) String() string {
	var s [idLength]byte
	hi, lo := r.hi, r.lo
	for i := idLength - 1; i >= 0; i-- {
		s[i] = idDigits[lo&31]
		hi, lo = hi>>5, lo>>5|hi<<59
	}
	return string(s[:])
}

// isRunID reports whether s could be a run id. Anything else in runs/ is none of
// ours and is left alone.
func isRunID(s string) bool {
	if len(s) != idLength || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > 'z' || c > '9' && c < 'a' || c == 'i' || c == 'l' || c == 'o' || c == 'u' {
			return false
		}
	}
	return true
}

// nextID returns an id above all that this Dir has given out, even when the clock
// stands still or goes back.
func (d *Dir) nextID() string {
	id := newRawID(d.now())
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lastID.less(id) {
		id = d.lastID.after()
	}
	d.lastID = id
	return id.String()
}

// randomName returns a name that no other process chooses.
func randomName(prefix string) string { return prefix + newRawID(time.Now()).String() }

// idTime returns the time in a run id.
func idTime(id string) time.Time {
	var ms int64
	for i := range 10 { // 50 bits, of which the first two are zero
		ms = ms<<5 | int64(strings.IndexByte(idDigits, id[i]))
	}
	return time.UnixMilli(ms)
}
