package rewrite

import "strconv"

// emitter writes the module anew, section by section.
type emitter struct {
	m *module
	a *analysis

	out       []byte
	newTypes  []FuncType
	yieldType uint32
	bulkTypes []uint32
	code      []byte // content of the code section
	datas     []data // merged
	globals   []Global
}

func (e *emitter) module() {
	m := e.m
	e.mergeData()
	e.yieldType = e.typeIndex(nil, nil)
	for _, b := range e.a.bulks {
		e.bulkTypes = append(e.bulkTypes, e.typeIndex(b.params(m), nil))
	}
	e.bodies() // before the types: wrapper blocks may need some

	// The exact size is known but for a few bytes a section.
	e.out = make([]byte, 0, len(e.code)+len(m.src)-m.codeBytes()+1<<12)
	e.out = append(e.out, "\x00asm\x01\x00\x00\x00"...)
	e.typeSection()
	e.importSection()
	e.functionSection()
	e.tableSection()
	if m.hasMemory && !m.memoryImported {
		e.section(secMemory, appendLimits(appendU32(nil, 1), m.memory))
	}
	e.globalSection()
	e.exportSection()
	if m.hasStart && !m.opts.StripStart {
		e.section(secStart, appendU32(nil, m.shift(m.start)))
	}
	e.elementSection()
	if m.hasDataCount {
		e.section(secDataCount, appendU32(nil, uint32(len(e.datas))))
	}
	if e.code != nil {
		e.section(secCode, e.code)
	}
	e.dataSection()
	e.nameSection()
}

func (m *module) codeBytes() int {
	if len(m.codes) == 0 {
		return 0
	}
	return m.codes[len(m.codes)-1].to - m.codes[0].from
}

func (e *emitter) section(id byte, content []byte) {
	e.out = append(e.out, id)
	e.out = appendU32(e.out, uint32(len(content)))
	e.out = append(e.out, content...)
}

// typeIndex returns a type of the given structure, added if there is none.
func (e *emitter) typeIndex(params, results []byte) uint32 {
	key := typeKey(params, results)
	i, ok := e.a.types[key]
	if !ok {
		i = uint32(len(e.m.types) + len(e.newTypes))
		e.newTypes = append(e.newTypes, FuncType{Params: params, Results: results})
		e.a.types[key] = i
	}
	return i
}

func (e *emitter) typeSection() {
	b := appendU32(nil, uint32(len(e.m.types)+len(e.newTypes)))
	for _, list := range [][]FuncType{e.m.types, e.newTypes} {
		for _, t := range list {
			b = append(b, 0x60)
			b = append(appendU32(b, uint32(len(t.Params))), t.Params...)
			b = append(appendU32(b, uint32(len(t.Results))), t.Results...)
		}
	}
	e.section(secType, b)
}

func (e *emitter) importSection() {
	m := e.m
	b := appendU32(nil, uint32(len(m.imports)+1))
	fn, gl := 0, 0
	for _, im := range m.imports {
		b = appendName(appendName(b, im.Module), im.Name)
		b = append(b, byte(im.Kind))
		switch im.Kind {
		case KindFunc:
			b = appendU32(b, m.funcs[fn])
			fn++
		case KindMemory:
			b = appendLimits(b, m.memory)
		case KindGlobal:
			b = appendGlobalType(b, m.globals[gl])
			gl++
		}
	}
	b = appendName(appendName(b, ImportModule), ImportYield)
	b = append(b, byte(KindFunc))
	b = appendU32(b, e.yieldType)
	e.section(secImport, b)
}

func (e *emitter) functionSection() {
	m := e.m
	n := len(m.codes) + len(e.a.bulks)
	if n == 0 {
		return
	}
	b := appendU32(nil, uint32(n))
	for _, t := range m.funcs[m.importFuncs:] {
		b = appendU32(b, t)
	}
	for _, t := range e.bulkTypes {
		b = appendU32(b, t)
	}
	e.section(secFunction, b)
}

func (e *emitter) tableSection() {
	if len(e.m.tables) == 0 {
		return
	}
	b := appendU32(nil, uint32(len(e.m.tables)))
	for _, t := range e.m.tables {
		b = appendLimits(append(b, t.elem), t.limits)
	}
	e.section(secTable, b)
}

func appendLimits(b []byte, l limits) []byte {
	if !l.hasMax {
		return appendU32(append(b, 0), l.min)
	}
	return appendU32(appendU32(append(b, 1), l.min), l.max)
}

func appendGlobalType(b []byte, g global) []byte {
	if g.mutable {
		return append(b, g.typ, 1)
	}
	return append(b, g.typ, 0)
}

func (e *emitter) globalSection() {
	own := e.m.globals[e.m.importGlobals:]
	b := appendU32(nil, uint32(len(own)+1))
	for _, g := range own {
		b = e.m.appendConst(appendGlobalType(b, g), g.init)
	}
	b = append(b, typeI64, 1, opI64Const)
	b = append(appendS64(b, int64(Pack(0))), opEnd)
	e.section(secGlobal, b)
}

func (m *module) appendConst(b []byte, c constExpr) []byte {
	in := instr{op: c.op, x: c.x, n: c.n, raw: c.raw}
	return append(m.appendInstr(b, &in), opEnd)
}

func (e *emitter) exportSection() {
	m := e.m
	var list []Export
	list = append(list, m.exports...)
	list = append(list, Export{Name: ExportBudget, Kind: KindGlobal, index: uint32(len(m.globals))})
	if m.hasStart && m.opts.StripStart {
		list = append(list, Export{Name: ExportStart, Kind: KindFunc, index: m.start})
	}
	if m.opts.ExportGlobals {
		for i := m.importGlobals; i < len(m.globals); i++ {
			if g := m.globals[i]; g.mutable {
				name := ExportGlobalPrefix + strconv.Itoa(i)
				e.globals = append(e.globals, Global{Name: name, Type: g.typ})
				list = append(list, Export{Name: name, Kind: KindGlobal, index: uint32(i)})
			}
		}
	}
	b := appendU32(nil, uint32(len(list)))
	for _, x := range list {
		b = append(appendName(b, x.Name), byte(x.Kind))
		if x.Kind == KindFunc {
			b = appendU32(b, m.shift(x.index))
		} else {
			b = appendU32(b, x.index)
		}
	}
	e.section(secExport, b)
}

func (e *emitter) elementSection() {
	m := e.m
	if len(m.elems) == 0 {
		return
	}
	b := appendU32(nil, uint32(len(m.elems)))
	for i := range m.elems {
		s := &m.elems[i]
		b = appendU32(b, s.flags)
		if s.flags&1 == 0 {
			if s.flags&2 != 0 {
				b = appendU32(b, s.table)
			}
			b = m.appendConst(b, s.offset)
		}
		if s.flags&4 != 0 {
			if s.flags&3 != 0 {
				b = append(b, s.typ)
			}
			b = appendU32(b, uint32(len(s.exprs)))
			for _, x := range s.exprs {
				b = m.appendConst(b, x)
			}
			continue
		}
		if s.flags&3 != 0 {
			b = append(b, 0)
		}
		b = appendU32(b, uint32(len(s.funcs)))
		for _, f := range s.funcs {
			b = appendU32(b, m.shift(f))
		}
	}
	e.section(secElement, b)
}

func (e *emitter) dataSection() {
	if len(e.datas) == 0 {
		return
	}
	size := lenU32(uint32(len(e.datas)))
	for i := range e.datas {
		size += len(e.datas[i].bytes) + 16
	}
	b := appendU32(make([]byte, 0, size), uint32(len(e.datas)))
	for i := range e.datas {
		d := &e.datas[i]
		if d.passive {
			b = append(b, 1)
		} else {
			b = e.m.appendConst(append(b, 0), d.offset)
		}
		b = append(appendU32(b, uint32(len(d.bytes))), d.bytes...)
	}
	e.section(secData, b)
}

// bodies writes the code section: the original functions rewritten, then the
// synthesized ones.
func (e *emitter) bodies() {
	m := e.m
	n := len(m.codes) + len(e.a.bulks)
	if n == 0 {
		return
	}
	e.code = appendU32(make([]byte, 0, m.codeBytes()*5/4+64), uint32(n))
	w := &asm{e: e}
	loops := e.a.loops
	for i := range m.codes {
		w.b = w.b[:0]
		loops = e.body(w, i, loops)
		e.code = append(appendU32(e.code, uint32(len(w.b))), w.b...)
	}
	for _, b := range e.a.bulks {
		body := b.code(e)
		e.code = append(appendU32(e.code, uint32(len(body))), body...)
	}
}

// body rewrites one function. It takes the costs of its loops from the front of
// loops and returns the rest. What it reads was decoded before without error.
func (e *emitter) body(w *asm, index int, loops []uint32) []uint32 {
	m := e.m
	f := &e.a.fns[index]
	r := &reader{b: m.src, pos: m.codes[index].from, end: m.codes[index].to, section: sectionNames[secCode]}

	groups := r.u32()
	charged := f.metered || f.hasLoop
	added := uint32(0)
	if charged {
		added++
	}
	if f.copies {
		added++
	}
	w.u32(groups + added)
	for ; groups > 0; groups-- {
		w.u32(r.u32())
		w.raw(r.valueType())
	}
	scratch := uint32(f.params + f.locals)
	length := scratch // of a bulk instruction
	if charged {
		w.u32(1)
		w.raw(typeI64)
		length++
	}
	if f.copies {
		w.u32(1)
		w.raw(typeI32)
	}

	units := f.units()
	if f.metered {
		w.charge(f.cost(), units, scratch)
	}
	if f.counted {
		w.op(opBlock)
		switch len(f.results) {
		case 0:
			w.raw(typeEmpty)
		case 1:
			w.raw(f.results[0])
		default:
			w.b = appendS64(w.b, int64(e.typeIndex(nil, f.results)))
		}
	}

	depth := uint32(0) // blocks of the original that are open
	short := false
	var in instr
	for r.pos < r.end && r.err == nil {
		m.next(r, &in)
		wasShort := short
		short = in.op == opI32Const && in.n >= 0 && in.n <= inlineBytes
		switch in.op {
		case opBlock, opIf:
			depth++
		case opLoop:
			depth++
			w.b = m.appendInstr(w.b, &in)
			w.charge(int64(loops[0]), 0, scratch)
			loops = loops[1:]
			continue
		case opEnd:
			depth--
		case opReturn:
			if f.counted {
				w.op(opBr) // to the wrapping block
				w.u32(depth)
				continue
			}
		case opMemoryCopy, opMemoryFill, opMemoryInit, opTableCopy, opTableFill, opTableInit:
			if !m.inlined(&in, wasShort) {
				e.bulkCall(w, &in, length)
				continue
			}
		}
		w.b = m.appendInstr(w.b, &in)
	}
	if f.counted { // the end just written closed the wrapping block
		w.release(units)
		w.op(opEnd)
	}
	return loops
}

// bulkCall replaces a bulk instruction. On memory, a length that turns out to be
// small is done in place, which saves most of the call's cost; that it is the
// then branch matters as in charge.
func (e *emitter) bulkCall(w *asm, in *instr, length uint32) {
	call := func() {
		w.op(opCall)
		w.u32(uint32(len(e.m.funcs)) + 1 + e.a.bulkIndex[bulkOf(in)])
	}
	if in.op >= opTableInit {
		call()
		return
	}
	w.op(opLocalTee)
	w.u32(length)
	w.i32(inlineBytes)
	w.op(opI32LeU)
	w.op(opIf)
	w.b = appendS64(w.b, int64(e.typeIndex([]byte{typeI32, typeI32}, nil)))
	w.get(length)
	w.b = e.m.appendInstr(w.b, in)
	w.op(opElse)
	w.get(length)
	call()
	w.op(opEnd)
}

func (e *emitter) result() *Result {
	m := e.m
	res := &Result{
		Module:         e.out,
		Imports:        m.imports,
		Exports:        m.exports,
		Globals:        e.globals,
		HasMemory:      m.hasMemory,
		MemoryImported: m.memoryImported,
		DataBytes:      m.dataBytes,
		DataSegments:   len(e.datas),
		HasStart:       m.hasStart,
		Functions:      len(m.codes),
		CompileCost:    e.a.compileCost,
	}
	if m.hasMemory {
		res.MemoryMin, res.MemoryMax = m.memory.min, m.memory.max
	}
	for _, x := range m.exports {
		if x.Kind == KindMemory {
			res.MemoryExport = x.Name
			break
		}
	}
	for _, t := range m.tables {
		res.TableEntries += uint64(t.min)
		res.TableEntriesMax += uint64(t.max)
	}
	for i := range e.a.fns {
		f := &e.a.fns[i]
		if f.metered {
			res.Metered++
		}
		if f.counted {
			res.Counted++
		}
		res.MaxFrame = max(res.MaxFrame, int(min(f.frame, 1<<31)))
	}
	return res
}
