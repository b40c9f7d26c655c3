package rewrite

// A small assembler: enough of the binary format, written by hand, to build the
// modules that the tests need and the malformed ones that no toolchain makes.

// build is a module being built. Sections that are empty are left out.
type build struct {
	types   []FuncType
	imports [][]byte // encoded entries
	funcs   []buildFunc
	tables  [][]byte
	memory  []byte // encoded limits
	globals [][]byte
	exports [][]byte
	start   int // function index plus one
	elems   [][]byte
	count   bool // with a data count section
	datas   [][]byte
	custom  [][]byte // name and content, at the end
}

type buildFunc struct {
	typ    int
	locals []byte // one type each
	code   []byte // without the last end
}

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			if p >= miscBase {
				b = appendOp(b, p)
			} else {
				b = append(b, byte(p))
			}
		case byte:
			b = append(b, p)
		case []byte:
			b = append(b, p...)
		case string:
			b = appendName(b, p)
		case u:
			b = appendU32(b, uint32(p))
		case s:
			b = appendS64(b, int64(p))
		default:
			panic("cat: unknown part")
		}
	}
	return b
}

type (
	u uint32 // unsigned LEB128
	s int64  // signed LEB128
)

func i32c(v int64) []byte { return cat(opI32Const, s(int32(v))) }
func i64c(v int64) []byte { return cat(opI64Const, s(v)) }
func get(i int) []byte    { return cat(opLocalGet, u(i)) }
func set(i int) []byte    { return cat(opLocalSet, u(i)) }

func (b *build) typ(params, results string) int {
	b.types = append(b.types, FuncType{Params: valueTypes(params), Results: valueTypes(results)})
	return len(b.types) - 1
}

// valueTypes maps i, I, f, F, v, r, x to the types.
func valueTypes(letters string) []byte {
	var out []byte
	for _, c := range letters {
		out = append(out, map[rune]byte{'i': typeI32, 'I': typeI64, 'f': typeF32, 'F': typeF64,
			'v': typeV128, 'r': typeFunc, 'x': typeExtern}[c])
	}
	return out
}

// fn adds a function and returns its index among the defined ones.
func (b *build) fn(params, results, locals string, code ...any) int {
	b.funcs = append(b.funcs, buildFunc{b.typ(params, results), valueTypes(locals), cat(code...)})
	return len(b.funcs) - 1
}

func (b *build) export(name string, kind Kind, index int) {
	b.exports = append(b.exports, cat(name, int(kind), u(index)))
}

func (b *build) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	vec := func(id byte, items [][]byte) {
		if len(items) == 0 {
			return
		}
		c := appendU32(nil, uint32(len(items)))
		for _, i := range items {
			c = append(c, i...)
		}
		out = appendSection(out, id, c)
	}
	var types, funcs, codes [][]byte
	for _, t := range b.types {
		types = append(types, cat(0x60, u(len(t.Params)), t.Params, u(len(t.Results)), t.Results))
	}
	for _, f := range b.funcs {
		funcs = append(funcs, cat(u(f.typ)))
		body := cat(u(len(f.locals)))
		for _, l := range f.locals {
			body = cat(body, 1, l)
		}
		body = cat(body, f.code, opEnd)
		codes = append(codes, cat(u(len(body)), body))
	}
	vec(secType, types)
	vec(secImport, b.imports)
	vec(secFunction, funcs)
	vec(secTable, b.tables)
	if b.memory != nil {
		vec(secMemory, [][]byte{b.memory})
	}
	vec(secGlobal, b.globals)
	vec(secExport, b.exports)
	if b.start > 0 {
		out = appendSection(out, secStart, cat(u(b.start-1)))
	}
	vec(secElement, b.elems)
	if b.count {
		out = appendSection(out, secDataCount, cat(u(len(b.datas))))
	}
	vec(secCode, codes)
	vec(secData, b.datas)
	for _, c := range b.custom {
		out = appendSection(out, secCustom, c)
	}
	return out
}
