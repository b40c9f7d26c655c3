//go:build amd64 || arm64

package stub

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	textBase   = 0x400000        // where the code is loaded
	headerSize = 64 + 2*56       // of the ELF header and its two program headers
	bufferBase = 0x20000000      // where the starter's script goes
	bufferSize = scriptLimit + 8 // never touched beyond the script
)

// image wraps code in an executable: the code, and a zeroed buffer.
func image(code string) []byte {
	size := uint64(headerSize + len(code))
	b := make([]byte, 0, size)
	le := binary.LittleEndian
	b = append(b, "\x7fELF\x02\x01\x01"...) // 64 bits, little-endian, version 1
	b = append(b, make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, textBase+headerSize) // entry
	b = le.AppendUint64(b, 64)                  // program headers
	b = le.AppendUint64(b, 0)                   // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 2, 0, 0, 0} { // sizes and counts of headers
		b = le.AppendUint16(b, v)
	}
	segment := func(flags uint32, at, inFile, inMemory uint64) {
		b = le.AppendUint32(b, 1) // PT_LOAD
		b = le.AppendUint32(b, flags)
		for _, v := range []uint64{0, at, at, inFile, inMemory, 0x1000} {
			b = le.AppendUint64(b, v)
		}
	}
	segment(5, textBase, size, size) // readable, executable
	segment(6, bufferBase, 0, bufferSize)
	return append(b, code...)
}

// InitImage returns the executable of pid 1.
func InitImage() []byte { return image(initProgram) }

// StarterImage returns the executable of the starter.
func StarterImage() []byte { return image(starterProgram) }

// File returns an image as a sealed file in memory, to be executed by way of
// /proc/self/fd.
func File(name string, image []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(image); err != nil {
		return nil, closing(f, err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return nil, closing(f, fmt.Errorf("seal: %w", err))
	}
	return f, nil
}

// closing gives f back after err, which is what matters.
func closing(f *os.File, err error) error {
	_ = f.Close()
	return err
}
