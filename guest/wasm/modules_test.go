package wasm

import (
	"slices"

	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
)

// A tiny assembler for hand-made modules. Functions have indices after those of
// the imports; the first one defined is exported as _start.

type handmade struct {
	types   [][]byte // encoded
	imports []handImport
	tables  [][]byte
	memory  []byte // encoded limits, nil for none
	exports [][]byte
	start   int // function index, -1 for none
	elems   [][]byte
	funcs   []handFunc
	data    [][]byte
}

type handImport struct {
	module, name string
	typ          int
}

type handFunc struct {
	typ    int
	locals []byte // encoded vector of local declarations
	body   []byte // without the final end
	name   string
}

// newModule starts with type 0 = ()->() and a memory of pages that may grow to
// most, both 0 for none.
func newModule(pages, most int) *handmade {
	m := &handmade{start: -1, types: [][]byte{{0x60, 0, 0}}}
	if most > 0 {
		m.memory = slices.Concat([]byte{1}, uleb(pages), uleb(most))
		m.exports = append(m.exports, slices.Concat(str("memory"), []byte{2, 0}))
	}
	return m
}

// wasi imports a function of preview 1 and returns its index.
func (m *handmade) wasi(name string) byte {
	for _, f := range wasip1.Functions() {
		if f.Name == name {
			t := slices.Concat([]byte{0x60}, uleb(len(f.Params)), wasiParams(f.Params))
			if f.NoError {
				t = append(t, 0)
			} else {
				t = append(t, 1, 0x7f)
			}
			return m.imported(wasip1.Module, name, t)
		}
	}
	panic("no function " + name)
}

func (m *handmade) imported(module, name string, typ []byte) byte {
	m.types = append(m.types, typ)
	m.imports = append(m.imports, handImport{module, name, len(m.types) - 1})
	return byte(len(m.imports) - 1)
}

// fn defines a function of type ()->() and returns its index.
func (m *handmade) fn(name string, locals int, body ...byte) byte {
	l := []byte{0}
	if locals > 0 {
		l = slices.Concat([]byte{1}, uleb(locals), []byte{0x7f})
	}
	m.funcs = append(m.funcs, handFunc{0, l, body, name})
	return byte(len(m.imports) + len(m.funcs) - 1)
}

func (m *handmade) export(name string, fn byte) { m.exportIndex(name, int(fn)) }

func (m *handmade) exportIndex(name string, fn int) {
	m.exports = append(m.exports, slices.Concat(str(name), []byte{0}, uleb(fn)))
}

// command exports the last function as _start and returns the binary.
func (m *handmade) command() []byte {
	m.exportIndex("_start", len(m.imports)+len(m.funcs)-1)
	return m.bytes()
}

func (m *handmade) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, m.types)...)
	if len(m.imports) > 0 {
		var list [][]byte
		for _, i := range m.imports {
			list = append(list, slices.Concat(str(i.module), str(i.name), []byte{0, byte(i.typ)}))
		}
		out = append(out, section(2, list)...)
	}
	var types, codes [][]byte
	for _, f := range m.funcs {
		types = append(types, []byte{byte(f.typ)})
		body := slices.Concat(f.locals, f.body, []byte{0x0b})
		codes = append(codes, slices.Concat(uleb(len(body)), body))
	}
	out = append(out, section(3, types)...)
	if len(m.tables) > 0 {
		out = append(out, section(4, m.tables)...)
	}
	if m.memory != nil {
		out = append(out, section(5, [][]byte{m.memory})...)
	}
	out = append(out, section(7, m.exports)...)
	if m.start >= 0 {
		out = append(out, 8, 1, byte(m.start))
	}
	if len(m.elems) > 0 {
		out = append(out, section(9, m.elems)...)
	}
	out = append(out, section(10, codes)...)
	if len(m.data) > 0 {
		out = append(out, section(11, m.data)...)
	}
	var names [][]byte
	for i, f := range m.funcs {
		if f.name != "" {
			names = append(names, slices.Concat(uleb(len(m.imports)+i), str(f.name)))
		}
	}
	if len(names) > 0 {
		sub := slices.Concat(uleb(len(names)), slices.Concat(names...))
		body := slices.Concat(str("name"), []byte{1}, uleb(len(sub)), sub)
		out = slices.Concat(out, []byte{0}, uleb(len(body)), body)
	}
	return out
}

func section(id byte, items [][]byte) []byte {
	body := slices.Concat(uleb(len(items)), slices.Concat(items...))
	return slices.Concat([]byte{id}, uleb(len(body)), body)
}

func uleb(n int) (b []byte) {
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func sleb(n int) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func str(s string) []byte { return slices.Concat(uleb(len(s)), []byte(s)) }

// i32 is i32.const n.
func i32(n int) []byte { return append([]byte{0x41}, sleb(n)...) }

// i64 is i64.const n.
func i64(n int) []byte { return append([]byte{0x42}, sleb(n)...) }

// code joins instructions.
func code(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case int:
			b = append(b, byte(p))
		case byte:
			b = append(b, p)
		}
	}
	return b
}

// Modules that several tests use.

// endless spins in two instructions.
func endless() []byte {
	m := newModule(1, 1)
	m.fn("spin", 0, 0x03, 0x40, 0x0c, 0, 0x0b)
	return m.command()
}

// endlessFill fills 256 MiB of memory over and over.
func endlessFill() []byte {
	m := newModule(4096, 4096)
	m.fn("fill", 0, code(0x03, 0x40, i32(0), i32(1), i32(4096<<16), 0xfc, 0x0b, 0, 0x0c, 0, 0x0b)...)
	return m.command()
}

// endlessTable fills a table over and over.
func endlessTable() []byte {
	m := newModule(0, 0)
	m.tables = [][]byte{slices.Concat([]byte{0x70, 0}, uleb(200_000))}
	m.fn("fill", 0, code(0x03, 0x40, i32(0), 0xd0, 0x70, i32(200_000), 0xfc, 0x11, 0, 0x0c, 0, 0x0b)...)
	return m.command()
}

// recursion calls itself for ever.
func recursion() []byte {
	m := newModule(0, 0)
	m.fn("down", 8, 0x10, 0)
	m.fn("main", 0, 0x10, 0)
	return m.command()
}

// trap calls through inner into an unreachable.
func trapping() []byte {
	m := newModule(0, 0)
	m.fn("inner", 0, 0x00)
	m.fn("outer", 0, 0x10, 0)
	m.fn("main", 0, 0x10, 1)
	return m.command()
}

// exiting exits with a status at once.
func exiting(code_ int) []byte {
	m := newModule(1, 1)
	exit := m.wasi("proc_exit")
	m.fn("main", 0, code(i32(code_), 0x10, exit)...)
	return m.command()
}

// yielding calls sched_yield for ever.
func yielding() []byte {
	m := newModule(1, 1)
	y := m.wasi("sched_yield")
	m.fn("main", 0, code(0x03, 0x40, 0x10, y, 0x1a, 0x0c, 0, 0x0b)...)
	return m.command()
}

// caller calls one WASI function with constant arguments n times, adding up the
// errors, and exits with their sum.
func caller(name string, n int, args ...any) []byte {
	m := newModule(4, 16)
	f := m.wasi(name)
	exit := m.wasi("proc_exit")
	body := code(i32(n), 0x21, 0, 0x03, 0x40)
	for _, a := range args {
		body = append(body, a.([]byte)...)
	}
	body = code(body, 0x10, f, 0x20, 1, 0x6a, 0x21, 1,
		0x20, 0, i32(1), 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x10, exit)
	m.fn("main", 2, body...)
	return m.command()
}

// bomb is small and costs the compiler much, though no function of it so much
// that it is refused: many locals that live across many blocks, in many functions.
func bomb(functions int) []byte {
	m := newModule(0, 0)
	const locals, blocks = 150, 400
	var body []byte
	for i := range locals {
		body = code(body, i32(i), 0x21, uleb(i))
	}
	for i := range blocks {
		body = code(body, 0x03, 0x40, 0x20, uleb(i%locals), i32(1), 0x6a, 0x22, uleb((i*7)%locals), 0x0d, 0, 0x0b)
	}
	for range functions {
		m.fn("", locals, body...)
	}
	m.fn("main", 0)
	return m.command()
}
