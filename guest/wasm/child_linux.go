package wasm

import "golang.org/x/sys/unix"

// memorySlack is what the data limit leaves the runtime beyond the heap.
const memorySlack = 256 << 20

// confineMemory bounds what can be written to, whoever maps it. Address space
// is not bounded: Go reserves much more of it than it uses.
func confineMemory(most uint64) error { return lower(unix.RLIMIT_DATA, most+memorySlack) }
