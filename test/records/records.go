// Package records is what a guest writes while its kernel is killed, and what the
// host must hold afterwards: numbered files of numbered, checksummed records, all
// of them known beforehand.
//
// Invariants: a record says which it is, and can be told from any other; it is
// written by one call; a file ends with the record that says so.
//
// Locks: none.
//
// Imports: the standard library.
package records

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// head is the size of a record's head: file, number, length, last, checksum.
const head = 20

// MaxSize is the size of the largest record, head included.
const MaxSize = 64 << 10

// Temporary is the name that a file has until it is whole.
const Temporary = "unfinished"

// Latest is a name that every third file is moved to, in place of the one before.
const Latest = "latest"

// Final is the name of a whole file.
func Final(file int) string {
	if file%3 == 2 {
		return Latest
	}
	return fmt.Sprintf("file%06d", file)
}

// Count is how many records a file has.
func Count(file int) int { return 1 + file*5%9 }

// Record is one record. Its size is as arbitrary as its bytes, and fixed.
func Record(file, number int) []byte {
	x := uint64(file)<<20 + uint64(number) + 1
	next := func() uint64 { // xorshift: any bytes will do
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return x
	}
	next()
	size := head + int(next()%(MaxSize-head))
	if number%4 == 3 {
		size = MaxSize
	}
	b := make([]byte, size+7)
	for i := head; i < size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], next())
	}
	b = b[:size]
	binary.LittleEndian.PutUint32(b, uint32(file))
	binary.LittleEndian.PutUint32(b[4:], uint32(number))
	binary.LittleEndian.PutUint32(b[8:], uint32(size))
	if number == Count(file)-1 {
		b[12] = 1
	}
	binary.LittleEndian.PutUint32(b[16:], checksum(b))
	return b
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:16]), crc32.IEEETable, b[head:])
}

// Content is what a file holds, or holds a beginning of.
type Content struct {
	File    int
	Records int // whole ones
	Torn    int // bytes after the last whole record
	Whole   bool
}

// Check reads a file. It fails unless b is a beginning of the file that its first
// record says it is.
func Check(b []byte) (Content, error) {
	c := Content{File: -1}
	if len(b) >= 4 {
		c.File = int(binary.LittleEndian.Uint32(b))
	}
	for rest := b; len(rest) > 0; {
		if c.Whole {
			return c, fmt.Errorf("file %d: %d bytes after its end", c.File, len(rest))
		}
		if len(rest) < head {
			if c.File >= 0 && string(rest) != string(Record(c.File, c.Records)[:len(rest)]) {
				return c, fmt.Errorf("file %d: %d bytes after record %d are no beginning of the next", c.File, len(rest), c.Records)
			}
			c.Torn = len(rest)
			break
		}
		if c.Records >= Count(c.File) {
			return c, fmt.Errorf("file %d: more than its %d records", c.File, Count(c.File))
		}
		want := Record(c.File, c.Records)
		size := min(len(want), len(rest))
		if string(rest[:size]) != string(want[:size]) {
			return c, fmt.Errorf("file %d: record %d is not what was written (checksum %x)", c.File, c.Records, binary.LittleEndian.Uint32(rest[16:]))
		}
		if size < len(want) {
			c.Torn = size
			break
		}
		c.Whole = rest[12] == 1
		rest = rest[size:]
		c.Records++
	}
	return c, nil
}
