package event

import "sync/atomic"

// names interns a bounded set of strings. Looking one up is lock-free; the first
// sight of a string allocates once. Nothing is ever removed.
type names struct {
	slots [nameSlots]atomic.Pointer[string]
}

// nameSlots is several times the number of calls of any guest ABI.
const nameSlots = 1024

// otherName is the id of strings that found no room.
const otherName = nameSlots + 1

// id returns a number for s: 0 for "", otherName when the table is full.
func (t *names) id(s string) uint16 {
	if s == "" {
		return 0
	}
	// Names of calls differ in length and at either end; FNV over the whole
	// would cost more than the comparison that must follow anyway.
	h := uint(len(s))*131 + uint(s[0])*31 + uint(s[len(s)-1])*17 + uint(s[len(s)/2])*257
	for i := range uint(16) {
		slot := (h + i) % nameSlots
		have := t.slots[slot].Load()
		if have == nil {
			own := s // not cloned: an equal pointer makes comparison cheap
			if t.slots[slot].CompareAndSwap(nil, &own) {
				return uint16(slot + 1)
			}
			have = t.slots[slot].Load()
		}
		if *have == s {
			return uint16(slot + 1)
		}
	}
	return otherName
}

// name is the inverse of id.
func (t *names) name(id uint16) string {
	switch {
	case id == 0:
		return ""
	case id > nameSlots:
		return "?"
	}
	if s := t.slots[id-1].Load(); s != nil {
		return *s
	}
	return "?"
}
