package abi

import "strconv"

// PID identifies a process within one kernel. Zero is "no process"; small
// numbers are reused, so hold a [Handle] wherever a process may have died since.
type PID uint32

// String returns the decimal number.
func (p PID) String() string { return strconv.FormatUint(uint64(p), 10) }

// Handle is a PID together with the generation of its table slot. A Handle of a
// dead process never resolves again, however often its PID is reused.
type Handle uint64

// FD is a descriptor number within one process. Negative numbers are invalid.
type FD int32

// NoFD marks an absent descriptor argument.
const NoFD FD = -1

// EventID identifies one event within one kernel run. Zero means "none".
type EventID uint64

// ChainID joins every event that has one cause. Zero means "none".
type ChainID uint64

// String returns a short name of e in base 32, or "" for none.
func (e EventID) String() string { return shortID(uint64(e)) }

// ParseEventID resolves what String returned.
func ParseEventID(s string) (EventID, bool) {
	v, err := strconv.ParseUint(s, 32, 64)
	return EventID(v), err == nil && EventID(v).String() == s
}

// String returns a short name of c in base 32, or "" for none.
func (c ChainID) String() string { return shortID(uint64(c)) }

func shortID(v uint64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatUint(v, 32)
}
