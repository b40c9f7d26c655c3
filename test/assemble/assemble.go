// Package assemble encodes small hand-made WebAssembly modules for tests and
// benchmarks.
//
// Invariants: what it encodes is well-formed if the given code is; function
// indices count the imports first.
//
// Locks: none.
//
// Imports: the standard library only.
package assemble

import "slices"

// Opcodes and types, by their names in the specification.
const (
	I32      = 0x7f
	I64      = 0x7e
	Funcref  = 0x70
	Void     = 0x40
	Block    = 0x02
	Loop     = 0x03
	End      = 0x0b
	Br       = 0x0c
	BrIf     = 0x0d
	Call     = 0x10
	Drop     = 0x1a
	LocalGet = 0x20
	LocalSet = 0x21
	LocalTee = 0x22
	MemGrow  = 0x40
	I32Const = 0x41
	I64Const = 0x42
	I32Ne    = 0x47
	I32Add   = 0x6a
	I32Sub   = 0x6b
	I32Mul   = 0x6c
	RefNull  = 0xd0
	Prefix   = 0xfc // the first byte of the bulk operations below
	MemCopy  = 0x0a
	MemFill  = 0x0b
	TabGrow  = 0x0f
	TabFill  = 0x11
	I32Store = 0x36
	I32Load  = 0x28
)

// Page is the unit of memory in bytes.
const Page = 1 << 16

// Import is an imported function.
type Import struct {
	Module, Name string
	Params       []byte // value types
	Results      []byte
}

// Function is a function without parameters or results.
type Function struct {
	Locals int // of type i32
	Code   []byte
}

// Module is a module whose first function is exported as _start.
type Module struct {
	Imports   []Import
	Pages     int // of memory, 0 for none; it may grow
	Table     int // entries of a table of functions, 0 for none; it may grow
	Functions []Function
	Data      string // at address 0
}

// Encode returns the binary.
func (m *Module) Encode() []byte {
	types := [][]byte{{0x60, 0, 0}}
	imports := Uleb(len(m.Imports))
	for i, im := range m.Imports {
		types = append(types, slices.Concat([]byte{0x60}, Uleb(len(im.Params)), im.Params, Uleb(len(im.Results)), im.Results))
		imports = slices.Concat(imports, name(im.Module), name(im.Name), []byte{0}, Uleb(i+1))
	}
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = section(b, 1, Uleb(len(types)), slices.Concat(types...))
	if len(m.Imports) > 0 {
		b = section(b, 2, imports)
	}
	b = section(b, 3, Uleb(len(m.Functions)), make([]byte, len(m.Functions)))
	if m.Table > 0 {
		b = section(b, 4, []byte{1, Funcref, 0}, Uleb(m.Table))
	}
	if m.Pages > 0 {
		b = section(b, 5, []byte{1, 0}, Uleb(m.Pages))
	}
	exports := [][]byte{{1}, name("_start"), {0}, Uleb(len(m.Imports))}
	if m.Pages > 0 {
		exports[0] = []byte{2}
		exports = append(exports, name("memory"), []byte{2, 0})
	}
	b = section(b, 7, exports...)
	code := Uleb(len(m.Functions))
	for _, f := range m.Functions {
		body := []byte{0}
		if f.Locals > 0 {
			body = slices.Concat([]byte{1}, Uleb(f.Locals), []byte{I32})
		}
		body = slices.Concat(body, f.Code, []byte{End})
		code = slices.Concat(code, Uleb(len(body)), body)
	}
	b = section(b, 10, code)
	if m.Data != "" {
		b = section(b, 11, []byte{1, 0}, Const(0), []byte{End}, name(m.Data))
	}
	return b
}

// Endless repeats parts for ever.
func Endless(parts ...[]byte) []byte {
	return slices.Concat([]byte{Loop, Void}, slices.Concat(parts...), []byte{Br, 0, End})
}

// Repeat runs parts n times, counting in a local of type i32.
func Repeat(n, local int, parts ...[]byte) []byte {
	return slices.Concat(Const(n), []byte{LocalSet}, Uleb(local), []byte{Loop, Void}, slices.Concat(parts...),
		[]byte{LocalGet}, Uleb(local), Const(1), []byte{I32Sub, LocalTee}, Uleb(local), []byte{BrIf, 0, End})
}

// Const pushes an i32.
func Const(v int) []byte { return append([]byte{I32Const}, Sleb(v)...) }

// Const64 pushes an i64.
func Const64(v int) []byte { return append([]byte{I64Const}, Sleb(v)...) }

func section(b []byte, id byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return slices.Concat(b, []byte{id}, Uleb(len(body)), body)
}

func name(s string) []byte { return append(Uleb(len(s)), s...) }

// Uleb encodes an unsigned number.
func Uleb(v int) (b []byte) {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// Sleb encodes a signed number.
func Sleb(v int) (b []byte) {
	for {
		c := byte(v) & 0x7f
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
