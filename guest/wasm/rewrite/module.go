package rewrite

import "strings"

// Section numbers.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory",
	"global", "export", "start", "element", "code", "data", "data count"}

// module is an original module, decoded. Slices alias its bytes.
type module struct {
	src  []byte
	opts Options

	types   []FuncType
	imports []Import
	funcs   []uint32 // type of every function, imports first
	tables  []table
	globals []global
	exports []Export
	elems   []element
	codes   []span
	datas   []data
	names   []byte // content of the name section after its name, nil if none

	importFuncs, importGlobals int

	hasMemory, memoryImported bool
	memory                    limits

	hasStart bool
	start    uint32

	hasDataCount bool
	dataCount    int

	taken     []bool // functions that a reference is made to, by index
	referable []bool // functions that ref.func may name in a body: taken or exported
	dataBytes uint64
	elemInits int

	dataMap   []uint32 // original segment → emitted one
	emptyData uint32   // an empty passive segment, see mergeData
}

type span struct{ from, to int }

type limits struct {
	min, max uint32
	hasMax   bool
}

type table struct {
	elem byte
	limits
}

type global struct {
	typ     byte
	mutable bool
	init    constExpr
}

// constExpr is a constant expression of one instruction.
type constExpr struct {
	off int
	op  int
	n   int64
	x   uint32
	raw []byte
}

type element struct {
	flags  uint32
	table  uint32
	offset constExpr
	typ    byte
	funcs  []uint32 // flags&4 == 0
	exprs  []constExpr
}

type data struct {
	off     int
	passive bool
	offset  constExpr
	bytes   []byte
	from    int // where bytes begin in the original module
}

// shift maps a function index of the original to one of the output.
func (m *module) shift(f uint32) uint32 {
	if int(f) < m.importFuncs {
		return f
	}
	return f + 1
}

func (r *reader) valueType() byte {
	off := r.pos
	switch c := r.byte(); c {
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFunc, typeExtern:
		return c
	default:
		r.fail(off, "unknown value type %#x", c)
		return 0
	}
}

func (r *reader) refType() byte {
	off := r.pos
	switch c := r.byte(); c {
	case typeFunc, typeExtern:
		return c
	default:
		r.fail(off, "unknown reference type %#x", c)
		return 0
	}
}

func decode(src []byte, opts Options) (*module, *Error) {
	m := &module{src: src, opts: opts}
	r := &reader{b: src, end: len(src)}
	if len(src) > maxModuleBytes {
		r.refuse(0, "the module has %d bytes, at most %d are accepted", len(src), maxModuleBytes)
		return nil, r.err
	}
	if string(r.bytes(4)) != "\x00asm" {
		return nil, &Error{Reason: "not a WebAssembly module: it does not begin with \\0asm"}
	}
	if string(r.bytes(4)) != "\x01\x00\x00\x00" {
		return nil, &Error{Offset: 4, Reason: "not a WebAssembly module of version 1 (a component?)"}
	}
	last := 0
	for r.err == nil && r.pos < len(src) {
		off := r.pos
		id := int(r.byte())
		if id >= len(sectionNames) {
			r.fail(off, "unknown section %d", id)
			break
		}
		r.section = sectionNames[id]
		size := int(r.u32())
		if r.err == nil && size > r.left() {
			r.fail(off, "the section has %d bytes, the module ends after %d", size, r.left())
		}
		if r.err != nil {
			break
		}
		if id != secCustom {
			// The data count section, numbered last, stands before code.
			if at := sectionOrder(id); at <= last {
				r.fail(off, "the section is out of order or appears twice")
				break
			} else {
				last = at
			}
		}
		r.end = r.pos + size
		m.section(r, id)
		if r.err == nil && r.pos != r.end {
			r.fail(r.pos, "%d bytes too many in the section", r.end-r.pos)
		}
		r.end, r.section = len(src), ""
	}
	if r.err == nil {
		m.finish(r)
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func sectionOrder(id int) int {
	switch {
	case id == secDataCount:
		return 2*secElement + 1
	default:
		return 2 * id
	}
}

func (m *module) section(r *reader, id int) {
	switch id {
	case secCustom:
		m.customSection(r)
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
	case secFunction:
		for n := r.count("functions", 1, maxFunctions); n > 0 && r.err == nil; n-- {
			m.funcs = append(m.funcs, r.index("type", len(m.types)))
		}
	case secTable:
		for n := r.count("tables", 3, maxTables); n > 0 && r.err == nil; n-- {
			m.tables = append(m.tables, m.table(r))
		}
	case secMemory:
		off := r.pos
		if n := r.count("memories", 2, 1<<16); n > 1 || n == 1 && m.hasMemory {
			r.fail(off, "more than one memory")
		} else if n == 1 {
			m.memory, m.hasMemory = m.memoryType(r), true
		}
	case secGlobal:
		for n := r.count("globals", 4, maxGlobals); n > 0 && r.err == nil; n-- {
			g := m.globalType(r)
			g.init = m.constExpr(r)
			m.globals = append(m.globals, g)
		}
	case secExport:
		m.exportSection(r)
	case secStart:
		off := r.pos
		m.hasStart, m.start = true, r.index("function", len(m.funcs))
		if r.err == nil {
			if t := m.types[m.funcs[m.start]]; len(t.Params)+len(t.Results) != 0 {
				r.fail(off, "the start function takes parameters or returns results")
			}
		}
	case secElement:
		m.elementSection(r)
	case secDataCount:
		off := r.pos
		n := r.u32()
		if n > maxDataSegments {
			r.refuse(off, "%d data segments, at most %d are accepted", n, maxDataSegments)
		}
		m.hasDataCount, m.dataCount = true, int(n)
	case secCode:
		n := r.count("function bodies", 3, maxFunctions)
		if r.err == nil && n != len(m.funcs)-m.importFuncs {
			r.fail(r.pos, "%d function bodies for %d functions", n, len(m.funcs)-m.importFuncs)
		}
		for ; n > 0 && r.err == nil; n-- {
			off := r.pos
			size := int(r.u32())
			if r.err == nil && size > maxBodyBytes {
				r.refuse(off, "a function body of %d bytes, at most %d are accepted", size, maxBodyBytes)
			}
			from := r.pos
			r.bytes(size)
			m.codes = append(m.codes, span{from, r.pos})
		}
	case secData:
		m.dataSection(r)
	}
}

// finish checks what no single section shows.
func (m *module) finish(r *reader) {
	if n := len(m.funcs) - m.importFuncs; n != len(m.codes) {
		r.fail(len(m.src), "%d function bodies for %d functions", len(m.codes), n)
		return
	}
	if m.hasDataCount && m.dataCount != len(m.datas) {
		r.fail(len(m.src), "the data count section says %d, there are %d data segments", m.dataCount, len(m.datas))
		return
	}
	var entries uint64
	for _, t := range m.tables {
		entries += uint64(t.min)
	}
	if limit := uint64(m.opts.MaxTableEntries); entries > limit {
		r.refuse(len(m.src), "the tables begin with %d entries, at most %d are accepted", entries, limit)
	}
	m.taken = make([]bool, len(m.funcs))
	m.referable = make([]bool, len(m.funcs))
	take := func(f uint32) { m.taken[f], m.referable[f] = true, true }
	takeExpr := func(e constExpr) {
		if e.op == opRefFunc {
			take(e.x)
		}
	}
	for i := range m.globals {
		takeExpr(m.globals[i].init)
	}
	for i := range m.elems {
		for _, f := range m.elems[i].funcs {
			take(f)
		}
		for _, e := range m.elems[i].exprs {
			takeExpr(e)
		}
	}
	for i := range m.exports {
		if m.exports[i].Kind == KindFunc {
			m.referable[m.exports[i].index] = true
		}
	}
}

func (m *module) customSection(r *reader) {
	name := r.name("the name of a custom section")
	if r.err != nil {
		return
	}
	if name == "name" && m.names == nil {
		m.names = r.b[r.pos:r.end:r.end]
	}
	r.pos = r.end
}

func (m *module) typeSection(r *reader) {
	n := r.count("types", 3, maxTypes)
	m.types = make([]FuncType, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		off := r.pos
		if c := r.byte(); r.err == nil && c != 0x60 {
			r.fail(off, "unknown form of type %#x", c)
		}
		m.types = append(m.types, FuncType{
			Params:  r.valueTypes("parameters", maxParams),
			Results: r.valueTypes("results", maxResults),
		})
	}
}

func (r *reader) valueTypes(what string, limit int) []byte {
	n := r.count(what, 1, limit)
	start := r.pos
	for ; n > 0 && r.err == nil; n-- {
		r.valueType()
	}
	return r.b[start:r.pos:r.pos]
}

func (m *module) importSection(r *reader) {
	for n := r.count("imports", 4, maxImports); n > 0 && r.err == nil; n-- {
		off := r.pos
		im := Import{Module: r.name("an import's module"), Name: r.name("an import's name")}
		if im.Module == ImportModule {
			r.refuse(off, "the import module %q is reserved", im.Module)
		}
		kind := r.pos
		switch im.Kind = Kind(r.byte()); im.Kind {
		case KindFunc:
			t := r.index("type", len(m.types))
			if r.err != nil {
				return
			}
			im.Type = m.types[t]
			m.funcs = append(m.funcs, t)
			m.importFuncs++
		case KindTable:
			r.refuse(off, "the import %s.%s is a table; tables cannot be imported", im.Module, im.Name)
		case KindMemory:
			if !m.opts.AllowMemoryImport {
				r.refuse(off, "the import %s.%s is a memory; memories cannot be imported", im.Module, im.Name)
			}
			if m.hasMemory {
				r.fail(off, "more than one memory")
			}
			m.memory, m.hasMemory, m.memoryImported = m.memoryType(r), true, true
		case KindGlobal:
			g := m.globalType(r)
			im.Global, im.Mutable = g.typ, g.mutable
			m.globals = append(m.globals, g)
			m.importGlobals++
		default:
			r.fail(kind, "unknown kind of import %#x", byte(im.Kind))
		}
		m.imports = append(m.imports, im)
	}
}

func (m *module) limits(r *reader, what string) (l limits) {
	off := r.pos
	switch c := r.byte(); c {
	case 0:
		l.min = r.u32()
	case 1:
		l.min, l.max, l.hasMax = r.u32(), r.u32(), true
		if r.err == nil && l.max < l.min {
			r.fail(off, "the maximum of a %s is below its minimum", what)
		}
	default:
		r.fail(off, "unknown form of limits %#x", c)
	}
	return l
}

func (m *module) memoryType(r *reader) limits {
	off := r.pos
	l := m.limits(r, "memory")
	if r.err == nil && (l.min > pageBytes || l.hasMax && l.max > pageBytes) {
		r.fail(off, "a memory of more than 65,536 pages")
	}
	if r.err == nil && l.min > m.opts.MaxMemoryPages {
		r.refuse(off, "the memory begins with %d pages, at most %d are accepted", l.min, m.opts.MaxMemoryPages)
	}
	if !l.hasMax || l.max > m.opts.MaxMemoryPages {
		l.max, l.hasMax = m.opts.MaxMemoryPages, true
	}
	return l
}

func (m *module) table(r *reader) table {
	off := r.pos
	t := table{elem: r.refType()}
	t.limits = m.limits(r, "table")
	if r.err == nil && t.min > m.opts.MaxTableEntries {
		r.refuse(off, "a table begins with %d entries, at most %d are accepted", t.min, m.opts.MaxTableEntries)
	}
	if !t.hasMax || t.max > m.opts.MaxTableEntries {
		t.max, t.hasMax = m.opts.MaxTableEntries, true
	}
	return t
}

func (m *module) globalType(r *reader) (g global) {
	g.typ = r.valueType()
	off := r.pos
	switch c := r.byte(); c {
	case 0:
	case 1:
		g.mutable = true
	default:
		r.fail(off, "unknown mutability %#x", c)
	}
	return g
}

// constExpr reads a constant expression: one instruction and an end.
func (m *module) constExpr(r *reader) (e constExpr) {
	e.off = r.pos
	switch op := int(r.byte()); op {
	case opI32Const:
		e.op, e.n = op, r.signed(32)
	case opI64Const:
		e.op, e.n = op, r.signed(64)
	case opF32Const:
		e.op, e.raw = op, r.bytes(4)
	case opF64Const:
		e.op, e.raw = op, r.bytes(8)
	case 0xfd:
		off := r.pos
		if sub := r.u32(); sub != opV128Const-simdBase {
			r.fail(off, "instruction 0xfd %#x is not constant", sub)
		}
		e.op, e.raw = opV128Const, r.bytes(16)
	case opRefNull:
		e.op, e.x = op, uint32(r.refType())
	case opRefFunc:
		e.op, e.x = op, r.index("function", len(m.funcs))
	case opGlobalGet:
		e.op, e.x = op, r.index("imported global", m.importGlobals)
		if r.err == nil && m.globals[e.x].mutable {
			r.fail(e.off, "a constant expression reads a mutable global")
		}
	default:
		r.fail(e.off, "instruction %s is not constant", opName(op))
	}
	off := r.pos
	if c := r.byte(); r.err == nil && c != opEnd {
		r.fail(off, "a constant expression has more than one instruction")
	}
	return e
}

func (m *module) exportSection(r *reader) {
	n := r.count("exports", 3, maxExports)
	seen := make(map[string]struct{}, n)
	for ; n > 0 && r.err == nil; n-- {
		off := r.pos
		e := Export{Name: r.name("an export's name")}
		if strings.HasPrefix(e.Name, reservedPrefix) {
			r.refuse(off, "the export name %q is reserved", e.Name)
		}
		if _, dup := seen[e.Name]; dup {
			r.fail(off, "the name %q is exported twice", e.Name)
		}
		seen[e.Name] = struct{}{}
		kind := r.pos
		switch e.Kind = Kind(r.byte()); e.Kind {
		case KindFunc:
			e.index = r.index("function", len(m.funcs))
			if r.err == nil {
				e.Type = m.types[m.funcs[e.index]]
			}
		case KindTable:
			e.index = r.index("table", len(m.tables))
		case KindMemory:
			memories := 0
			if m.hasMemory {
				memories = 1
			}
			e.index = r.index("memory", memories)
		case KindGlobal:
			e.index = r.index("global", len(m.globals))
			if r.err == nil {
				e.Global, e.Mutable = m.globals[e.index].typ, m.globals[e.index].mutable
			}
		default:
			r.fail(kind, "unknown kind of export %#x", byte(e.Kind))
		}
		m.exports = append(m.exports, e)
	}
}

func (m *module) elementSection(r *reader) {
	for n := r.count("element segments", 2, maxElements); n > 0 && r.err == nil; n-- {
		off := r.pos
		e := element{flags: r.u32(), typ: typeFunc}
		if e.flags > 7 {
			r.fail(off, "unknown form of element segment %d", e.flags)
			return
		}
		if e.flags&1 == 0 { // active
			if e.flags&2 != 0 {
				e.table = r.index("table", len(m.tables))
			} else if len(m.tables) == 0 {
				r.fail(off, "an element segment needs a table, there is none")
			}
			e.offset = m.constExpr(r)
		}
		if e.flags&3 != 0 { // a type is given
			at := r.pos
			if e.flags&4 != 0 {
				e.typ = r.refType()
			} else if c := r.byte(); r.err == nil && c != 0 {
				r.fail(at, "unknown kind of element %#x", c)
			}
		}
		at := r.pos
		k := r.count("elements", 1, maxElementInits)
		if m.elemInits += k; m.elemInits > maxElementInits {
			r.refuse(at, "more than %d elements in all segments", maxElementInits)
		}
		for ; k > 0 && r.err == nil; k-- {
			if e.flags&4 != 0 {
				e.exprs = append(e.exprs, m.constExpr(r))
			} else {
				e.funcs = append(e.funcs, r.index("function", len(m.funcs)))
			}
		}
		m.elems = append(m.elems, e)
	}
}

func (m *module) dataSection(r *reader) {
	n := r.count("data segments", 2, maxDataSegments)
	m.datas = make([]data, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		d := data{off: r.pos}
		switch flags := r.u32(); flags {
		case 0, 2:
			m.needMemory(r)
			if flags == 2 {
				r.zero("the memory index")
			}
			d.offset = m.constExpr(r)
		case 1:
			d.passive = true
		default:
			r.fail(d.off, "unknown form of data segment %d", flags)
		}
		size := int(r.u32())
		d.from = r.pos
		d.bytes = r.bytes(size)
		m.dataBytes += uint64(len(d.bytes))
		if r.err == nil && m.dataBytes > m.opts.MaxDataBytes {
			r.refuse(d.off, "the data segments hold more than %d bytes", m.opts.MaxDataBytes)
		}
		m.datas = append(m.datas, d)
	}
}
