//go:build amd64 || arm64

package pid1

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	base       = 0x400000 // where the only segment is loaded
	headerSize = 64 + 56  // of the ELF header and its one program header
)

// Image returns the executable.
func Image() []byte {
	size := uint64(headerSize + len(program))
	b := make([]byte, 0, size)
	le := binary.LittleEndian
	b = append(b, "\x7fELF\x02\x01\x01"...) // 64 bits, little-endian, version 1
	b = append(b, make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+headerSize) // entry
	b = le.AppendUint64(b, 64)              // program headers
	b = le.AppendUint64(b, 0)               // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} { // sizes and counts of headers
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // readable, executable
	for _, v := range []uint64{0, base, base, size, size, 0x1000} {
		b = le.AppendUint64(b, v)
	}
	return append(b, program...)
}

// File returns the executable as a sealed file in memory, to be executed by way of
// /proc/self/fd.
func File() (*os.File, error) {
	fd, err := unix.MemfdCreate("agentos-pid1", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "agentos-pid1")
	if _, err := f.Write(Image()); err != nil {
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
