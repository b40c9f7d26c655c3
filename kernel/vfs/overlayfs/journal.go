package overlayfs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The names in a store.
const (
	journalName = "journal"
	objectsName = "objects"
)

// headSize is what comes before each frame: its length and its checksum, four
// bytes each, little-endian.
const headSize = 8

// journal is the file to which frames are appended. A frame is written in one
// piece; one that is torn by a crash is cut when the journal is read.
type journal struct {
	f    *os.File
	size int64 // bytes of whole frames
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// frame puts a head before the operations in b, whose first headSize bytes are
// room for it.
func frame(b []byte) []byte {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-headSize))
	binary.LittleEndian.PutUint32(b[4:], checksum(b[headSize:]))
	return b
}

// append writes a frame, made by [frame]. If that fails, what was written of it
// is taken back, so that the next one is not behind a torn one.
func (j *journal) append(b []byte) error {
	_, err := j.f.WriteAt(b, j.size)
	if err != nil {
		return errors.Join(err, j.f.Truncate(j.size))
	}
	j.size += int64(len(b))
	return nil
}

// DamagedError is why a store cannot be read: a whole frame of its journal says
// what cannot be.
type DamagedError struct {
	Offset int64 // of the frame
	Err    error
}

// Error returns one sentence.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the overlay's journal is damaged at byte %d: %v", e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// replay reads frames from r, which is size bytes long, until the end or the
// first that is not whole, and returns where the last whole one ended.
func replay(r io.Reader, size int64, to applier) (end int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var buf []byte
	for {
		var head [headSize]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return end, tail(err)
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if n == 0 || n > size-end-headSize {
			return end, nil
		}
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(in, buf); err != nil {
			return end, tail(err)
		}
		if checksum(buf) != binary.LittleEndian.Uint32(head[4:]) {
			return end, nil
		}
		if err := decode(buf, to); err != nil {
			return end, &DamagedError{Offset: end, Err: err}
		}
		end += headSize + n
	}
}

// tail tells the end of the journal from a failure to read it.
func tail(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
