package program

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
)

// The fields and values of ELF that decide whether a file starts. The standard
// library's reader is not used: it wants section headers, which a program need not
// have, to be right, and refuses files that the kernel runs.
const (
	elfClass32 = 1
	elfClass64 = 2
	elfLittle  = 1

	elfRelocatable = 1
	elfExecutable  = 2
	elfShared      = 3
	elfCore        = 4

	segmentLoad   = 1
	segmentInterp = 3

	maxHeaders    = 64 << 10 // bytes of program headers, the kernel's bound
	maxInterpPath = 4096
)

// elfFile is what the headers of an ELF file say.
type elfFile struct {
	class   byte
	little  bool
	abi     byte
	kind    uint16
	machine uint16
	entry   uint64
	interp  string // the dynamic loader, "" if it needs none
	loads   int
}

// parseELF reads the headers of an ELF file of the given size. The problem
// completes "the program …"; it is "" if the headers are sound.
func parseELF(r io.ReaderAt, size int64) (f elfFile, problem string) {
	var head [64]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && err != io.EOF { //nolint:errorlint // ReaderAt returns it bare
		return f, "cannot be read: " + cause(err).Error()
	}
	if n < 52 {
		return f, fmt.Sprintf("is an ELF file cut short after %d bytes", n)
	}
	f.class, f.little, f.abi = head[4], head[5] == elfLittle, head[7]
	if f.class != elfClass32 && f.class != elfClass64 || head[5] != elfLittle && head[5] != 2 {
		return f, "is an ELF file with a broken header"
	}
	var order binary.ByteOrder = binary.BigEndian
	if f.little {
		order = binary.LittleEndian
	}
	f.kind, f.machine = order.Uint16(head[16:]), order.Uint16(head[18:])
	wide := f.class == elfClass64
	if wide && n < 64 {
		return f, fmt.Sprintf("is an ELF file cut short after %d bytes", n)
	}
	var offset uint64
	var each, count uint16
	want := uint16(32)
	if wide {
		f.entry, offset = order.Uint64(head[24:]), order.Uint64(head[32:])
		each, count, want = order.Uint16(head[54:]), order.Uint16(head[56:]), 56
	} else {
		f.entry, offset = uint64(order.Uint32(head[24:])), uint64(order.Uint32(head[28:]))
		each, count = order.Uint16(head[42:]), order.Uint16(head[44:])
	}
	if f.kind != elfExecutable && f.kind != elfShared {
		return f, "" // its kind is the answer
	}
	total := int(each) * int(count)
	if each != want || total == 0 || total > maxHeaders {
		return f, "is an ELF file without program headers that can be used"
	}
	if offset > uint64(size) || uint64(total) > uint64(size)-offset {
		return f, "is an ELF file cut short: its program headers are not in it"
	}
	table := make([]byte, total)
	if _, err := r.ReadAt(table, int64(offset)); err != nil && err != io.EOF { //nolint:errorlint // ReaderAt returns it bare
		return f, "cannot be read: " + cause(err).Error()
	}
	for ; len(table) > 0; table = table[want:] {
		kind := order.Uint32(table)
		var at, length uint64
		if wide {
			at, length = order.Uint64(table[8:]), order.Uint64(table[32:])
		} else {
			at, length = uint64(order.Uint32(table[4:])), uint64(order.Uint32(table[16:]))
		}
		switch kind {
		case segmentLoad:
			f.loads++
			if at > uint64(size) || length > uint64(size)-at {
				return f, "is an ELF file cut short: a part of the program is not in it"
			}
		case segmentInterp:
			if f.interp != "" {
				continue // the kernel looks at the first
			}
			if length < 2 || length > maxInterpPath || at > uint64(size) || length > uint64(size)-at {
				return f, "is an ELF file that names its dynamic loader in a broken way"
			}
			name := make([]byte, length)
			if _, err := r.ReadAt(name, int64(at)); err != nil && err != io.EOF { //nolint:errorlint // ReaderAt returns it bare
				return f, "cannot be read: " + cause(err).Error()
			}
			if name[length-1] != 0 {
				return f, "is an ELF file that names its dynamic loader in a broken way"
			}
			f.interp = string(name[:length-1])
			for i, c := range []byte(f.interp) {
				if c == 0 {
					f.interp = f.interp[:i]
					break
				}
			}
			if f.interp == "" {
				return f, "is an ELF file that names its dynamic loader in a broken way"
			}
		}
	}
	return f, ""
}

// The processors that have a name here.
const (
	machine386   = 3
	machineAMD64 = 62
	machineARM64 = 183
)

// arch names the processor that an ELF file is for.
func (f *elfFile) arch() string {
	switch f.machine {
	case machineAMD64:
		if f.class == elfClass32 {
			return "x32 (x86-64 with 32-bit pointers)"
		}
		return "x86-64"
	case machineARM64:
		if f.class == elfClass32 {
			return "arm64 with 32-bit pointers"
		}
		if !f.little {
			return "big-endian arm64"
		}
		return "arm64"
	case machine386, 6:
		return "32-bit x86"
	case 2, 18, 43:
		return "SPARC"
	case 8, 10:
		return "MIPS"
	case 20:
		return "32-bit PowerPC"
	case 21:
		if f.little {
			return "ppc64le"
		}
		return "ppc64"
	case 22:
		return "s390x"
	case 40:
		return "32-bit ARM"
	case 50:
		return "Itanium"
	case 243:
		if f.class == elfClass32 {
			return "32-bit RISC-V"
		}
		return "RISC-V"
	case 247:
		return "BPF (it is loaded into a kernel, not run)"
	case 258:
		return "LoongArch"
	}
	return fmt.Sprintf("processor number %d", f.machine)
}

// hostArch names this machine's processor in the words of arch.
func hostArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86-64"
	case "386":
		return "32-bit x86"
	}
	return runtime.GOARCH
}

// system names a system other than Linux that an ELF file says it is for.
func (f *elfFile) system() string {
	switch f.abi {
	case 1:
		return "HP-UX"
	case 2:
		return "NetBSD"
	case 6:
		return "Solaris"
	case 9:
		return "FreeBSD"
	case 12:
		return "OpenBSD"
	}
	return ""
}

// runs reports why an ELF file does not start on this machine, nil if it does.
// part is how the sentence names it: "" for the program itself.
func (f *elfFile) runs(part string) *Error {
	here := hostArch()
	switch {
	case f.arch() != here:
		e := &Error{Kind: WrongArch, Problem: part + "is built for " + f.arch() + ", this machine is " + here, Fix: "build or install it for " + here}
		if here == "x86-64" && (f.machine == machine386 || f.machine == machineAMD64) {
			e.Problem += ", and the entries to the kernel that such programs use are closed to guests"
		}
		return e
	case f.system() != "":
		return &Error{Kind: WrongArch, Problem: part + "is built for " + f.system() + ", this system is Linux", Fix: "build or install it for Linux"}
	case f.kind == elfRelocatable:
		return &Error{Kind: NotRunnable, Problem: part + "is an object file, not yet a program", Fix: "link it, e.g. with cc"}
	case f.kind == elfCore:
		return &Error{Kind: NotRunnable, Problem: part + "is a core dump", Fix: "name the program that left it"}
	case f.kind != elfExecutable && f.kind != elfShared:
		return &Error{Kind: NotRunnable, Problem: part + "is an ELF file of an unknown kind"}
	case f.loads == 0:
		return &Error{Kind: NotRunnable, Problem: part + "is an ELF file with nothing in it to run"}
	case f.kind == elfShared && f.interp == "" && f.entry == 0:
		return &Error{Kind: NotRunnable, Problem: part + "is a shared library, not a program", Fix: "name a program that uses it"}
	}
	return nil
}
